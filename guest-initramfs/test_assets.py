#!/usr/bin/env python3
"""Tests of the scripts that build the guest's boot files. They need no kernel package."""

import gzip
import lzma
import os
import struct
import tempfile
import types
import unittest
from unittest import mock

import cpio
import elf
import initramfs
import kernel_image
import modules
import tuned_kernel
from kernel_package import Failure


def entries(archive):
    """Reads a newc archive: a list of (name, fields, data), the trailer left out."""
    found, at = [], 0
    while True:
        assert archive[at:at + 6] == b"070701", "no newc header"
        fields = [int(archive[at + 6 + 8 * i:at + 14 + 8 * i], 16) for i in range(13)]
        size, name_size = fields[6], fields[11]
        name = archive[at + 110:at + 109 + name_size].decode()
        data_at = (at + 110 + name_size + 3) // 4 * 4
        if name == "TRAILER!!!":
            return found
        found.append((name, fields, archive[data_at:data_at + size]))
        at = (data_at + size + 3) // 4 * 4


def elf_file(segments=(), sections=(), machine=62):
    """A minimal ELF: `segments` are (type, bytes), `sections` are (name, bytes)."""
    body = bytearray(64)
    program, headers = [], [(0, 0, 0)]
    names = b"\0"
    for kind, data in segments:
        program.append(struct.pack("<IIQQQQQQ", kind, 0, len(body), 0, 0, len(data), 0, 0))
        body += data
    for name, data in (*sections, (".shstrtab", None)):
        at = len(names)
        names += name.encode() + b"\0"
        data = names if data is None else data
        headers.append((at, len(body), len(data)))
        body += data
    program_at = len(body)
    body += b"".join(program)
    section_at = len(body)
    for name, start, size in headers:
        body += struct.pack("<IIQQQQIIQQ", name, 0, 0, 0, start, size, 0, 0, 0, 0)
    body[:64] = struct.pack("<16sHHIQQQIHHHHHH", b"\x7fELF\x02\x01\x01", 2, machine, 1, 0,
                            program_at, section_at, 0, 64, 56, len(program), 64, len(headers),
                            len(headers) - 1)
    return bytes(body)


PVH_NOTE = struct.pack("<III4sI", 4, 4, 18, b"Xen\0", 0x1000000)


def bzimage(payload):
    """A bzImage around that payload, with what the build of the kernel appends to it."""
    setup = bytearray(3 * 512)
    setup[0x1f1] = 2
    setup[0x202:0x206] = b"HdrS"
    struct.pack_into("<H", setup, 0x206, 0x20f)
    struct.pack_into("<II", setup, 0x248, 16, len(payload) + 4)
    return bytes(setup) + bytes(16) + payload + b"size" + b"the rest of the image"


def module(depends="", softdep=None):
    info = f"license=GPL\0depends={depends}\0" + (f"softdep={softdep}\0" if softdep else "")
    return elf_file(sections=[(".modinfo", info.encode())])


class CpioTest(unittest.TestCase):
    def sample(self, order=1):
        archive = cpio.Archive()
        steps = [lambda: archive.add_file("init", b"program", 0o755),
                 lambda: archive.add_directory("tmp", 0o1777),
                 lambda: archive.add_symlink("bin/sh", "busybox"),
                 lambda: archive.add_char_device("dev/console", 5, 1)]
        for step in steps[::order]:
            step()
        return bytes(archive)

    def test_the_order_of_additions_does_not_change_the_bytes(self):
        self.assertEqual(self.sample(1), self.sample(-1))

    def test_entries_are_sorted_and_carry_no_trace_of_the_builder(self):
        found = entries(self.sample())
        self.assertEqual([name for name, _, _ in found],
                         ["bin", "bin/sh", "dev", "dev/console", "init", "tmp"])
        for number, (_, fields, _) in enumerate(found, start=1):
            inode, _, uid, gid, _, mtime = fields[:6]
            self.assertEqual((inode, uid, gid, mtime), (number, 0, 0, 0))

    def test_modes_contents_and_device_numbers_arrive(self):
        found = {name: (fields, data) for name, fields, data in entries(self.sample())}
        self.assertEqual(found["init"][0][1], 0o100755)
        self.assertEqual(found["init"][1], b"program")
        self.assertEqual(found["tmp"][0][1], 0o041777)
        self.assertEqual(found["bin/sh"][0][1], 0o120777)
        self.assertEqual(found["bin/sh"][1], b"busybox")
        self.assertEqual(found["dev/console"][0][1], 0o020600)
        self.assertEqual(found["dev/console"][0][9:11], [5, 1])

    def test_a_path_outside_the_archive_is_refused(self):
        for path in ("/etc/passwd", "../x", "a/../../x", ""):
            with self.assertRaises(ValueError):
                cpio.Archive().add_file(path, b"")

    def test_a_second_entry_of_the_same_name_is_refused(self):
        archive = cpio.Archive()
        archive.add_symlink("bin/sh", "busybox")
        with self.assertRaises(ValueError):
            archive.add_file("bin/sh", b"")
        with self.assertRaises(ValueError):
            archive.add_file("bin/sh/below", b"")


