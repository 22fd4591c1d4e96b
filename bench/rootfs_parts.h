// The parts of bench/rootfs. Each prints its figures and verdicts.
#pragma once

#include <filesystem>
#include <string>
#include <vector>
#include <vmette.hpp>

#include "need.h"

namespace vmette::bench {

// What the parts work with.
struct Lab {
  std::string kernel;
  std::string initramfs;               // vmette's
  std::string raw_initramfs;           // the same with rootfs_init.c as /init
  std::string share_io;                // guest/share_io.c
  std::string debian_image;            // debian_image.py
  std::filesystem::path directory;     // temporary, empty
  std::filesystem::path build_folder;  // for what a later run needs again
};

// Sequential and metadata work in a share, for virtio-fs and 9p.
void bench_shares(const Lab& lab);
// Boots from a squashfs image to the output of a Python program in it, without and with a scratch
// disk.
void bench_image_boots(const Lab& lab);

// The configuration of a machine with the lab's kernel, under emulation.
vmette::Config lab_config(const Lab& lab);

// Runs a command in the machine and returns what it printed.
std::string output_of(vmette::Session& session, const std::vector<std::string>& argv);

}  // namespace vmette::bench
