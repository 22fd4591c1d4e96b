/* The same as warm_pool.cpp for a program with an event loop: all jobs ask for a machine at once,
 * and each is served when its descriptor says so.
 *   warm_pool_c IMAGE [FOLDER]    IMAGE: a file system with python3; FOLDER: for the snapshot */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <vmette.h>

enum { JOBS = 3, DEADLINE_MS = 60000 };

static const char* const kJobs[JOBS] = {
    "print(6 * 7)",
    "print(statistics.mean([1, 2, 6]))",
    "print(json.dumps({'pi': str(decimal.Decimal('3.14'))}))",
};

static const char kWorker[] =
    "import contextlib, decimal, io, json, os, random, statistics\n"
    "os.mkfifo('/run/job')\n"
    "os.mkfifo('/run/answer')\n"
    "while True:\n"
    "    with open('/run/job') as job:\n"
    "        code = job.read()\n"
    "    random.seed()\n"
    "    printed = io.StringIO()\n"
    "    with contextlib.redirect_stdout(printed):\n"
    "        exec(code)\n"
    "    with open('/run/answer', 'w') as answer:\n"
    "        answer.write(printed.getvalue())\n";

static void must(vmette_error* error) {
  if (error == NULL) return;
  fprintf(stderr, "vmette: %s\n", vmette_error_message(error));
  exit(1);
}

static vmette_error* start(vmette_session* session, const char* line, const char* input,
                           vmette_process** out) {
  vmette_exec* exec = NULL;
  vmette_error* error = vmette_exec_new(&exec);
  if (!error) error = vmette_exec_set_line(exec, line);
  if (!error && input) error = vmette_exec_set_stdin_bytes(exec, input, strlen(input));
  if (!error) error = vmette_session_exec(session, exec, out);
  vmette_exec_delete(exec);
  return error;
}

/* Runs on this thread, during vmette_snapshot_build(). */
static vmette_error* warm_up(void* env, vmette_session* session) {
  (void)env;
  vmette_process* process = NULL;
  vmette_error* error = vmette_session_write_file(session, "/tmp/worker.py", kWorker,
                                                  strlen(kWorker), 0, 0644, DEADLINE_MS);
  if (!error)
    error = start(session,
                  "python3 /tmp/worker.py > /dev/null 2>&1 & until [ -p /run/answer ]; do :; done",
                  NULL, &process);
  if (!error) error = vmette_process_wait(process, DEADLINE_MS);
  vmette_process_delete(process);
  return error;
}

static vmette_pool* pool_of(const char* snapshot) {
  vmette_config* config = NULL;
  vmette_pool_options* options = NULL;
  vmette_pool* pool = NULL;
  must(vmette_config_new(&config));
  must(vmette_config_set_resume_snapshot(config, snapshot));
  must(vmette_pool_options_new(&options));
  must(vmette_pool_options_set_ready(options, 2));
  must(vmette_pool_options_set_most(options, 4));
  must(vmette_pool_new(config, options, &pool));
  vmette_pool_options_delete(options);
  vmette_config_delete(config);
  return pool;
}

static void serve(vmette_session* session, const char* job) {
  vmette_process* process = NULL;
  vmette_output* output = NULL;
  size_t size = 0;
  must(start(session, "cat > /run/job; cat /run/answer", job, &process));
  must(vmette_process_wait(process, DEADLINE_MS));
  must(vmette_process_output(process, &output));
  const char* answer = vmette_output_data(output, VMETTE_STDOUT, &size);
  printf("%.*s", (int)size, answer);
  vmette_output_delete(output);
  vmette_process_delete(process);
}

static void serve_all(vmette_pool* pool) {
  vmette_pool_request* requests[JOBS];
  struct pollfd items[JOBS];
  for (int i = 0; i < JOBS; ++i) {
    must(vmette_pool_request_new(pool, &requests[i]));
    items[i] = (struct pollfd){.fd = vmette_pool_request_fd(requests[i]), .events = POLLIN};
  }
  for (int left = JOBS; left > 0 && poll(items, JOBS, DEADLINE_MS) > 0;) {
    for (int i = 0; i < JOBS; ++i) {
      if (items[i].revents == 0) continue;
      vmette_session* session = NULL;
      must(vmette_pool_request_take(requests[i], 0, &session));
      serve(session, kJobs[i]);
      vmette_session_delete(session);
      items[i].fd = -1;
      items[i].revents = 0;
      --left;
    }
  }
  for (int i = 0; i < JOBS; ++i) vmette_pool_request_delete(requests[i]);
}

int main(int argc, char** argv) {
  if (argc < 2) {
    fprintf(stderr, "usage: warm_pool_c IMAGE [FOLDER]\n");
    return 2;
  }
  char snapshot[4096];
  snprintf(snapshot, sizeof snapshot, "%s/warm-python-c", argc > 2 ? argv[2] : ".");
  vmette_config* config = NULL;
  must(vmette_config_new(&config));
  must(vmette_config_set_rootfs_block(config, argv[1], NULL));
  must(vmette_config_set_mem_mib(config, 256));
  must(vmette_snapshot_build(config, snapshot, warm_up, NULL, NULL));
  vmette_config_delete(config);
  vmette_pool* pool = pool_of(snapshot);
  serve_all(pool);
  vmette_pool_delete(pool);
  must(vmette_snapshot_remove(snapshot));
  return 0;
}
