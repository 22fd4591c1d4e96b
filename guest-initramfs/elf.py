"""Reads the few things that the build needs from 64-bit little-endian ELF files."""

import struct

MACHINES = {"x86_64": 62, "aarch64": 183}
_PT_INTERP, _PT_NOTE = 3, 4
_XEN_PHYS32_ENTRY = 18


class Elf:
    """An ELF image in memory. Raises ValueError when `data` is something else."""

    def __init__(self, data):
        if data[:6] != b"\x7fELF\x02\x01" or len(data) < 64:
            raise ValueError("not a 64-bit little-endian ELF file")
        self.data = data
        self.machine = struct.unpack_from("<H", data, 18)[0]

    def segments(self, kind):
        """The bytes of every program header of that kind."""
        offset, = struct.unpack_from("<Q", self.data, 32)
        size, count = struct.unpack_from("<HH", self.data, 54)
        for at in range(offset, offset + size * count, size):
            if struct.unpack_from("<I", self.data, at)[0] == kind:
                start, = struct.unpack_from("<Q", self.data, at + 8)
                length, = struct.unpack_from("<Q", self.data, at + 32)
                yield self.data[start:start + length]

    def section(self, wanted):
        """The bytes of the section of that name, or None."""
        offset, = struct.unpack_from("<Q", self.data, 40)
        size, count, names_at = struct.unpack_from("<HHH", self.data, 58)
        headers = [struct.unpack_from("<IIQQQQ", self.data, offset + i * size)
                   for i in range(count)]
        names = headers[names_at]
        for name, _, _, _, start, length in headers:
            end = self.data.index(b"\0", names[4] + name)
            if self.data[names[4] + name:end] == wanted.encode():
                return self.data[start:start + length]
        return None

    def is_static(self):
        return not any(True for _ in self.segments(_PT_INTERP))

    def has_pvh_entry(self):
        """True for an x86 kernel that a hypervisor can enter directly (PVH)."""
        return any((name, kind) == (b"Xen\0", _XEN_PHYS32_ENTRY)
                   for segment in self.segments(_PT_NOTE) for name, kind in _notes(segment))


def _notes(segment):
    at = 0
    while at + 12 <= len(segment):
        name_size, value_size, kind = struct.unpack_from("<III", segment, at)
        yield segment[at + 12:at + 12 + name_size], kind
        at += 12 + (name_size + 3) // 4 * 4 + (value_size + 3) // 4 * 4
