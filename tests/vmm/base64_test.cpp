#include "base/base64.h"

#include "support/catch.h"

using vmette::base64_decode;
using vmette::base64_encode;

TEST_CASE("base64 encodes the examples of RFC 4648") {
  CHECK(base64_encode("").empty());
  CHECK(base64_encode("f") == "Zg==");
  CHECK(base64_encode("fo") == "Zm8=");
  CHECK(base64_encode("foo") == "Zm9v");
  CHECK(base64_encode("foob") == "Zm9vYg==");
}

TEST_CASE("base64 gives every byte back at every length") {
  std::string bytes;
  for (int i = 0; i < 300; ++i) {
    bytes += static_cast<char>(i * 7);
    REQUIRE(base64_decode(base64_encode(bytes)) == bytes);
  }
}

TEST_CASE("base64 refuses what is not canonical") {
  for (const char* text : {"Z", "Zg=", "Zg", "Z===", "Zg==Zg==", "Zm9v====", "Zm 9v===", "Zh==",
                           "Zm9=", "Zm9-", "====", "Zg==\n"}) {
    INFO(text);
    CHECK_FALSE(base64_decode(text).has_value());
  }
}
