#include "accounts.h"

#include <string>
#include <string_view>
#include <vector>

#include "support/catch.h"

using vmette::agent::Account;
using vmette::agent::find_account;
using Groups = std::vector<gid_t>;

namespace {

constexpr std::string_view kPasswd =
    "root:x:0:0:root:/root:/bin/bash\n"
    "\n"
    "bob:x:1000:1001:Bob:/home/bob:/bin/ash\n"
    "bare:x:7:8:::\n"
    "broken:x:abc:8:::\n"
    "1000x:x:55:55::/:/bin/sh";
constexpr std::string_view kGroup =
    "root:x:0:\nbob:x:1001:\nwheel:x:10:root,bob\naudio:x:11:bobby,bob\nagain:x:10:bob\nodd:x:-1:"
    "bob";

Account found(std::string_view spec) {
  Account account;
  CHECK(find_account(spec, kPasswd, kGroup, account).empty());
  return account;
}

std::string refused(std::string_view spec) {
  Account account;
  return find_account(spec, kPasswd, kGroup, account);
}

}  // namespace

TEST_CASE("a user by name has the ids, groups, home and shell of its entries") {
  const Account bob = found("bob");
  CHECK(bob.uid == 1000);
  CHECK(bob.gid == 1001);
  CHECK(bob.groups == Groups{1001, 10, 11});
  CHECK(bob.name == "bob");
  CHECK(bob.home == "/home/bob");
  CHECK(bob.shell == "/bin/ash");
}

TEST_CASE("a user by number is found by its uid and needs no entry") {
  CHECK(found("1000").name == "bob");
  CHECK(found("1000").groups == Groups{1001, 10, 11});
  const Account stranger = found("4242");
  CHECK(stranger.uid == 4242);
  CHECK(stranger.gid == 0);
  CHECK(stranger.groups == Groups{0});
  CHECK(stranger.name.empty());
  CHECK(stranger.home == "/");
}

TEST_CASE("a name that looks like a number wins over the number") {
  CHECK(found("1000x").uid == 55);
}

TEST_CASE("a group given with the user is its only one") {
  const Account bob = found("bob:audio");
  CHECK(bob.uid == 1000);
  CHECK(bob.gid == 11);
  CHECK(bob.groups == Groups{11});
  CHECK(found("5:6").groups == Groups{6});
}

TEST_CASE("empty home and shell fields get defaults") {
  const Account bare = found("bare");
  CHECK(bare.home == "/");
  CHECK(bare.shell == "/bin/sh");
}

TEST_CASE("a user or group that cannot be is refused by name") {
  CHECK(refused("alice") == "no such user: alice");
  CHECK(refused("bob:nogroup") == "no such group: nogroup");
  CHECK(refused("bob:") == "no such group: ");
  CHECK(refused("") == "no such user: ");
  CHECK(refused("-1") == "no such user: -1");
  CHECK(refused("99999999999") == "no such user: 99999999999");
  CHECK(refused("broken") == "malformed entry of user broken");
}

TEST_CASE("the number that means unchanged to the kernel is nobody's") {
  CHECK(refused("4294967295") == "no such user: 4294967295");
  CHECK(refused("0:4294967295") == "no such group: 4294967295");
  CHECK(found("4294967294").uid == 4294967294U);
}
