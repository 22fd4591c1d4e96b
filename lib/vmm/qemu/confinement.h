#pragma once

namespace vmette::vmm {

// For this process and all that it starts, for ever: no system call makes a setuid or setgid file
// or a device node any more (EPERM). Sets no_new_privs. Also takes away what could get round it:
// openat2 and io_uring (ENOSYS). Returns 0 or an errno.
int forbid_special_files();

// For a child before its exec: what the program will be able to do as root is at most what the
// owner of the files it opens may do. No file capabilities can be set, and a write takes the
// setuid bit off a file. Returns nullptr, or what could not be done with errno set.
const char* drop_capabilities();

}  // namespace vmette::vmm
