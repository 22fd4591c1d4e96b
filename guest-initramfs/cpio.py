"""Writer for the kernel's initramfs format: an uncompressed "newc" cpio archive.

The same entries give the same bytes, whatever the order they were added in and whoever runs it:
names are sorted, times are 0, everything belongs to root, inode numbers count up from 1.
"""

import stat


class Archive:
    """Collects entries, then writes them with bytes(). Paths are relative, without a leading slash."""

    def __init__(self):
        self._entries = {}

    def add_directory(self, path, mode=0o755):
        """Adds a directory; the ones above it are added with mode 0755 unless they exist."""
        self._add_parents(path)
        self._entries[path] = (stat.S_IFDIR | mode, b"", (0, 0))

    def add_file(self, path, data, mode=0o644):
        self._add_leaf(path, stat.S_IFREG | mode, data)

    def add_symlink(self, path, target):
        self._add_leaf(path, stat.S_IFLNK | 0o777, target.encode())

    def add_char_device(self, path, major, minor, mode=0o600):
        """Adds a device node; writing it into an archive needs no privilege."""
        self._add_leaf(path, stat.S_IFCHR | mode, b"", (major, minor))

    def __bytes__(self):
        out = bytearray()
        for inode, path in enumerate(sorted(self._entries), start=1):
            mode, data, device = self._entries[path]
            links = 2 if stat.S_ISDIR(mode) else 1
            _append(out, path, inode, mode, links, data, device)
        _append(out, "TRAILER!!!", 0, 0, 1, b"", (0, 0))
        out += bytes(-len(out) % 512)
        return bytes(out)

    def _add_leaf(self, path, mode, data, device=(0, 0)):
        if path in self._entries:
            raise ValueError(f"{path} is in the archive already")
        self._add_parents(path)
        self._entries[path] = (mode, data, device)

    def _add_parents(self, path):
        if not path or path.startswith("/") or ".." in path.split("/"):
            raise ValueError(f"{path!r} is not a path inside the archive")
        parts = path.split("/")[:-1]
        for depth in range(1, len(parts) + 1):
            above = "/".join(parts[:depth])
            mode = self._entries.setdefault(above, (stat.S_IFDIR | 0o755, b"", (0, 0)))[0]
            if not stat.S_ISDIR(mode):
                raise ValueError(f"{path} lies below {above}, which is not a directory")


def _append(out, path, inode, mode, links, data, device):
    name = path.encode() + b"\0"
    uid = gid = mtime = dev_major = dev_minor = checksum = 0
    fields = (inode, mode, uid, gid, links, mtime, len(data), dev_major, dev_minor,
              device[0], device[1], len(name), checksum)
    out += b"070701" + b"".join(b"%08X" % field for field in fields) + name
    out += bytes(-len(out) % 4)
    out += data
    out += bytes(-len(out) % 4)
