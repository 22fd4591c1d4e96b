#include "quickstart.h"

#include <chrono>
#include <cstdio>
#include <iostream>
#include <vmette.hpp>

#include "report.h"

namespace vmette_cli {
namespace {

constexpr const char* kCommand = "echo \"Hello from $(uname -s) $(uname -r) in a virtual machine\"";

void print_timeline(const vmette::Session& session) {
  std::cout << "\nboot timeline, milliseconds since the launch:\n";
  for (std::size_t i = 0; i < session.timeline_count(); ++i) {
    const vmette::TimelineEntry entry = session.timeline(i);
    std::printf("%9.1f  %.*s\n", static_cast<double>(entry.at.count()) / 1000.0,
                static_cast<int>(entry.name.size()), entry.name.data());
  }
}

vmette::result<vmette::Session> run_to_end() {
  vmette::Config config;
  config.set_exec(kCommand).set_capture_output(true);
  auto session = vmette::Session::create(config);
  if (!session) return session;
  BOOST_OUTCOME_TRYV(session.value().start());
  BOOST_OUTCOME_TRYV(session.value().wait());
  return session;
}

}  // namespace

int quickstart() {
  std::cout << "Booting a virtual machine and running this in it:\n  " << kCommand << '\n'
            << std::flush;
  const auto begin = std::chrono::steady_clock::now();
  const auto session = run_to_end();
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
  if (!session) {
    report(session.error());
    return 1;
  }
  const auto output = session.value().output();
  if (!output) {
    report(output.error());
    return 1;
  }
  std::cout << "\n" << visible(output.value().combined());
  print_timeline(session.value());
  if (output.value().exit_code() != 0) {
    report("the command failed: " + std::string(output.value().end_message()));
    return 1;
  }
  std::printf(
      "\nIt works: booted, ran and ended in %.2f s. Now try: vmette --rootfs / -- uname -a\n",
      took.count());
  return 0;
}

}  // namespace vmette_cli
