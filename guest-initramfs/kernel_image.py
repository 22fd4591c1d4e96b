"""Turns a distribution's vmlinuz into the file that the hypervisors boot.

x86_64: the uncompressed ELF out of the bzImage (PVH boot). aarch64: the uncompressed Image.
"""

import bz2
import gzip
import lzma
import shutil
import struct
import subprocess
import zlib

from elf import MACHINES, Elf


def bootable(arch, vmlinuz):
    """The bytes of the kernel to boot; raises ValueError when `vmlinuz` holds none for `arch`."""
    return _x86_elf(vmlinuz) if arch == "x86_64" else _arm64_image(vmlinuz)


def check(arch, kernel):
    """Raises ValueError unless `kernel` is what the hypervisors can boot on `arch`."""
    if arch == "x86_64":
        elf = Elf(kernel)
        if elf.machine != MACHINES[arch]:
            raise ValueError("the kernel is not an x86_64 ELF file")
        if not elf.has_pvh_entry():
            raise ValueError("the kernel has no PVH entry; it needs CONFIG_PVH=y")
    elif kernel[0x38:0x3c] != b"ARMd":
        raise ValueError("the kernel is not an uncompressed arm64 Image (no ARMd at 0x38)")


def _x86_elf(image):
    if image[0x202:0x206] != b"HdrS":
        raise ValueError("vmlinuz is not an x86 bzImage (no HdrS at 0x202)")
    version, = struct.unpack_from("<H", image, 0x206)
    if version < 0x208:
        raise ValueError(f"boot protocol {version:#x} is too old, 0x208 is needed")
    setup_sectors = image[0x1f1] or 4
    offset, length = struct.unpack_from("<II", image, 0x248)
    start = (setup_sectors + 1) * 512 + offset
    kernel = _decompress(image[start:start + length])
    check("x86_64", kernel)
    return kernel


def _arm64_image(image):
    kernel = gzip.decompress(image) if image[:2] == b"\x1f\x8b" else image
    check("aarch64", kernel)
    return kernel


def _decompress(payload):
    # What the kernel's build appends after the stream (its size, 4 bytes) is dropped.
    if payload[:2] == b"\x1f\x8b":
        return zlib.decompressobj(wbits=31).decompress(payload)
    if payload[:6] == b"\xfd7zXZ\0":
        return lzma.LZMADecompressor(lzma.FORMAT_XZ).decompress(payload)
    if payload[:3] == b"\x5d\0\0":
        return lzma.LZMADecompressor(lzma.FORMAT_ALONE).decompress(payload)
    if payload[:3] == b"BZh":
        return bz2.BZ2Decompressor().decompress(payload)
    if payload[:4] == b"\x28\xb5\x2f\xfd":
        return _pipe("zstd", payload[:-4])
    if payload[:4] == b"\x02\x21\x4c\x18":
        return _pipe("lz4", payload[:-4])
    if payload[:4] == b"\x7fELF":
        return payload
    raise ValueError(f"unknown compression of the kernel (starts with {payload[:6].hex()})")


def _pipe(program, payload):
    if not shutil.which(program):
        raise ValueError(f"the kernel is compressed with {program}: install the package {program}")
    return subprocess.run([program, "-dc"], input=payload, stdout=subprocess.PIPE,
                          check=True).stdout
