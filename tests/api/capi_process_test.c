/* Commands as a C program runs them, in one real machine: every function of that part is used. */
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <vmette.h>

#include "check.h"

enum { DEADLINE_MS = 60000 };

static vmette_exec* new_exec(const char* line) {
  vmette_exec* exec = NULL;
  CHECK(works(vmette_exec_new(&exec)));
  CHECK(works(vmette_exec_set_line(exec, line)));
  return exec;
}

/* Starts it and frees the description. */
static vmette_process* start(vmette_session* session, vmette_exec* exec) {
  vmette_process* process = NULL;
  CHECK(works(vmette_session_exec(session, exec, &process)));
  vmette_exec_delete(exec);
  CHECK(works(vmette_process_wait_started(process, DEADLINE_MS)));
  return process;
}

static bool printed(const vmette_process* process, const char* wanted) {
  vmette_output* output = NULL;
  size_t size = 0;
  if (!works(vmette_process_output(process, &output))) return false;
  const char* data = vmette_output_data(output, VMETTE_COMBINED, &size);
  bool same = size == strlen(wanted) && memcmp(data, wanted, size) == 0;
  if (!same) fprintf(stderr, "printed \"%s\", not \"%s\"\n", data, wanted);
  vmette_output_delete(output);
  return same;
}

/* Reads until end of file or until the buffer is full; returns the bytes read. */
static size_t read_all(int fd, char* buffer, size_t size) {
  size_t have = 0;
  while (have < size) {
    ssize_t got = read(fd, buffer + have, size - have);
    if (got <= 0) break;
    have += (size_t)got;
  }
  return have;
}

static void test_null_arguments(vmette_session* session) {
  vmette_exec* exec = NULL;
  vmette_process* process = NULL;
  vmette_output* output = NULL;
  vmette_buffer* buffer = NULL;
  size_t size = 1;
  CHECK(fails_with(vmette_exec_new(NULL), VMETTE_E_INVALID_ARGUMENT));
  CHECK(fails_with(vmette_exec_set_line(NULL, "x"), VMETTE_E_INVALID_ARGUMENT));
  CHECK(fails_with(vmette_session_exec(session, NULL, &process), VMETTE_E_INVALID_ARGUMENT));
  CHECK(works(vmette_exec_new(&exec)));
  CHECK(fails_with(vmette_exec_set_line(exec, NULL), VMETTE_E_INVALID_ARGUMENT));
  CHECK(fails_with(vmette_exec_set_argv(exec, NULL, 1), VMETTE_E_INVALID_ARGUMENT));
  CHECK(fails_with(vmette_exec_set_stdin(exec, VMETTE_STDIO_CAPTURE), VMETTE_E_INVALID_ARGUMENT));
  CHECK(fails_with(vmette_exec_set_stdout(exec, 9), VMETTE_E_INVALID_ARGUMENT));
  CHECK(fails_with(vmette_exec_set_tty(exec, 0, 80, NULL), VMETTE_E_INVALID_ARGUMENT));
  CHECK(fails_with(vmette_exec_set_stdin_bytes(exec, NULL, 1), VMETTE_E_INVALID_ARGUMENT));
  /* Nothing to run, a wrong variable, a relative directory. */
  CHECK(fails_with(vmette_session_exec(session, exec, &process), VMETTE_E_INVALID_ARGUMENT));
  CHECK(works(vmette_exec_set_line(exec, "true")));
  CHECK(works(vmette_exec_set_cwd(exec, "tmp")));
  CHECK(fails_with(vmette_session_exec(session, exec, &process), VMETTE_E_INVALID_ARGUMENT));
  CHECK(works(vmette_exec_set_cwd(exec, "/tmp")));
  CHECK(works(vmette_exec_add_env(exec, "A-B", "1")));
  CHECK(fails_with(vmette_session_exec(session, exec, &process), VMETTE_E_INVALID_ARGUMENT));
  vmette_exec_delete(exec);
  vmette_exec_delete(NULL);
  CHECK(fails_with(vmette_process_wait(NULL, 0), VMETTE_E_INVALID_ARGUMENT));
  CHECK(fails_with(vmette_process_kill(NULL), VMETTE_E_INVALID_ARGUMENT));
  CHECK(fails_with(vmette_process_output(NULL, &output), VMETTE_E_INVALID_ARGUMENT));
  CHECK(fails_with(vmette_session_console(session, NULL), VMETTE_E_INVALID_ARGUMENT));
  CHECK(vmette_process_exit_fd(NULL) == -1 && vmette_process_fd(NULL, VMETTE_STDOUT) == -1);
  CHECK(vmette_process_started_fd(NULL) == -1 && vmette_process_complete_fd(NULL) == -1);
  CHECK(strcmp(vmette_buffer_data(buffer, &size), "") == 0 && size == 0);
  vmette_process_close_fd(NULL, VMETTE_STDIN);
  vmette_process_delete(NULL);
  vmette_buffer_delete(NULL);
  CHECK(process == NULL && output == NULL);
}

