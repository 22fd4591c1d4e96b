// Saves and resumes until it is killed.
//   saver save DIR      boots, says "ready", saves at DIR/one and says how that went
//   saver run PATH      builds with vmette::run()
//   saver resume PATH   resumes, says "ready" when the clone is, and holds it
#include <cstdio>
#include <string>
#include <vmette.hpp>

namespace {

int say(const std::string& words) {
  std::puts(words.c_str());
  std::fflush(stdout);
  return 0;
}

int fail(const vmette::Error& error) {
  say("failed: " + std::string(error.message()));
  return 1;
}

int save(const std::string& directory) {
  vmette::Config config;
  // So much that the save takes a moment.
  config.set_mem_mib(512).set_snapshottable(true);
  auto session = vmette::Session::create(config);
  if (!session) return fail(session.error());
  if (auto started = session.value().start(); !started) return fail(started.error());
  const auto filled = session.value().exec(vmette::Exec(
      "mount -o remount,size=400m /tmp; dd if=/dev/urandom of=/tmp/fill bs=1M count=150"));
  if (!filled) return fail(filled.error());
  if (auto done = filled.value().wait(); !done) return fail(done.error());
  say("ready");
  const auto snapshot = session.value().snapshot(directory + "/one");
  if (!snapshot) return fail(snapshot.error());
  return say("saved");
}

int resume(const std::string& path) {
  const auto snapshot = vmette::Snapshot::open(path);
  if (!snapshot) return fail(snapshot.error());
  say("opened");
  auto clone = snapshot.value().resume();
  if (!clone) return fail(clone.error());
  say("ready");
  (void)clone.value().wait();
  return 0;
}

// A program whose warm-up leaves another one with its streams.
int run(const std::string& path) {
  vmette::Config config;
  config.set_mem_mib(128).set_build_snapshot(path).set_quiet(true);
  config.set_exec("sleep 1000 & echo warm >/tmp/warm; echo built");
  const auto output = vmette::run(config);
  return output ? output.value().exit_code() : fail(output.error());
}

}  // namespace

int main(int argc, char** argv) {
  const std::string mode = argc == 3 ? argv[1] : "";
  if (mode == "save") return save(argv[2]);
  if (mode == "resume") return resume(argv[2]);
  if (mode == "run") return run(argv[2]);
  return 2;
}
