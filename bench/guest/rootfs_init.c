/* The bare guest of bench/rootfs: PID 1 of a raw QEMU, behind vmette's initramfs for its modules.
 * The kernel hands these over in the environment:
 *   bench_type=TYPE bench_options=OPTIONS   what to mount: the share "io", or for squashfs the
 *                                           first disk
 * A share is served for the control port: each byte that comes runs share_io in it. From a disk
 * python3 is run, which prints to the console.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bare.h"

#define MODULES "/lib/modules/vmette/"

static void insert(const char* name) {
  char path[128];
  snprintf(path, sizeof path, MODULES "%s.ko", name);
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0 || (syscall(SYS_finit_module, fd, "", 0) != 0 && errno != EEXIST)) die(path);
  close(fd);
}

/* A line of modules.dep: "name: what it needs, in the order to load it". Built in when absent. */
static void load(const char* wanted) {
  char line[512];
  FILE* list = fopen(MODULES "modules.dep", "r");
  while (list != NULL && fgets(line, sizeof line, list) != NULL) {
    char* rest = line;
    const char* name = strsep(&rest, ":");
    if (rest == NULL || strcmp(name, wanted) != 0) continue;
    for (char* need; (need = strsep(&rest, " \n")) != NULL;)
      if (*need != '\0') insert(need);
    insert(name);
    break;
  }
  if (list != NULL) fclose(list);
}

static void serve_share(const char* type, const char* options) {
  load("virtio_mmio");
  load("virtio_console");
  if (strcmp(type, "9p") == 0) load("9pnet_virtio");
  load(type);
  mkdir("/sys", 0755);
  mkdir("/proc", 0755);
  mkdir("/mnt", 0755);
  mkdir("/mnt/io", 0755);
  if (mount("sysfs", "/sys", "sysfs", 0, NULL) != 0) die("/sys");
  if (mount("proc", "/proc", "proc", 0, NULL) != 0) die("/proc");
  if (mount("io", "/mnt/io", type, 0, options) != 0) die("the share");
  int port = open_port();
  char byte;
  if (write(port, "ready\n", 6) != 6) die("port");
  while (read(port, &byte, 1) == 1) {
    pid_t pid = fork();
    if (pid == 0) {
      dup2(port, 1);
      execl("/mnt/io/share_io", "share_io", "/mnt/io/raw", "drop", (char*)NULL);
      _exit(127);
    }
    if (pid < 0 || waitpid(pid, NULL, 0) != pid) die("fork");
  }
}

static void run_from_disk(const char* type) {
  load("virtio_mmio");
  load("virtio_blk");
  load(type);
  mkdir("/root", 0755);
  while (access("/dev/vda", F_OK) != 0) usleep(1000);
  if (mount("/dev/vda", "/root", type, MS_RDONLY, NULL) != 0) die("the disk");
  if (chroot("/root") != 0 || chdir("/") != 0) die("chroot");
  pid_t pid = fork();
  if (pid == 0) {
    execl("/usr/bin/python3", "python3", "-c", "print(1)", (char*)NULL);
    _exit(127);
  }
  if (pid < 0 || waitpid(pid, NULL, 0) != pid) die("fork");
}

int main(void) {
  const char* type = getenv("bench_type");
  const char* options = getenv("bench_options");
  mkdir("/dev", 0755);
  if (mount("devtmpfs", "/dev", "devtmpfs", 0, NULL) != 0) die("/dev");
  if (type == NULL) die("bench_type");
  if (strcmp(type, "squashfs") == 0)
    run_from_disk(type);
  else
    serve_share(type, options == NULL ? "" : options);
  power_off();
}
