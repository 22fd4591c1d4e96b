// What is wrong with a snapshot, and what goes wrong while one is made.
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "snapshot/saved.h"
#include "support/program.h"
#include "support/text.h"

using nlohmann::json;
using vmette::ErrorCode;
using vmette_test::children_of;
using vmette_test::contains;
using vmette_test::eventually;
using vmette_test::helpers_marked;
using vmette_test::kDeadline;
using vmette_test::manifest_at;
using vmette_test::must;
using vmette_test::own_helpers;
using vmette_test::Program;
using vmette_test::ProgramOptions;
using vmette_test::saved;
using vmette_test::says;
using vmette_test::small_machine;
using vmette_test::TempDir;
using vmette_test::text;
using vmette_test::Watched;

namespace fs = std::filesystem;

namespace {

// A copy of the shared snapshot that a test may spoil. The times of its files stay.
class Spoiled {
 public:
  Spoiled() { fs::copy(saved().path(), path(), fs::copy_options::recursive); }
  [[nodiscard]] std::string path() const { return dir_ / "copy"; }
  [[nodiscard]] std::string file(const std::string& name) const { return path() + "/" + name; }

  template <class Change>
  void change_manifest(Change change) const {
    json manifest = manifest_at(path());
    change(manifest);
    std::ofstream(file("manifest.json")) << manifest.dump(2) << '\n';
  }
  // Why it cannot be resumed.
  [[nodiscard]] vmette::Error refusal() const {
    const auto snapshot = vmette::Snapshot::open(path());
    if (!snapshot) return snapshot.error();
    const auto clone = snapshot.value().resume();
    REQUIRE_FALSE(clone);
    return clone.error();
  }

 private:
  TempDir dir_;
};

void check_names(const vmette::Error& error, const std::string& field,
                 const std::string& saved_value, const std::string& here) {
  const std::string message = text(error.message());
  INFO(message);
  CHECK(error.code() == ErrorCode::kRestoreFailed);
  CHECK(contains(message, field));
  CHECK(contains(message, saved_value));
  CHECK(contains(message, here));
}

bool nothing_in(const TempDir& dir) {
  return fs::is_empty(dir.path());
}

// A program that saves into `dir`, as far as the directory that the helper makes.
class Saver {
 public:
  explicit Saver(const TempDir& dir)
      : dir_(dir), program_({VMETTE_TEST_SAVER, "save", dir.path().string()}, marked(dir)) {
    REQUIRE(program_.wait_for("ready", kDeadline));
    REQUIRE(eventually([&] { return !nothing_in(dir_); }));
  }
  Program& program() { return program_; }
  [[nodiscard]] Watched helper() const {
    auto found = helpers_marked("VMETTE_TEST_MARK", dir_.path().string());
    REQUIRE(found.size() == 1);
    return std::move(found[0]);
  }

  static ProgramOptions marked(const TempDir& dir) {
    ProgramOptions options;
    options.env = {{"VMETTE_TEST_MARK", dir.path().string()}};
    return options;
  }

 private:
  const TempDir& dir_;
  Program program_;
};

}  // namespace

TEST_CASE("a manifest of another host is refused by the field that differs") {
  struct Case {
    const char* pointer;
    json value;
    const char* field;
  };
  const Case cases[] = {
      {"/identity/version", "99.1.0", "version"},
      {"/identity/machine", "q35", "machine"},
      {"/identity/cpu", "z80", "cpu"},
      {"/identity/arch", "sparc", "arch"},
      {"/protocol", 4711, "protocol"},
      {"/kernel/size", 4711, "kernel"},
      {"/memory_mib", 4711, "memory_mib"},
  };
  for (const Case& one : cases) {
    INFO(one.pointer);
    const Spoiled snapshot;
    std::string before;
    snapshot.change_manifest([&](json& manifest) {
      json& place = manifest[json::json_pointer(one.pointer)];
      before = place.is_string() ? place.get<std::string>() : place.dump();
      place = one.value;
    });
    const std::string now = one.value.is_string() ? one.value.get<std::string>() : one.value.dump();
    check_names(snapshot.refusal(), one.field, now, "");
  }
  CHECK(own_helpers().empty());
}

TEST_CASE("any other change of the manifest is noticed") {
  const Spoiled snapshot;
  snapshot.change_manifest([](json& manifest) { manifest["hostname"] = "other"; });
  check_names(snapshot.refusal(), "digest", "", "");
}

