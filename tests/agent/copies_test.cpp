// Copies of one saved machine, woken side by side.
#include <string>
#include <vector>

#include "guest.h"
#include "support/catch.h"

using namespace vmette_test;
namespace wire = vmette::wire;
using vmette::vmm::Machine;
using vmette::vmm::ShareTransport;

namespace {

wire::Wake wake_of(const std::string& name, char byte) {
  wire::Wake wake;
  wake.restored = true;
  wake.hostname = name;
  wake.machine_id = std::string(32, byte);
  wake.entropy = std::string(64, byte);
  wake.realtime_ns = 2'000'000'000'000'000'000;
  return wake;
}

// What the kernel's generator gives, in each way that a program may ask.
std::vector<std::string> random_of(Guest& guest) {
  return {guest.run("head -c 16 /dev/urandom | od -An -tx1"),
          guest.run("head -c 16 /dev/random | od -An -tx1"),
          guest.run("cat /proc/sys/kernel/random/uuid"), guest.run("mktemp -u XXXXXXXXXX")};
}

}  // namespace

TEST_CASE("copies of a machine are machines of their own, and what ran in it runs in each") {
  const TemporaryFolder folder;
  const TemporaryFolder shared;
  const TemporaryFolder own[] = {{}, {}};
  shared.write("name", "shared");
  own[0].write("name", "first");
  own[1].write("name", "second");
  Guest origin([&](Machine& machine, wire::Setup& setup) {
    machine.snapshottable = true;
    Guest::add_share(machine, setup, "shared", shared.path(), "/mnt/shared");
    machine.shares.push_back({"own", "", true, ShareTransport::k9p});
  });
  origin.run("echo x >/etc/machine-id");
  origin.begin("i=0; while :; do i=$((i+1)); echo $i; echo $i >/tmp/n; done");
  origin.until([&] { return origin.stream(origin.last_stream()).out.size() > 100; });
  REQUIRE(origin.quiesce());
  const std::string directory = folder.path() + "/snapshot";
  const auto saved = origin.helper().call("save", {{"dir", directory}, {"resume", true}});
  INFO(saved.dump());
  REQUIRE(saved.contains("ok"));
  wire::Wake wake;
  wake.entropy = std::string(64, 'o');
  wake.shares = {{"shared", false, "/mnt/shared", false}};
  REQUIRE(origin.wake(wake));

  std::vector<std::vector<std::string>> randoms{random_of(origin)};
  for (int i = 0; i < 2; ++i) {
    const std::string name = i == 0 ? "first" : "second";
    Guest copy(origin, directory,
               [&](Machine& machine) { machine.shares[1].path = own[i].path(); });
    wire::Wake renewed = wake_of(name, static_cast<char>('a' + i));
    renewed.shares = {{"shared", false, "/mnt/shared", false}, {"own", false, "/mnt/own", true}};
    renewed.hold = true;
    REQUIRE(copy.wake(renewed));
    // Before anything else runs.
    const std::string count = copy.run("cat /tmp/n");
    randoms.push_back(random_of(copy));
    CHECK(copy.run("cat /tmp/n") == count);
    copy.send(wire::Type::kThaw);
    copy.until_true("[ $(cat /tmp/n) -gt " + count + " ]");
    CHECK(copy.run("hostname; cat /etc/machine-id") ==
          name + "\n" + std::string(32, static_cast<char>('a' + i)));
    CHECK(copy.run("cat /mnt/shared/name /mnt/own/name") == "shared" + name);
    CHECK(std::stol(copy.run("date +%s")) >= 2'000'000'000);
    CHECK(copy.hello().nonce == "nonce 1");
  }
  for (size_t way = 0; way < randoms[0].size(); ++way) {
    INFO(randoms[0][way] << " / " << randoms[1][way] << " / " << randoms[2][way]);
    CHECK(randoms[0][way] != randoms[1][way]);
    CHECK(randoms[0][way] != randoms[2][way]);
    CHECK(randoms[1][way] != randoms[2][way]);
  }
}
