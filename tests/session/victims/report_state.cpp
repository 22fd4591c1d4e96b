// Stands in for the helper: says on descriptor 3 what it was started with, then waits for the
// socket's end and exits with status 7.
#include <dirent.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <string>

namespace {

constexpr int kSocket = 3;

std::string open_descriptors() {
  std::string list;
  DIR* directory = opendir("/proc/self/fd");
  if (directory == nullptr) return "none";
  while (const dirent* entry = readdir(directory)) {
    const int fd = std::atoi(entry->d_name);
    if (entry->d_name[0] != '.' && fd != dirfd(directory)) list += std::string(entry->d_name) + " ";
  }
  closedir(directory);
  return list;
}

bool is_null(int fd) {
  struct stat own{};
  struct stat null{};
  return fstat(fd, &own) == 0 && stat("/dev/null", &null) == 0 && own.st_rdev == null.st_rdev;
}

std::string odd_signals() {
  std::string list;
  sigset_t mask;
  sigprocmask(SIG_SETMASK, nullptr, &mask);
  for (int number = 1; number < NSIG; ++number) {
    struct sigaction action{};
    if (sigaction(number, nullptr, &action) != 0) continue;
    if (action.sa_handler != SIG_DFL || sigismember(&mask, number) == 1)
      list += std::to_string(number) + " ";
  }
  return list;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string report = "fds: " + open_descriptors() +
                             "\nnull: " + (is_null(0) && is_null(1) && is_null(2) ? "yes" : "no") +
                             "\nsignals: " + odd_signals() +
                             "\nsession: " + (getsid(0) == getpid() ? "own" : "shared") +
                             "\nargc: " + std::to_string(argc) + "\nargv0: " + argv[0] + "\nend\n";
  if (write(kSocket, report.data(), report.size()) != static_cast<ssize_t>(report.size())) return 1;
  char byte = 0;
  while (read(kSocket, &byte, 1) > 0) {
  }
  return 7;
}
