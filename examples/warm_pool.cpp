// Answers Python jobs from a pool of machines in which Python is warm already: one machine is
// booted, started and saved, and every job gets a clone of it.
//   warm_pool IMAGE [FOLDER]    IMAGE: a file system with python3; FOLDER: for the snapshot
#include <chrono>
#include <cstdio>
#include <string>
#include <vmette.hpp>

namespace {

using namespace std::chrono_literals;

// Waits for a job, runs it, and gives back what it prints. The clones have one memory, hence one
// random generator: each seeds it anew before it does something.
constexpr const char* kWorker = R"(
import contextlib, decimal, io, json, os, random, statistics
os.mkfifo("/run/job")
os.mkfifo("/run/answer")
while True:
    with open("/run/job") as job:
        code = job.read()
    random.seed()
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(code)
    with open("/run/answer", "w") as answer:
        answer.write(printed.getvalue())
)";

vmette::result<std::string> output_of(vmette::Session& session, const vmette::Exec& exec) {
  auto process = session.exec(exec);
  if (!process) return process.error();
  BOOST_OUTCOME_TRYV(process.value().wait(60s));
  auto output = process.value().output();
  if (!output) return output.error();
  return std::string(output.value().combined());
}

vmette::result<void> warm_up(vmette::Session& session) {
  BOOST_OUTCOME_TRYV(session.write_file("/tmp/worker.py", kWorker));
  // Nobody reads its outputs, so that it can outlive this machine.
  auto worker = session.exec(vmette::Exec("exec python3 /tmp/worker.py")
                                 .set_stdout(vmette::Stdio::kNull)
                                 .set_stderr(vmette::Stdio::kNull));
  if (!worker) return worker.error();
  BOOST_OUTCOME_TRYV(worker.value().wait_started());
  BOOST_OUTCOME_TRYV(output_of(session, vmette::Exec("until [ -p /run/answer ]; do :; done")));
  return BOOST_OUTCOME_V2_NAMESPACE::success();
}

vmette::result<void> serve(const std::string& snapshot) {
  vmette::Config clone;
  clone.set_resume_snapshot(snapshot);
  auto pool = vmette::Pool::create(clone, vmette::PoolOptions().set_ready(2).set_most(4));
  if (!pool) return pool.error();
  for (const char* job : {"print(6 * 7)", "print(statistics.mean([1, 2, 6]))",
                          "print(json.dumps({'pi': str(decimal.Decimal('3.14'))}))"}) {
    auto session = pool.value().take(60s);
    if (!session) return session.error();
    auto answer = output_of(session.value(),
                            vmette::Exec("cat > /run/job; cat /run/answer").set_stdin_bytes(job));
    if (!answer) return answer.error();
    std::printf("%s", answer.value().c_str());
  }
  return pool.value().close();
}

vmette::result<void> work(const char* image, const std::string& snapshot) {
  vmette::Config config;
  config.set_rootfs_block(image, nullptr).set_mem_mib(256);
  BOOST_OUTCOME_TRYV(vmette::Snapshot::build(config, snapshot, warm_up));
  auto served = serve(snapshot);
  BOOST_OUTCOME_TRYV(vmette::Snapshot::remove(snapshot));
  return served;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: warm_pool IMAGE [FOLDER]\n");
    return 2;
  }
  const auto done = work(argv[1], std::string(argc > 2 ? argv[2] : ".") + "/warm-python");
  if (done) return 0;
  std::fprintf(stderr, "vmette: %s\n", std::string(done.error().message()).c_str());
  return 1;
}