TEST_CASE("files that are cut, missing or no files are refused by name") {
  {
    const Spoiled snapshot;
    REQUIRE(truncate(snapshot.file("ram").c_str(), 4096) == 0);
    check_names(snapshot.refusal(), "ram", "4096", "");
  }
  {
    const Spoiled snapshot;
    fs::remove(snapshot.file("devices"));
    check_names(snapshot.refusal(), "devices", "", "");
  }
  {
    const Spoiled snapshot;
    fs::remove(snapshot.file("devices"));
    fs::create_symlink("/etc/hostname", snapshot.file("devices"));
    check_names(snapshot.refusal(), "devices", "", "");
  }
  {
    const Spoiled snapshot;
    std::ofstream(snapshot.file("manifest.json")) << "{";
    check_names(snapshot.refusal(), "manifest.json", "", "");
  }
  {
    const Spoiled snapshot;
    fs::remove(snapshot.file("manifest.json"));
    CHECK(snapshot.refusal().code() == ErrorCode::kSnapshot);
  }
  CHECK(own_helpers().empty());
}

TEST_CASE("a flipped bit is found by the digests, and a broken device state ends the resume") {
  const Spoiled snapshot;
  std::fstream devices(snapshot.file("devices"), std::ios::in | std::ios::out | std::ios::binary);
  devices.seekp(4096);
  const std::string junk(2048, '\x55');
  devices.write(junk.data(), static_cast<std::streamsize>(junk.size()));
  devices.close();
  const auto opened = must(vmette::Snapshot::open(snapshot.path()));
  const auto verified = opened.verify();
  REQUIRE_FALSE(verified);
  check_names(verified.error(), "devices", "", "");
  const auto clone = opened.resume();
  REQUIRE_FALSE(clone);
  INFO(clone.error().message());
  CHECK(clone.error().code() == ErrorCode::kRestoreFailed);
  CHECK(eventually([] { return own_helpers().empty(); }));
}

TEST_CASE("a warm-up that fails saves nothing and says why") {
  const TempDir dir;
  auto config = small_machine();
  config.set_exec("echo too cold >&2; exit 7");
  const auto built = vmette::Snapshot::build(config, dir / "one");
  REQUIRE_FALSE(built);
  CHECK(built.error().code() == ErrorCode::kSnapshot);
  CHECK(contains(text(built.error().message()), "code 7"));
  CHECK(contains(text(built.error().message()), "too cold"));
  config.set_exec("true");
  const auto refused = vmette::Snapshot::build(config, dir / "one", [](vmette::Session&) {
    return vmette::result<void>(vmette::Error(ErrorCode::kCancelled, "not today"));
  });
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code() == ErrorCode::kCancelled);
  CHECK(contains(text(refused.error().message()), "not today"));
  CHECK(nothing_in(dir));
  CHECK(own_helpers().empty());
}

TEST_CASE("nothing is left when the host program is killed while it saves") {
  const TempDir dir;
  Saver saver(dir);
  const Watched helper = saver.helper();
  saver.program().signal(SIGKILL);
  CHECK(helper.wait_end(kDeadline));
  CHECK(eventually([&] { return nothing_in(dir); }));
}

TEST_CASE("a save whose helper or hypervisor is killed fails and leaves nothing") {
  for (const bool hypervisor : {false, true}) {
    INFO((hypervisor ? "hypervisor" : "helper"));
    const TempDir dir;
    Saver saver(dir);
    const Watched helper = saver.helper();
    if (hypervisor) {
      for (const Watched& child : children_of(helper.pid())) child.signal(SIGKILL);
    } else {
      helper.signal(SIGKILL);
    }
    const auto ending = saver.program().wait(kDeadline);
    CHECK(contains(ending.out, "failed: "));
    CHECK(helper.wait_end(kDeadline));
    CHECK(eventually([&] { return nothing_in(dir); }));
  }
}

TEST_CASE("what is left when host and helper die together is swept by the next save there") {
  const TempDir dir;
  {
    Saver saver(dir);
    const Watched helper = saver.helper();
    kill(saver.program().pid(), SIGSTOP);
    helper.signal(SIGKILL);
    saver.program().signal(SIGKILL);
    CHECK(helper.wait_end(kDeadline));
  }
  CHECK_FALSE(nothing_in(dir));
  auto session = vmette_test::started(small_machine());
  must(session.snapshot(dir / "two"));
  CHECK(std::distance(fs::directory_iterator(dir.path()), {}) == 1);
}

