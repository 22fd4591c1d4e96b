#include "identity.h"

#include <sys/statvfs.h>

#include "etc_files.h"
#include "machine.h"
#include "root_files.h"

namespace vmette::agent {

void renew_identity(const RootFs& root, const std::string& old_name, const wire::Wake& wake) {
  set_hostname(wake.hostname);
  struct statvfs info{};
  const bool read_only =
      fstatvfs(root.directory.get(), &info) == 0 && (info.f_flag & ST_RDONLY) != 0;
  // No directory can be made in a root that is read-only, and nobody runs who would look at /proc.
  RootFiles files(read_only, "/proc");
  const InsideRoot inside(root);
  if (!wake.hostname.empty()) rename_host(files, old_name, wake.hostname);
  if (!wake.machine_id.empty()) replace_machine_id(files, wake.machine_id);
}

}  // namespace vmette::agent
