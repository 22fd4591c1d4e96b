#pragma once

#include <functional>
#include <thread>

namespace vmette::core {

// A thread of the library's own: it blocks all signals, so that the host program's never land on
// it. `name` has at most 15 bytes. Throws std::system_error when there is no thread to be had.
std::thread quiet_thread(const char* name, std::function<void()> body);

}  // namespace vmette::core