TEST_CASE("nothing is left when the host program of a clone is killed") {
  for (const char* moment : {"opened", "ready"}) {
    INFO(moment);
    const TempDir dir;
    Program program({VMETTE_TEST_SAVER, "resume", saved().path()}, Saver::marked(dir));
    REQUIRE(program.wait_for(moment, kDeadline));
    program.signal(SIGKILL);
    (void)program.wait(kDeadline);
    CHECK(eventually(
        [&] { return helpers_marked("VMETTE_TEST_MARK", dir.path().string()).empty(); }));
  }
  must(saved().snapshot().verify());
}

TEST_CASE("a resume whose helper or hypervisor is killed fails, or its session ends") {
  const vmette::Snapshot& snapshot = saved().snapshot();
  for (const bool hypervisor : {false, true}) {
    INFO((hypervisor ? "hypervisor" : "helper"));
    std::optional<vmette::result<vmette::Session>> clone;
    std::thread resumer([&] { clone.emplace(snapshot.resume()); });
    std::vector<Watched> victims;
    const bool found = eventually([&] {
      victims = own_helpers();
      if (hypervisor && !victims.empty()) victims = children_of(victims[0].pid());
      return !victims.empty();
    });
    for (const Watched& victim : victims) victim.signal(SIGKILL);
    resumer.join();
    CHECK(found);
    if (*clone) must(clone->value().wait(kDeadline));
    clone.reset();
    CHECK(eventually([] { return own_helpers().empty(); }));
  }
  must(snapshot.verify());
}

TEST_CASE("a resume of a snapshot that is removed meanwhile works or says so") {
  for (int attempt = 0; attempt < 5; ++attempt) {
    const Spoiled copy;
    const auto snapshot = must(vmette::Snapshot::open(copy.path()));
    std::thread remover([&copy] { (void)vmette::Snapshot::remove(copy.path()); });
    auto clone = snapshot.resume();
    remover.join();
    if (clone) {
      CHECK(says(clone.value(), "cat /tmp/warm") == "warm");
    } else {
      const ErrorCode code = clone.error().code();
      INFO(clone.error().message());
      CHECK((code == ErrorCode::kSnapshot || code == ErrorCode::kRestoreFailed));
    }
  }
  CHECK(eventually([] { return own_helpers().empty(); }));
}

TEST_CASE("a run saves its machine though its warm-up leaves a program with its streams") {
  const TempDir dir;
  const std::string path = dir / "one";
  const auto ending = vmette_test::run_program({VMETTE_TEST_SAVER, "run", path}, {}, {}, kDeadline);
  INFO(ending.out << ending.err);
  CHECK(ending.code == 0);
  CHECK(ending.out == "built\n");
  auto clone = must(must(vmette::Snapshot::open(path)).resume());
  CHECK(says(clone, "cat /tmp/warm; cat /proc/[0-9]*/comm | grep -qx sleep && echo sleeps") ==
        "warm\nsleeps");
}

TEST_CASE(
    "a session that is stopped or killed in the middle of a save ends, and so does the save") {
  for (const bool kill : {false, true}) {
    INFO((kill ? "kill" : "stop"));
    const TempDir dir;
    auto config = small_machine();
    config.set_mem_mib(512);
    auto session = vmette_test::started(config);
    (void)says(session,
               "mount -o remount,size=400m /tmp; dd if=/dev/urandom of=/tmp/fill bs=1M "
               "count=150 2>/dev/null");
    std::optional<vmette::ErrorCode> code;
    std::thread saver([&] {
      const auto saved_one = session.snapshot(dir / "one");
      if (!saved_one) code = saved_one.error().code();
    });
    const bool begun = eventually([&] { return !nothing_in(dir); });
    must(kill ? session.kill() : session.stop(1000));
    saver.join();
    CHECK(begun);
    CHECK(session.end() == vmette::End::kStopped);
    // It may have been complete just before.
    if (code) {
      CHECK(*code == ErrorCode::kSessionEnded);
      CHECK(eventually([&] { return nothing_in(dir); }));
    }
    CHECK(own_helpers().empty());
  }
}

TEST_CASE("a session that ended is not saved, and says so") {
  const TempDir dir;
  auto session = vmette_test::started(small_machine());
  must(session.kill());
  const auto late = session.snapshot(dir / "one");
  REQUIRE_FALSE(late);
  CHECK(late.error().code() == ErrorCode::kSessionEnded);
  CHECK(nothing_in(dir));
}
