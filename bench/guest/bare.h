/* What the bare guests of the benchmarks have in common. */
#ifndef BENCH_GUEST_BARE_H
#define BENCH_GUEST_BARE_H

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/reboot.h>
#include <unistd.h>

static void power_off(void) {
  reboot(RB_POWER_OFF);
  _exit(0);
}

static void die(const char* what) {
  fprintf(stderr, "bench: %s: %s\n", what, strerror(errno));
  power_off();
}

/* The first port; there is only one. */
static int open_port(void) {
  for (;;) {
    DIR* ports = opendir("/sys/class/virtio-ports");
    struct dirent* entry;
    while (ports != NULL && (entry = readdir(ports)) != NULL) {
      char path[300];
      if (entry->d_name[0] == '.') continue;
      snprintf(path, sizeof path, "/dev/%s", entry->d_name);
      int fd = open(path, O_RDWR | O_CLOEXEC);
      if (fd >= 0) {
        closedir(ports);
        return fd;
      }
    }
    if (ports != NULL) closedir(ports);
  }
}

#endif