class KernelImageTest(unittest.TestCase):
    kernel = elf_file(segments=[(4, PVH_NOTE)])

    def test_the_elf_file_comes_out_of_a_bzimage_of_each_compression(self):
        for payload in (lzma.compress(self.kernel), gzip.compress(self.kernel),
                        lzma.compress(self.kernel, lzma.FORMAT_ALONE)):
            self.assertEqual(kernel_image.bootable("x86_64", bzimage(payload)), self.kernel)

    def test_a_kernel_without_a_pvh_entry_is_refused_by_that_name(self):
        other_note = struct.pack("<III4sI", 4, 4, 6, b"Xen\0", 0)
        plain = elf_file(segments=[(4, other_note)])
        with self.assertRaisesRegex(ValueError, "PVH"):
            kernel_image.bootable("x86_64", bzimage(lzma.compress(plain)))

    def test_what_is_no_bzimage_is_refused(self):
        with self.assertRaisesRegex(ValueError, "bzImage"):
            kernel_image.bootable("x86_64", bytes(4096))

    def test_an_unknown_compression_is_refused(self):
        with self.assertRaisesRegex(ValueError, "unknown compression"):
            kernel_image.bootable("x86_64", bzimage(b"what is this"))

    def test_an_arm64_image_is_taken_plain_or_out_of_gzip(self):
        image = bytes(0x38) + b"ARMd" + bytes(100)
        self.assertEqual(kernel_image.bootable("aarch64", image), image)
        self.assertEqual(kernel_image.bootable("aarch64", gzip.compress(image)), image)
        with self.assertRaisesRegex(ValueError, "ARMd"):
            kernel_image.bootable("aarch64", bytes(200))


class ModulesTest(unittest.TestCase):
    def tree(self, without=(), builtin=()):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        names = {name: "" for name in modules.REQUIRED}
        names["9p"] = "9pnet"
        names["9pnet_virtio"] = "virtio,9pnet,virtio_ring"
        names.update({"9pnet": "", "virtio": "virtio_ring", "virtio_ring": "", "unrelated": ""})
        for name, depends in names.items():
            if name not in without:
                with open(os.path.join(folder.name, name.replace("_", "-") + ".ko"), "wb") as file:
                    file.write(module(depends))
        with open(os.path.join(folder.name, "modules.builtin"), "w", encoding="utf-8") as file:
            file.writelines(f"kernel/x/{name}.ko\n" for name in builtin)
        return folder.name

    def test_dependencies_come_in_the_order_to_load_them(self):
        chosen = modules.collect(self.tree())
        needs = chosen["9pnet_virtio"][1]
        self.assertEqual(set(needs), {"virtio", "virtio_ring", "9pnet"})
        self.assertLess(needs.index("virtio_ring"), needs.index("virtio"))
        self.assertNotIn("unrelated", chosen)
        self.assertIn("\n9p: 9pnet\n", "\n" + modules.dependency_file(chosen))

    def test_a_kernel_without_9p_is_refused_by_its_name(self):
        with self.assertRaisesRegex(modules.MissingModule, "^9p$"):
            modules.collect(self.tree(without=["9p"]))

    def test_a_built_in_module_is_neither_missed_nor_a_dependency(self):
        chosen = modules.collect(self.tree(without=["9p", "virtio_ring"],
                                           builtin=["9p", "virtio_ring"]))
        self.assertNotIn("9p", chosen)
        self.assertEqual(chosen["virtio"][1], [])

    def test_a_dependency_that_is_nowhere_is_refused(self):
        with self.assertRaisesRegex(modules.MissingModule, "^9pnet$"):
            modules.collect(self.tree(without=["9pnet"]))

    def test_a_signature_is_cut_off_and_nothing_else(self):
        plain = module("jbd2")
        trailer = struct.pack(">8xI", 5) + b"~Module signature appended~\n"
        self.assertEqual(modules.unsigned(plain + b"RSA!!" + trailer), plain)
        self.assertEqual(modules.unsigned(plain), plain)

    def test_the_checksum_asked_for_by_algorithm_becomes_a_dependency(self):
        self.assertEqual(modules.depends(module("jbd2", "pre: crypto-crc32c")),
                         ["crc32c_generic", "jbd2"])


