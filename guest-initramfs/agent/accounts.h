// Users and groups from the text of /etc/passwd and /etc/group: a static program has no NSS, and
// the files are the guest's. No I/O.
#pragma once

#include <sys/types.h>

#include <string>
#include <string_view>
#include <vector>

namespace vmette::agent {

// Who a command runs as.
struct Account {
  uid_t uid = 0;
  gid_t gid = 0;
  std::vector<gid_t> groups;  // supplementary, gid included
  std::string name;           // empty for a number without an entry
  std::string home = "/";
  std::string shell = "/bin/sh";
};

// The account of an empty user: root, without a look at any file.
Account root_account();

// `spec` is a name, a uid, name:group or uid:gid. A number needs no entry; its group is then 0, as
// in container images. With a group given, that group is the only one. Returns an error text, empty
// when `account` has been filled.
std::string find_account(std::string_view spec, std::string_view passwd, std::string_view group,
                         Account& account);

}  // namespace vmette::agent
