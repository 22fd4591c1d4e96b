// Is a file something that the hypervisor can boot? QEMU itself starts a machine with almost any
// file as its kernel and then prints nothing, so a wrong file is told apart before that.
#pragma once

#include <string>

#include "vmm/machine.h"

namespace vmette::vmm {

// Throws Failure bad_kernel, which names the path and says what the file is. x86_64 boots an
// uncompressed ELF with the PVH entry note, or a bzImage; aarch64 boots an uncompressed Image.
void check_kernel(const std::string& path, Arch arch);

// Throws Failure bad_initramfs unless the path is a regular file that can be read.
void check_initramfs(const std::string& path);

}  // namespace vmette::vmm
