// Temporary directories of snapshots: their names, their locks, their removal.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/unique_fd.h"
#include "core/error.h"

namespace vmette::core {

// ".<name>.vmette-<16 hexadecimal digits>", another one with each call.
std::string draft_name(std::string_view name);
bool is_draft_name(std::string_view name);

// A directory in an open one; no link is followed. Invalid with errno.
UniqueFd open_directory_at(int parent, const std::string& name);
// What an open directory holds, sorted, without "." and "..". False with errno.
bool list_directory(int directory, std::vector<std::string>& names);
// Whether that name still leads to that open directory.
bool is_named(int parent, const std::string& name, int directory);
// flock() that goes on after signals. False with errno.
bool lock(int fd, int operation);

// Removes the files in an open directory, one level, and the directory by its name. What is gone
// already is fine. False with errno.
bool remove_directory(int parent, const std::string& name, int directory);

// Where a path leads: the directory above and the name in it, without trailing slashes. kSnapshot
// for what names no new entry of a directory ("/", "x/..").
struct Place {
  std::string parent;  // absolute
  std::string name;
};
Result<Place> place_of(const std::string& path);

}  // namespace vmette::core
