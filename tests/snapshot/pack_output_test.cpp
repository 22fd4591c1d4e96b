#include "vmm/qemu/pack_output.h"

#include <string>

#include "support/catch.h"
#include "support/text.h"

using vmette::vmm::PackOutput;
using vmette_test::contains;

TEST_CASE("percentages are read from bars, whole or in pieces") {
  PackOutput output;
  CHECK_FALSE(output.add("Parallel mksquashfs\n"));
  CHECK(output.add("\r[==   ] 1/10  10%") == 10);
  CHECK(output.add("\r[===  ] 2/10  20%\r[==== ] 3/10  30%") == 30);
  CHECK(output.add("\r[=====") == 30);  // whose end came only now
  CHECK(output.add("] 10/10 100%") == 100);
  output.add("\n");
  CHECK_FALSE(output.add("100%\n%\n[%\n[]\n"));
  CHECK(output.add("\r[] 1/1 999%") == 100);
  CHECK(output.add("\r[] 1/1 99999999999999999999%") == 100);
}

TEST_CASE("what could not be read is counted, and the last words are kept") {
  PackOutput output;
  output.add("Could not open x/closed, skipping...\nFailed to read file x/s, creating empty file");
  output.add("\r[=] 1/1 100%\nWrite failed because No space left\nFATAL ERROR: gone\n");
  output.finish();
  CHECK(output.unread() == 2);
  CHECK(contains(output.first_unread(), "x/closed"));
  CHECK(output.words() == "Write failed because No space left: FATAL ERROR: gone");
  CHECK_FALSE(output.lacks_compressor());
}

TEST_CASE("a compressor that is missing is told, and endless lines are cut") {
  PackOutput output;
  output.add("mksquashfs: Compressor \"zstd\" is not supported!\n");
  output.add(std::string(100'000, 'x'));
  output.finish();
  CHECK(output.lacks_compressor());
  CHECK(output.words().size() < 2000);
}
