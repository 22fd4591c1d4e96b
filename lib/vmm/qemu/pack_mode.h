#pragma once

#include "base/unique_fd.h"

namespace vmette::vmm {

// The helper as a packer of one directory: takes one order from the socket, runs mksquashfs and
// tells how far it is (docs/vmm-protocol.md). Ends with the peer, and mksquashfs with it. Returns
// the exit status of the process.
int pack_mode(UniqueFd socket);

}  // namespace vmette::vmm
