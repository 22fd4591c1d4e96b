#include "snapshot.h"

#include <iostream>
#include <vmette.hpp>

#include "report.h"

namespace vmette_cli {
namespace {

int info(const vmette::Snapshot& snapshot) {
  std::cout << "snapshot " << snapshot.path() << "\n  saved     " << snapshot.created_at()
            << ", the machine stood still for " << snapshot.pause().count() / 1000 << " ms"
            << "\n  machine   " << snapshot.vcpus() << " vCPU, " << snapshot.mem_mib()
            << " MiB\n  files     " << snapshot.bytes() / (1024 * 1024) << " MiB, fewer on disk\n"
            << snapshot.manifest();
  return 0;
}

int verify(const vmette::Snapshot& snapshot) {
  const auto whole = snapshot.verify();
  if (!whole) {
    report(whole.error());
    return 1;
  }
  std::cout << "snapshot " << snapshot.path() << ": every file is as it was saved\n";
  return 0;
}

}  // namespace

int snapshot_command(const std::string& verb, const std::string& path) {
  if (verb == "remove") {
    const auto removed = vmette::Snapshot::remove(path);
    if (!removed) report(removed.error());
    return removed ? 0 : 1;
  }
  const auto snapshot = vmette::Snapshot::open(path);
  if (!snapshot) {
    report(snapshot.error());
    return 1;
  }
  return verb == "verify" ? verify(snapshot.value()) : info(snapshot.value());
}

}  // namespace vmette_cli
