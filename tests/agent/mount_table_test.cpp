#include "mount_table.h"

#include <sys/sysmacros.h>

#include <string>

#include "busy.h"
#include "support/catch.h"

using namespace vmette::agent;

TEST_CASE("a mount table is read with all optional fields and odd names") {
  const auto table = parse_mount_table(
      "21 1 0:2 / / rw - rootfs rootfs rw\n"
      "36 21 0:31 / /mnt/a\\040b\\134c rw,relatime shared:1 master:2 - 9p a\\040tag "
      "rw,trans=virtio\n"
      "37 36 259:1048575 /sub /mnt/x ro - ext4 /dev/vda ro\n");
  REQUIRE(table.size() == 3);
  CHECK(table[0].point == "/");
  CHECK(table[0].type == "rootfs");
  CHECK(table[1].id == 36);
  CHECK(table[1].parent == 21);
  CHECK(table[1].device == makedev(0, 31));
  CHECK(table[1].point == "/mnt/a b\\c");
  CHECK(table[1].type == "9p");
  CHECK(table[1].source == "a tag");
  CHECK(table[2].device == makedev(259, 1048575));
}

TEST_CASE("malformed lines of a mount table are left out") {
  CHECK(parse_mount_table("").empty());
  CHECK(parse_mount_table("\n\n \n").empty());
  CHECK(parse_mount_table("21 1 0:2 / / rw rootfs rootfs rw\n").empty());
  CHECK(parse_mount_table("21 1 02 / / rw - rootfs rootfs rw\n").empty());
  CHECK(parse_mount_table("21 1 0:2 / / rw - ").empty());
  CHECK(parse_mount_table("x\n21 1 0:2 / / rw - proc proc rw").size() == 1);
}

TEST_CASE("a mapping is known by its device") {
  const std::vector<dev_t> devices{makedev(0, 0x2a), makedev(8, 1)};
  const std::string range = "7f1c3a000000-7f1c3a021000 r--p 00000000 ";
  CHECK(mapped_device(range + "00:2a 8    /mnt/one/file", devices) == makedev(0, 0x2a));
  CHECK(mapped_device(range + "08:01 99 /bin/a b", devices) == makedev(8, 1));
  CHECK_FALSE(mapped_device(range + "00:2b 8 /other", devices));
  CHECK_FALSE(mapped_device(range + "00:00 0", devices));
  CHECK_FALSE(mapped_device(range + "00:00 0 [heap]", {0}));
  for (const char* line : {"", "x", "a b c", "a b c d", "    "})
    CHECK_FALSE(mapped_device(line, devices));
}