static void test_surroundings(vmette_session* session) {
  static const char* const kArgv[] = {"env", NULL};
  vmette_exec* exec = new_exec("replaced");
  CHECK(works(vmette_exec_set_argv(exec, kArgv, 1)));
  CHECK(works(vmette_exec_set_clear_env(exec, true)));
  CHECK(works(vmette_exec_add_env(exec, "PATH", "/bin")));
  CHECK(works(vmette_exec_add_env(exec, "A", "1")));
  CHECK(works(vmette_exec_add_env(exec, "A", "2")));
  CHECK(works(vmette_exec_set_capture_limit(exec, 4096)));
  vmette_process* process = start(session, exec);
  CHECK(works(vmette_process_wait(process, DEADLINE_MS)));
  vmette_output* output = NULL;
  if (CHECK(works(vmette_process_output(process, &output)))) {
    const char* text = vmette_output_data(output, VMETTE_STDOUT, NULL);
    CHECK(strstr(text, "A=2\n") != NULL && strstr(text, "A=1\n") == NULL);
    CHECK(vmette_output_end(output) == VMETTE_END_EXITED);
  }
  vmette_output_delete(output);
  vmette_process_delete(process);

  exec = new_exec("pwd; id -u; id -g; exit 7");
  CHECK(works(vmette_exec_set_cwd(exec, "/tmp")));
  CHECK(works(vmette_exec_set_user(exec, "12:34")));
  process = start(session, exec);
  CHECK(works(vmette_process_wait(process, DEADLINE_MS)));
  CHECK(printed(process, "/tmp\n12\n34\n"));
  CHECK(vmette_process_ended(process));
  CHECK(vmette_process_exit_code(process) == 7);
  CHECK(vmette_process_term_signal(process) == 0);
  CHECK(strcmp(vmette_process_end_message(process), "exited with code 7") == 0);
  CHECK(vmette_process_pid(process) > 1);
  CHECK(vmette_process_wall_us(process) > 0);
  CHECK(vmette_process_user_us(process) + vmette_process_system_us(process) > 0);
  CHECK(vmette_process_max_rss_kib(process) > 0);
  CHECK(!vmette_process_out_of_memory(process) && !vmette_process_timed_out(process));
  vmette_process_delete(process);
}

static void test_streams(vmette_session* session) {
  char buffer[64];
  vmette_exec* exec = new_exec("cat; echo done >&2");
  CHECK(works(vmette_exec_set_stdin(exec, VMETTE_STDIO_PIPE)));
  CHECK(works(vmette_exec_set_stdout(exec, VMETTE_STDIO_PIPE)));
  CHECK(works(vmette_exec_set_stderr(exec, VMETTE_STDIO_NULL)));
  vmette_process* process = start(session, exec);
  CHECK(write(vmette_process_fd(process, VMETTE_STDIN), "abc", 3) == 3);
  vmette_process_close_fd(process, VMETTE_STDIN);
  vmette_process_close_fd(process, VMETTE_STDIN);
  CHECK(vmette_process_fd(process, VMETTE_STDIN) == -1);
  CHECK(vmette_process_fd(process, VMETTE_STDERR) == -1);
  int fd = vmette_process_take_fd(process, VMETTE_STDOUT);
  CHECK(vmette_process_take_fd(process, VMETTE_STDOUT) == -1);
  CHECK(read_all(fd, buffer, sizeof buffer) == 3 && memcmp(buffer, "abc", 3) == 0);
  close(fd);
  struct pollfd item = {.fd = vmette_process_exit_fd(process), .events = POLLIN};
  CHECK(poll(&item, 1, DEADLINE_MS) == 1);
  CHECK(vmette_process_exit_code(process) == 0);
  vmette_process_delete(process);

  exec = new_exec("cat");
  CHECK(works(vmette_exec_set_stdin_bytes(exec, "12\0", 3)));
  process = start(session, exec);
  item = (struct pollfd){.fd = vmette_process_started_fd(process), .events = POLLIN};
  CHECK(poll(&item, 1, DEADLINE_MS) == 1);
  CHECK(works(vmette_process_wait_started(process, 0)));
  item = (struct pollfd){.fd = vmette_process_complete_fd(process), .events = POLLIN};
  CHECK(poll(&item, 1, DEADLINE_MS) == 1);
  CHECK(works(vmette_process_wait(process, 0)));
  vmette_output* output = NULL;
  CHECK(works(vmette_process_output(process, &output)));
  CHECK(vmette_output_total(output, VMETTE_STDOUT) == 3);
  vmette_output_delete(output);
  vmette_process_delete(process);
}

