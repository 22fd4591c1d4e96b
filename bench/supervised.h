// A benchmark leaves nothing behind, however it ends.
#pragma once

#include <filesystem>
#include <functional>

namespace vmette::bench {

// Runs `work` in a child process with a new directory of its own and returns the exit
// code. The directory is removed when the child has ended, even when it was killed or this process
// was asked to end; machines end with the process that made them. Call it before any thread starts.
int supervised(const std::filesystem::path& parent_directory,
               const std::function<void(const std::filesystem::path& directory)>& work);

}  // namespace vmette::bench
