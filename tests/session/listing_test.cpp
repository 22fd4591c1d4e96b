// What the host keeps of a listing, without a guest.
#include "core/listing.h"

#include <cerrno>
#include <span>
#include <string>
#include <string_view>

#include "support/catch.h"

using namespace vmette;
using namespace vmette::core;

namespace {

std::string entry(const std::string& name) {
  wire::FileInfo info;
  info.name = name;
  const std::string bytes = encode(info);
  return wire::encode_credit(static_cast<uint32_t>(bytes.size())) + bytes;
}

wire::Bytes as_bytes(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

}  // namespace

TEST_CASE("A listing of the shortest entries is bounded by what they take here") {
  // Only a name: far shorter than what an honest guest sends.
  constexpr std::string_view kShortest(
      "\x09\0\0\0\xa1\x64name\x62"
      "ab",
      13);
  std::string entries;
  for (int i = 0; i < 4096; ++i) entries += kShortest;
  ListingSink sink("/path");
  size_t pieces = 0;
  Result<void> taken = success();
  while (taken && pieces < 1024) {
    taken = sink.take(as_bytes(entries));
    ++pieces;
  }
  REQUIRE(!taken);
  CHECK(taken.error().error_number == EFBIG);
  CHECK(sink.sorted().size() <= 524'289);
}

TEST_CASE("A listing is sorted by its names' bytes") {
  ListingSink sink("/path");
  REQUIRE(sink.take(as_bytes(entry("b") + entry("\xff") + entry("a"))));
  REQUIRE(sink.end());
  REQUIRE(sink.sorted().size() == 3);
  CHECK(sink.sorted()[0].name == "a");
  CHECK(sink.sorted()[2].name == "\xff");
}