static void test_signals(vmette_session* session) {
  CHECK(vmette_signal_number("TERM") == 15 && vmette_signal_number("SIGUSR1") == 10);
  CHECK(vmette_signal_number("NOPE") == 0 && vmette_signal_number(NULL) == 0);
  vmette_process* process = start(session, new_exec("exec sleep 1000"));
  CHECK(fails_with(vmette_process_wait(process, 0), VMETTE_E_DEADLINE));
  CHECK(!vmette_process_ended(process) && vmette_process_exit_code(process) == -1);
  CHECK(
      fails_with(vmette_process_signal(process, 0, VMETTE_SCOPE_GROUP), VMETTE_E_INVALID_ARGUMENT));
  CHECK(fails_with(vmette_process_signal(process, 15, 7), VMETTE_E_INVALID_ARGUMENT));
  CHECK(works(vmette_process_signal(process, 15, VMETTE_SCOPE_PROCESS)));
  CHECK(works(vmette_process_wait(process, DEADLINE_MS)));
  CHECK(vmette_process_term_signal(process) == 15 && vmette_process_exit_code(process) == 143);
  /* Nobody is there any more: no error. */
  CHECK(works(vmette_process_kill(process)));
  vmette_process_delete(process);

  vmette_exec* exec = new_exec("sleep 1000 & setsid sleep 1000 & wait");
  CHECK(works(vmette_exec_set_timeout_ms(exec, 100)));
  process = start(session, exec);
  CHECK(works(vmette_process_wait(process, DEADLINE_MS)));
  CHECK(vmette_process_timed_out(process) && vmette_process_term_signal(process) == 9);
  vmette_process_delete(process);
}

static void test_terminal(vmette_session* session) {
  char buffer[64];
  vmette_exec* exec = new_exec("stty -echo; read x; stty size; echo $TERM");
  CHECK(works(vmette_exec_set_stdin(exec, VMETTE_STDIO_PIPE)));
  CHECK(works(vmette_exec_set_stdout(exec, VMETTE_STDIO_PIPE)));
  CHECK(works(vmette_exec_set_tty(exec, 24, 80, "dumb")));
  CHECK(works(vmette_exec_set_tty_modes(exec, true, false)));
  vmette_process* process = start(session, exec);
  CHECK(fails_with(vmette_process_resize(process, 0, 0), VMETTE_E_INVALID_ARGUMENT));
  CHECK(works(vmette_process_resize(process, 40, 132)));
  CHECK(write(vmette_process_fd(process, VMETTE_STDIN), "\n", 1) == 1);
  size_t size = read_all(vmette_process_fd(process, VMETTE_STDOUT), buffer, sizeof buffer - 1);
  buffer[size] = '\0';
  CHECK(strstr(buffer, "40 132\r\n") != NULL && strstr(buffer, "dumb\r\n") != NULL);
  CHECK(works(vmette_process_wait(process, DEADLINE_MS)));
  vmette_process_delete(process);
}

static void test_failures(vmette_session* session) {
  static const char* const kArgv[] = {"no-such-program"};
  vmette_exec* exec = new_exec("true");
  vmette_process* process = NULL;
  CHECK(works(vmette_exec_set_argv(exec, kArgv, 1)));
  CHECK(works(vmette_session_exec(session, exec, &process)));
  vmette_error* error = vmette_process_wait(process, DEADLINE_MS);
  CHECK(error != NULL && vmette_error_errno(error) == 2);
  CHECK(fails_with(error, VMETTE_E_SPAWN));
  vmette_process_delete(process);
  vmette_exec_delete(exec);
}

static void test_pause_and_observation(vmette_session* session) {
  vmette_buffer* console = NULL;
  CHECK(works(vmette_session_pause(session)));
  CHECK(vmette_session_state(session) == VMETTE_STATE_PAUSED);
  CHECK(fails_with(vmette_session_pause(session), VMETTE_E_STATE));
  CHECK(works(vmette_session_unpause(session)));
  CHECK(fails_with(vmette_session_unpause(session), VMETTE_E_STATE));
  vmette_process* process = start(session, new_exec("echo seen > /dev/kmsg"));
  CHECK(works(vmette_process_wait(process, DEADLINE_MS)));
  vmette_process_delete(process);
  CHECK(works(vmette_session_console(session, &console)));
  vmette_buffer_delete(console);
}

int main(void) {
  int log[2];
  vmette_config* config = NULL;
  vmette_session* session = NULL;
  CHECK(pipe(log) == 0);
  CHECK(fails_with(vmette_log_to_fd(log[1], 17), VMETTE_E_INVALID_ARGUMENT));
  CHECK(works(vmette_log_to_fd(log[1], VMETTE_LOG_INFO)));
  CHECK(works(vmette_config_new(&config)));
  CHECK(works(vmette_session_new(config, &session)));
  vmette_config_delete(config);
  if (!works(vmette_session_start(session))) return 1;
  test_null_arguments(session);
  test_surroundings(session);
  test_streams(session);
  test_signals(session);
  test_terminal(session);
  test_failures(session);
  test_pause_and_observation(session);

  vmette_process* process = start(session, new_exec("exec sleep 1000"));
  vmette_session_delete(session);
  CHECK(fails_with(vmette_process_wait(process, DEADLINE_MS), VMETTE_E_SESSION_ENDED));
  vmette_process_delete(process);

  char line[4096];
  CHECK(works(vmette_log_to_fd(-1, VMETTE_LOG_OFF)));
  close(log[1]);
  line[read_all(log[0], line, sizeof line - 1)] = '\0';
  CHECK(strstr(line, "root ready") != NULL);
  return failures == 0 ? 0 : 1;
}