class InitramfsTest(unittest.TestCase):
    def test_a_dynamic_program_or_one_for_another_machine_is_refused_as_agent(self):
        dynamic = elf_file(segments=[(3, b"/lib64/ld-linux-x86-64.so.2\0")])
        with self.assertRaisesRegex(ValueError, "statically linked"):
            initramfs.image("x86_64", dynamic, "busybox", None)
        with self.assertRaisesRegex(ValueError, "not a program for aarch64"):
            initramfs.image("aarch64", elf_file(), "busybox", None)

    def test_elf_sections_are_found_by_name(self):
        image = elf.Elf(elf_file(sections=[(".one", b"1"), (".two", b"22")]))
        self.assertEqual((image.section(".two"), image.section(".three")), (b"22", None))


class TunedKernelTest(unittest.TestCase):
    compiler = types.SimpleNamespace(version="gcc 12\nld 2.40\n")

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.source = self.write("linux-source.tar.xz", "source")

    def write(self, name, text):
        path = os.path.join(self.folder, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return path

    def digest(self, arch="x86_64", source=None, compiler=None):
        return tuned_kernel.digest(arch, source or self.source, compiler or self.compiler)

    def test_the_digest_is_another_one_for_each_changed_input_and_for_no_other_reason(self):
        same = self.digest(source=self.write("elsewhere.tar.xz", "source"))
        self.assertEqual(same, self.digest())
        others = {self.digest(arch="aarch64"),
                  self.digest(source=self.write("other.tar.xz", "another source")),
                  self.digest(compiler=types.SimpleNamespace(version="gcc 13\nld 2.40\n"))}
        with mock.patch.object(tuned_kernel, "fragment", return_value="CONFIG_PVH=y\n"):
            others.add(self.digest())
        self.assertEqual(len(others | {same}), 5)

    def test_a_kernel_in_the_cache_is_taken_and_placed_without_a_build(self):
        cached = f"vmette/kernel/{self.digest()}"
        self.write(f"{cached}/vmlinux", "kernel")
        self.write(f"{cached}/kernel.json", "{}")
        output = os.path.join(self.folder, "set")
        self.write("set/manifest.json", "of the set before")
        with mock.patch.dict(os.environ, {"XDG_CACHE_HOME": self.folder}), \
                mock.patch.object(tuned_kernel, "Compiler", return_value=self.compiler):
            found = tuned_kernel.cached_kernel("x86_64", self.source)
        self.assertEqual(found, os.path.join(self.folder, cached))
        tuned_kernel.place(types.SimpleNamespace(arch="x86_64", folder=output), found)
        self.assertEqual(sorted(os.listdir(output)), ["kernel.json", "vmlinux"])

    def test_settings_that_the_kernel_source_drops_are_named(self):
        config = self.write(".config", "CONFIG_A=y\n# CONFIG_B is not set\nCONFIG_C=m\n")
        tuned_kernel.check_config("CONFIG_A=y\nCONFIG_B=n\nCONFIG_D=n\n", config)
        with self.assertRaisesRegex(Failure, "CONFIG_B=y, CONFIG_C=y$"):
            tuned_kernel.check_config("CONFIG_A=y\nCONFIG_B=y\nCONFIG_C=y\n", config)


if __name__ == "__main__":
    unittest.main()
