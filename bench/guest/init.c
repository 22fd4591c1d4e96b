/* The bare guest that the benchmarks measure against: PID 1 of a raw QEMU. The kernel hands over
 * bench=boot (print a line, power off) or bench=exec (serve the control port) in the environment.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "bare.h"

enum { CHUNK = 64 * 1024, ROUND_TRIP_BYTES = 16, MOST_FORKS = 1000 };

static char chunk[CHUNK];

static void load_module(const char* name) {
  char path[128];
  snprintf(path, sizeof path, "/lib/modules/vmette/%s.ko", name);
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return; /* built into this kernel */
  if (syscall(SYS_finit_module, fd, "", 0) != 0 && errno != EEXIST) die(path);
  close(fd);
}

static void write_all(int fd, const char* data, size_t size) {
  while (size > 0) {
    ssize_t done = write(fd, data, size);
    if (done < 0) die("write");
    data += done;
    size -= (size_t)done;
  }
}

static size_t read_some(int fd, size_t most) {
  ssize_t got = read(fd, chunk, most < CHUNK ? most : CHUNK);
  if (got <= 0) die("read");
  return (size_t)got;
}

static uint64_t now_us(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

/* Fork, exec of a static program and wait. */
static uint64_t fork_exec_us(void) {
  uint64_t begin = now_us();
  pid_t pid = fork();
  if (pid == 0) {
    execl("/bin/true", "true", (char*)NULL);
    _exit(127);
  }
  if (pid < 0 || waitpid(pid, NULL, 0) != pid) die("fork");
  return now_us() - begin;
}

/* All are over before the host hears of the first: it would do its part beside the next one. */
static void fork_execs(int port, uint64_t count) {
  static uint64_t times[MOST_FORKS];
  if (count > MOST_FORKS) die("too many at once");
  for (uint64_t i = 0; i < count; ++i) times[i] = fork_exec_us();
  for (uint64_t i = 0; i < count; ++i) {
    char text[32];
    snprintf(text, sizeof text, "%15llu\n", (unsigned long long)times[i]);
    write_all(port, text, ROUND_TRIP_BYTES);
  }
}

/* A child writes into a pipe, this copies the pipe to the port. */
static void relay(int port, uint64_t size) {
  int ends[2];
  if (pipe(ends) != 0) die("pipe");
  pid_t pid = fork();
  if (pid == 0) {
    char number[32];
    close(ends[0]);
    dup2(ends[1], 1);
    snprintf(number, sizeof number, "count=%llu", (unsigned long long)(size / CHUNK));
    execl("/bin/dd", "dd", "if=/dev/zero", "bs=65536", number, "status=none", (char*)NULL);
    _exit(127);
  }
  close(ends[1]);
  for (uint64_t left = size; left > 0;) {
    size_t got = read_some(ends[0], left);
    write_all(port, chunk, got);
    left -= got;
  }
  close(ends[0]);
  waitpid(pid, NULL, 0);
}

static void port_to_file(int port, uint64_t size) {
  int file = open("/bench-file", O_WRONLY | O_CREAT | O_TRUNC, 0644);
  if (file < 0) die("file");
  while (size > 0) {
    size_t got = read_some(port, size);
    write_all(file, chunk, got);
    size -= got;
  }
  close(file);
  write_all(port, "k", 1);
}

static void file_to_port(int port, uint64_t size) {
  int file = open("/bench-file", O_RDONLY);
  if (file < 0) die("file");
  while (size > 0) {
    size_t got = read_some(file, size);
    write_all(port, chunk, got);
    size -= got;
  }
  close(file);
}

/* One request: a letter and eight bytes of argument, little-endian. */
static void serve(int port) {
  for (;;) {
    unsigned char request[9];
    size_t have = 0;
    while (have < sizeof request) {
      ssize_t got = read(port, request + have, sizeof request - have);
      if (got <= 0) return;
      have += (size_t)got;
    }
    uint64_t argument = 0;
    for (int i = 8; i > 0; --i) argument = argument << 8 | request[i];
    if (request[0] == 'e') {
      for (uint64_t i = 0; i < argument; ++i) {
        size_t got = 0;
        while (got < ROUND_TRIP_BYTES) got += read_some(port, ROUND_TRIP_BYTES - got);
        write_all(port, chunk, ROUND_TRIP_BYTES);
      }
    } else if (request[0] == 'f') {
      fork_execs(port, argument);
    } else if (request[0] == 'o') {
      relay(port, argument);
    } else if (request[0] == 'w') {
      port_to_file(port, argument);
    } else if (request[0] == 'r') {
      file_to_port(port, argument);
    } else {
      return;
    }
  }
}

int main(void) {
  const char* mode = getenv("bench");
  if (mode == NULL || strcmp(mode, "exec") != 0) {
    write_all(1, "bench-up\n", 9);
    power_off();
  }
  mkdir("/sys", 0755);
  mkdir("/dev", 0755);
  mount("sysfs", "/sys", "sysfs", 0, NULL);
  mount("devtmpfs", "/dev", "devtmpfs", 0, NULL);
  static const char* const kModules[] = {"virtio_ring", "virtio", "virtio_mmio", "virtio_console"};
  for (size_t i = 0; i < sizeof kModules / sizeof kModules[0]; ++i) load_module(kModules[i]);
  int port = open_port();
  write_all(port, "bench-ready-----", ROUND_TRIP_BYTES);
  serve(port);
  power_off();
}
