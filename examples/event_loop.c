/* Two commands in one machine, driven by one poll() loop: no thread, no callback. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <vmette.h>

static void must(vmette_error* error) {
  if (error == NULL) return;
  fprintf(stderr, "vmette: %s\n", vmette_error_message(error));
  exit(1);
}

static vmette_process* start(vmette_session* session, const char* line, bool feeds) {
  vmette_exec* exec = NULL;
  vmette_process* process = NULL;
  must(vmette_exec_new(&exec));
  must(vmette_exec_set_line(exec, line));
  must(vmette_exec_set_stdout(exec, VMETTE_STDIO_PIPE));
  if (feeds) must(vmette_exec_set_stdin(exec, VMETTE_STDIO_PIPE));
  must(vmette_session_exec(session, exec, &process));
  vmette_exec_delete(exec);
  return process;
}

/* Copies what has come; false at the end of the stream. */
static bool copy(const char* name, int fd) {
  char chunk[4096];
  ssize_t got = read(fd, chunk, sizeof chunk);
  if (got > 0) printf("%s: %.*s", name, (int)got, chunk);
  return got > 0 || (got < 0 && errno == EINTR);
}

int main(void) {
  vmette_config* config = NULL;
  vmette_session* session = NULL;
  must(vmette_config_new(&config));
  must(vmette_session_new(config, &session));
  vmette_config_delete(config);
  must(vmette_session_start(session));

  vmette_process* sorter = start(session, "sort", true);
  vmette_process* counter = start(session, "printf '1\\n2\\n3\\n'", false);
  must(vmette_process_wait_started(sorter, -1));
  static const char kLines[] = "pear\napple\nfig\n";
  if (write(vmette_process_fd(sorter, VMETTE_STDIN), kLines, strlen(kLines)) < 0) perror("write");
  vmette_process_close_fd(sorter, VMETTE_STDIN);

  struct pollfd items[] = {
      {vmette_process_fd(sorter, VMETTE_STDOUT), POLLIN, 0},
      {vmette_process_fd(counter, VMETTE_STDOUT), POLLIN, 0},
      {vmette_session_end_fd(session), POLLIN, 0}, /* the machine died: why? */
  };
  int open_streams = 2;
  while (open_streams > 0 && items[2].revents == 0 && poll(items, 3, -1) >= 0) {
    for (int i = 0; i < 2; ++i) {
      if (items[i].revents == 0 || copy(i == 0 ? "sort" : "count", items[i].fd)) continue;
      items[i].fd = -1;
      --open_streams;
    }
  }
  must(vmette_process_wait(sorter, -1));
  must(vmette_process_wait(counter, -1));
  printf("sort %s, count %s\n", vmette_process_end_message(sorter),
         vmette_process_end_message(counter));
  vmette_process_delete(sorter);
  vmette_process_delete(counter);
  vmette_session_delete(session);
  return 0;
}
