#include "core/ca_certs.h"

#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <string>

#include "support/catch.h"
#include "support/certificates.h"
#include "support/environment.h"
#include "support/temp_dir.h"
#include "support/text.h"

using vmette::core::Code;
using vmette::core::Config;
using vmette::core::read_ca_certs;
using vmette_test::certificate;
using vmette_test::contains;
using vmette_test::Environment;
using vmette_test::pem;
using vmette_test::TempDir;

namespace {

// Nothing of the calling user's own.
struct NoDefault {
  Environment named{"VMETTE_CA_CERTS", nullptr};
  Environment xdg{"XDG_CONFIG_HOME", nullptr};
  Environment home{"HOME", nullptr};
};

std::string certs(const Config& config) {
  auto text = read_ca_certs(config);
  if (!text) FAIL(text.error().message);
  return text.value();
}

Config with_directory(const std::string& path) {
  Config config;
  config.ca_certs = path;
  return config;
}

std::string certs_in(const TempDir& dir) {
  return certs(with_directory(dir.path().string()));
}

// The error's message. It names the directory or file, and a remedy after a semicolon.
std::string error(const Config& config) {
  const auto text = read_ca_certs(config);
  REQUIRE_FALSE(text);
  CHECK(text.error().code == Code::kInvalidConfig);
  CHECK(contains(text.error().message, "; "));
  return text.error().message;
}

}  // namespace

