// The calls that are over as soon as they begin: one file, one answer.
#pragma once

#include <sys/stat.h>

#include <optional>

#include "root_fs.h"
#include "wire/calls.h"

namespace vmette::agent {

// What a call came to: `error` is 0 or an errno.
struct Answer {
  int error = 0;
  wire::CallResult result;
};

// What is at `name` in the directory, a link not followed; an empty name means `directory` itself.
// Nothing with errno set.
std::optional<wire::FileInfo> file_info(int directory, const char* name);

Answer stat_file(const RootFs& root, const wire::Call& call);
Answer make_directory(const RootFs& root, const wire::Call& call);
Answer rename_file(const RootFs& root, const wire::Call& call);
Answer make_symlink(const RootFs& root, const wire::Call& call);
Answer change_mode(const RootFs& root, const wire::Call& call);
Answer change_owner(const RootFs& root, const wire::Call& call);
Answer set_mtime(const RootFs& root, const wire::Call& call);
// Memory, load, processes, and room for the root's changes.
Answer machine_stats(const RootFs& root);

}  // namespace vmette::agent
