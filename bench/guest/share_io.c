/* The work that bench/rootfs does in a directory, the same program on the host and in the guests.
 *
 * share_io DIRECTORY [drop]: prints the mount that the directory is on, then one line "NAME
 * SECONDS" for each step, then "done". "drop" empties this kernel's caches before it reads.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { BLOCK = 128 * 1024, MIB = 512, FILES = 5000, SMALL = 1024 };

static char block[BLOCK];

static void die(const char* what) {
  printf("failed: %s: %s\ndone\n", what, strerror(errno));
  exit(1);
}

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static double begun;

static void begin(void) {
  begun = now();
}

static void end(const char* name) {
  printf("%s %.6f\n", name, now() - begun);
  fflush(stdout);
}

/* Type and options of the mount that the directory is on: the one that was mounted last there. */
static void print_mount(const char* directory) {
  char line[1024], place[256], type[32], options[512], best[600] = "none";
  size_t length = 0;
  FILE* mounts = fopen("/proc/self/mounts", "r");
  while (mounts != NULL && fgets(line, sizeof line, mounts) != NULL) {
    if (sscanf(line, "%*s %255s %31s %511s", place, type, options) != 3) continue;
    size_t size = strlen(place);
    if (strncmp(directory, place, size) != 0 || size < length) continue;
    length = size;
    snprintf(best, sizeof best, "%s %s", type, options);
  }
  if (mounts != NULL) fclose(mounts);
  printf("mount %s\n", best);
  fflush(stdout);
}

static void write_large(const char* path) {
  begin();
  int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0644);
  if (fd < 0) die(path);
  for (int i = 0; i < MIB * (1024 * 1024 / BLOCK); ++i)
    if (write(fd, block, BLOCK) != BLOCK) die("write");
  end("write");
  if (fsync(fd) != 0) die("fsync");
  end("write+fsync");
  close(fd);
}

static void drop_caches(void) {
  int fd = open("/proc/sys/vm/drop_caches", O_WRONLY);
  if (fd < 0 || write(fd, "3", 1) != 1) die("drop_caches");
  close(fd);
}

static void read_large(const char* path) {
  begin();
  int fd = open(path, O_RDONLY);
  long long total = 0;
  ssize_t got;
  if (fd < 0) die(path);
  while ((got = read(fd, block, BLOCK)) > 0) total += got;
  if (got < 0 || total != (long long)MIB * 1024 * 1024) die("read");
  close(fd);
  end("read");
}

static void create(const char* name) {
  int fd = open(name, O_WRONLY | O_CREAT | O_EXCL, 0644);
  if (fd < 0 || write(fd, block, SMALL) != SMALL || close(fd) != 0) die(name);
}

static void look(const char* name) {
  struct stat info;
  if (stat(name, &info) != 0 || info.st_size != SMALL) die(name);
}

static void read_small(const char* name) {
  char bytes[SMALL + 1];
  int fd = open(name, O_RDONLY);
  if (fd < 0 || read(fd, bytes, sizeof bytes) != SMALL || close(fd) != 0) die(name);
}

static void delete(const char* name) {
  if (unlink(name) != 0) die(name);
}

static void for_all(const char* step, void (*work)(const char*)) {
  char name[32];
  begin();
  for (int i = 0; i < FILES; ++i) {
    snprintf(name, sizeof name, "file-%d", i);
    work(name);
  }
  end(step);
}

int main(int argc, char** argv) {
  if (argc < 2 || chdir(argv[1]) != 0) die("usage: share_io DIRECTORY [drop]");
  for (int i = 0; i < BLOCK; ++i) block[i] = (char)(i * 131 + (i >> 8));
  print_mount(argv[1]);
  write_large("large");
  if (argc > 2) drop_caches();
  read_large("large");
  if (unlink("large") != 0) die("unlink");
  if (mkdir("small", 0755) != 0 || chdir("small") != 0) die("mkdir");
  for_all("create", create);
  for_all("stat", look);
  for_all("read-small", read_small);
  for_all("delete", delete);
  if (chdir("..") != 0 || rmdir("small") != 0) die("rmdir");
  puts("done");
  return 0;
}
