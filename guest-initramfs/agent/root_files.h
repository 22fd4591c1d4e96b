// Changing files of a root before anything runs in it. Links are followed, in the agent's current
// root; what is no regular file is left alone.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/unique_fd.h"

namespace vmette::agent {

// Changes files in place or, in a root that is read-only, by a copy in memory that is mounted over
// the file. With `copies` it is made before the agent enters that root and destroyed after it has
// left: neither shows where the copies are.
class RootFiles {
 public:
  // `place`: a directory of the agent's root that the copies may cover meanwhile.
  explicit RootFiles(bool copies, const char* place = "/vmette/files");
  ~RootFiles();
  RootFiles(const RootFiles&) = delete;
  RootFiles& operator=(const RootFiles&) = delete;

  // Appends `lines` to a file that exists, unless they are its end already. 0 or an errno.
  int append(const std::string& path, std::string_view lines);
  // Gives the file this content; one that is missing is made, where that is possible. 0 or an
  // errno.
  int replace(const std::string& path, std::string_view content);

 private:
  int cover(const std::string& path, int old, std::string_view content);

  const char* place_;
  UniqueFd copies_;  // O_PATH
};

// The whole of a regular file; nothing with errno set when there is none.
std::optional<std::string> read_regular(const std::string& path);

}  // namespace vmette::agent
