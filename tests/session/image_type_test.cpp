#include "core/image_type.h"

#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <random>
#include <string>

#include "support/catch.h"
#include "support/images.h"
#include "support/temp_dir.h"
#include "support/text.h"

using vmette::core::Code;
using vmette::core::image_fstype;
using vmette_test::contains;
using vmette_test::make_image;
using vmette_test::TempDir;

namespace {

void refuses(const std::string& path, const std::string& what) {
  const auto type = image_fstype("rootfs", path);
  INFO(path);
  REQUIRE_FALSE(type);
  const std::string& message = type.error().message;
  INFO(message);
  CHECK(type.error().code == Code::kInvalidConfig);
  CHECK(message.rfind("rootfs: '" + path + "' ", 0) == 0);
  CHECK(contains(message, what));
  CHECK_FALSE(contains(message, "\n"));
}

}  // namespace

TEST_CASE("an image's file system is told by its superblock, whatever the file is called") {
  const TempDir dir;
  (void)dir.write("tree/file", "x");
  for (const std::string fstype : {"squashfs", "erofs", "ext4"}) {
    const std::string image = dir / (fstype + "-image.tar.gz");
    make_image(fstype, dir / "tree", image);
    const auto type = image_fstype("rootfs", image);
    if (!type) FAIL(type.error().message);
    CHECK(type.value() == fstype);
  }
}

TEST_CASE("an image that is shorter than its superblock says is refused with both sizes") {
  const TempDir dir;
  // Bytes that no compression makes shorter.
  std::string noise(100'000, '\0');
  std::minstd_rand random;
  for (char& byte : noise) byte = static_cast<char>(random() >> 8);
  (void)dir.write("tree/file", noise);
  for (const std::string fstype : {"squashfs", "erofs", "ext4"}) {
    const std::string image = dir / fstype;
    make_image(fstype, dir / "tree", image);
    std::filesystem::resize_file(image, 4096);
    refuses(image, "cut short: its " + fstype + " needs ");
    refuses(image, "4096 are there");
  }
}

TEST_CASE("what is no image is refused and named for what it is") {
  const TempDir dir;
  refuses(dir.write("empty.squashfs", ""), "is empty");
  refuses(dir.write("text.squashfs", "no image"), "use a squashfs, erofs or ext4 image");
  refuses(dir.write("zeros", std::string(100'000, '\0')), "holds no file system");
  refuses(dir.write("gzip", "\x1f\x8b..."), "compressed; unpack it");
  refuses(dir.write("qcow2", "QFI\xfb..."), "qcow2");
  refuses(dir.write("tar", std::string(257, 'n') + "ustar"), "tar archive");
  refuses(dir.write("gpt", std::string(512, '\0') + "EFI PART"), "partitions");
  refuses(dir.write("xfs", "XFSB" + std::string(100, '\0')), "xfs");
  refuses(dir.path().string(), "is not a file");
  refuses(dir / "nothing", "No such file");
  REQUIRE(mkfifo((dir / "fifo").c_str(), 0600) == 0);
  refuses(dir / "fifo", "is not a file");
}

TEST_CASE("a superblock with numbers that no image has is refused, not computed with") {
  const TempDir dir;
  std::string bytes(4096, '\0');
  bytes.replace(1024 + 56, 2, "\x53\xef");
  bytes.replace(1024 + 4, 4, "\xff\xff\xff\xff");
  bytes.replace(1024 + 96, 4, std::string("\x80\0\0\0", 4));
  bytes.replace(1024 + 0x150, 4, "\xff\xff\xff\xff");
  refuses(dir.write("ext4", bytes), "holds no file system");
  bytes = std::string(4096, '\0');
  bytes.replace(1024, 4, "\xe2\xe1\xf5\xe0");
  bytes[1024 + 12] = '\xff';
  refuses(dir.write("erofs", bytes), "holds no file system");
}