TEST_CASE("certificates of a directory come in the order of its names, each once") {
  const NoDefault none;
  const TempDir dir;
  (void)dir.write("b.crt", pem(certificate("two")) + "between\n" + pem(certificate("three")));
  (void)dir.write("a.pem", "# one\r\n" + pem(certificate("one"), "CERTIFICATE", 76, "\r\n"));
  (void)dir.write("c.cer", certificate("four", 20'000));
  (void)dir.write("d.pem", pem(certificate("two")));
  CHECK(certs_in(dir) == pem(certificate("one")) + pem(certificate("two")) +
                             pem(certificate("three")) + pem(certificate("four", 20'000)));
}

TEST_CASE("private keys, requests and other files are left out") {
  const NoDefault none;
  const TempDir dir;
  using vmette_test::der;
  const std::string key =
      der(0x30, der(0x02, std::string(1, '\0')) + der(0x30, "") + der(0x04, "k"));
  const std::string sealed_key = der(0x30, der(0x30, der(0x06, "\x2a")) + der(0x04, "k"));
  (void)dir.write("a.pem", pem(key, "PRIVATE KEY") + pem(certificate("one")) +
                               pem(key, "RSA PRIVATE KEY") + pem(key, "CERTIFICATE REQUEST"));
  (void)dir.write("b.cer", key);
  (void)dir.write("c.cer", sealed_key);
  (void)dir.write("d.key", pem(certificate("key")));
  (void)dir.write("e.txt", pem(certificate("text")));
  (void)dir.write("f.pem", "");
  (void)dir.write("g.pem/file.pem", pem(certificate("below")));
  REQUIRE(mkfifo((dir / "h.pem").c_str(), 0600) == 0);
  std::filesystem::create_symlink("nowhere", dir.path() / "i.pem");
  CHECK(certs_in(dir) == pem(certificate("one")));
}

TEST_CASE("links to certificates are followed") {
  const NoDefault none;
  const TempDir dir;
  const TempDir elsewhere;
  std::filesystem::create_symlink(elsewhere.write("file", pem(certificate("one"))),
                                  dir.path() / "link.crt");
  CHECK(certs_in(dir) == pem(certificate("one")));
}

TEST_CASE("of share, configuration, variable and user's directory the first is used") {
  const TempDir dir;
  for (const char* name :
       {"share", "config", "variable", "xdg/vmette/certs", "home/.config/vmette/certs"})
    (void)dir.write(std::string(name) + "/x.pem", pem(certificate(name)));
  Environment home("HOME", (dir / "home").c_str());
  Environment xdg("XDG_CONFIG_HOME", (dir / "xdg").c_str());
  Environment variable("VMETTE_CA_CERTS", (dir / "variable").c_str());
  Config config = with_directory(dir / "config");
  config.shares.push_back({"other", dir / "nowhere", true, ""});
  CHECK(certs(config) == pem(certificate("config")));
  config.shares.push_back({"certs", dir / "share", true, "/srv"});
  CHECK(certs(config) == pem(certificate("share")));
  CHECK(certs(Config()) == pem(certificate("variable")));
  {
    const Environment unset("VMETTE_CA_CERTS", nullptr);
    CHECK(certs(Config()) == pem(certificate("xdg/vmette/certs")));
    for (const char* ignored : {static_cast<const char*>(nullptr), "", "relative"}) {
      const Environment no_xdg("XDG_CONFIG_HOME", ignored);
      CHECK(certs(Config()) == pem(certificate("home/.config/vmette/certs")));
    }
  }
}

TEST_CASE("an empty name adds no certificates, whatever comes after it") {
  const TempDir dir;
  (void)dir.write("vmette/certs/x.pem", pem(certificate("user")));
  Environment xdg("XDG_CONFIG_HOME", dir.path().c_str());
  Environment variable("VMETTE_CA_CERTS", "");
  CHECK(certs(Config()).empty());
  const Environment named("VMETTE_CA_CERTS", "/no/such/directory");
  CHECK(certs(with_directory("")).empty());
}

TEST_CASE("only the user's own directory may be missing or empty") {
  const TempDir dir;
  Environment variable("VMETTE_CA_CERTS", nullptr);
  {
    const NoDefault nowhere;
    CHECK(certs(Config()).empty());
  }
  Environment xdg("XDG_CONFIG_HOME", dir.path().c_str());
  CHECK(certs(Config()).empty());
  std::filesystem::create_directories(dir / "vmette/certs");
  CHECK(certs(Config()).empty());

  const std::string empty = dir / "vmette/certs";
  CHECK(error(with_directory(empty)).starts_with("ca_certs: '" + empty + "' has no certificate"));
  const std::string missing = dir / "missing";
  CHECK(error(with_directory(missing))
            .starts_with("ca_certs: '" + missing + "' cannot be read: No such file"));
  const std::string file = dir.write("file", "");
  CHECK(error(with_directory(file))
            .starts_with("ca_certs: '" + file + "' cannot be read: Not a dir"));
  const Environment named("VMETTE_CA_CERTS", missing.c_str());
  CHECK(error(Config()).starts_with("VMETTE_CA_CERTS: '" + missing + "' cannot be read"));
  Config shared;
  shared.shares.push_back({"certs", empty, true, ""});
  CHECK(error(shared).starts_with("shares: certs: '" + empty + "' has no certificate"));
}

TEST_CASE("a damaged certificate is an error that names the file, in the user's directory too") {
  const std::string whole = pem(certificate("one"));
  const TempDir dir;
  Environment variable("VMETTE_CA_CERTS", nullptr);
  Environment xdg("XDG_CONFIG_HOME", dir.path().c_str());
  const std::string text[] = {
      whole.substr(0, whole.size() - 8),
      whole.substr(0, 60) + "!" + whole.substr(61),
      "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n",
      pem(certificate("one").substr(1)),
      pem(certificate("one") + "more"),
      certificate("one").substr(0, 100),
      certificate("one") + "more",
      "\x30",
      "\x30\x84\x01\x01\x01\x01",
      "\x30\x82\x01",
  };
  for (const std::string& bytes : text) {
    INFO(bytes);
    const std::string file = dir.write("vmette/certs/x.pem", bytes);
    CHECK(error(Config()).starts_with("ca_certs: '" + file + "' has a damaged certificate"));
  }
}

TEST_CASE("more than 1 MiB of certificates, or in one file, is an error") {
  const NoDefault none;
  const TempDir dir;
  // 80 KiB of text each.
  for (int i = 0; i < 12; ++i)
    (void)dir.write(std::to_string(i) + ".cer", certificate(std::to_string(i), 60'000));
  CHECK(certs_in(dir).size() > 950'000);
  (void)dir.write("x.cer", certificate("x", 60'000));
  const std::string path = dir.path().string();
  CHECK(error(with_directory(path))
            .starts_with("ca_certs: the certificates in '" + path + "' are larger than 1 MiB"));
  const TempDir one;
  const std::string file = one.write("x.pem", std::string((1 << 20) + 1, '\n'));
  CHECK(error(with_directory(one.path().string()))
            .starts_with("ca_certs: '" + file + "' is larger than 1 MiB"));
}

TEST_CASE("a file that cannot be read is an error") {
  if (geteuid() == 0) {
    WARN("not tested: root reads every file");
    return;
  }
  const NoDefault none;
  const TempDir dir;
  const std::string file = dir.write("a.pem", pem(certificate("one")));
  REQUIRE(chmod(file.c_str(), 0) == 0);
  CHECK(error(with_directory(dir.path().string()))
            .starts_with("ca_certs: '" + file + "' cannot be read"));
}
