// A machine that stays: a server runs in it while other commands come and go.
#include <chrono>
#include <cstdio>
#include <string>
#include <vmette.hpp>

namespace {

using namespace std::chrono_literals;

vmette::result<std::string> output_of(vmette::Session& session, const char* line) {
  auto process = session.exec(vmette::Exec(line).set_timeout(10s));
  if (!process) return process.error();
  BOOST_OUTCOME_TRYV(process.value().wait());
  auto output = process.value().output();
  if (!output) return output.error();
  return std::string(output.value().combined());
}

vmette::result<void> work() {
  auto created = vmette::Session::create(vmette::Config());
  if (!created) return created.error();
  vmette::Session& session = created.value();
  BOOST_OUTCOME_TRYV(session.start());

  // Runs until it is killed; whatever it starts is killed with it.
  auto server =
      session.exec(vmette::Exec("mkfifo /tmp/ask; while :; do cat /tmp/ask >> /tmp/log; done"));
  if (!server) return server.error();
  BOOST_OUTCOME_TRYV(server.value().wait_started());

  for (const char* line : {"until [ -p /tmp/ask ]; do :; done; echo hello > /tmp/ask",
                           "until [ -s /tmp/log ]; do :; done; cat /tmp/log"}) {
    auto text = output_of(session, line);
    if (!text) return text.error();
    std::printf("%s", text.value().c_str());
  }
  // Files need no command.
  auto log = session.read_file("/tmp/log", 4096);
  if (!log) return log.error();
  BOOST_OUTCOME_TRYV(
      session.write_file("/tmp/copy", log.value().data(), vmette::FileFlags::kAtomic));
  auto copy = output_of(session, "wc -c < /tmp/copy");
  if (!copy) return copy.error();
  std::printf("bytes in the copy: %s", copy.value().c_str());

  BOOST_OUTCOME_TRYV(server.value().kill());
  BOOST_OUTCOME_TRYV(server.value().wait());
  std::printf("the server was %s\n", std::string(server.value().end_message()).c_str());
  return session.stop(1000);
}

}  // namespace

int main() {
  const auto done = work();
  if (done) return 0;
  std::fprintf(stderr, "vmette: %s\n", std::string(done.error().message()).c_str());
  return 1;
}
