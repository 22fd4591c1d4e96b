/* Files of a machine as a C program handles them: every function of that part is used. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <vmette.h>

#include "check.h"

enum { DEADLINE_MS = 60000 };

static bool holds(vmette_session* session, const char* path, const char* wanted) {
  vmette_buffer* buffer = NULL;
  size_t size = 0;
  if (!works(vmette_session_read_file(session, path, 4096, DEADLINE_MS, &buffer))) return false;
  const char* data = vmette_buffer_data(buffer, &size);
  bool same = size == strlen(wanted) && memcmp(data, wanted, size) == 0;
  vmette_buffer_delete(buffer);
  return same;
}

static bool is_there(vmette_session* session, const char* path) {
  bool there = false;
  CHECK(works(vmette_session_exists(session, path, DEADLINE_MS, &there)));
  return there;
}

static void test_null_arguments(vmette_session* session) {
  vmette_buffer* buffer = NULL;
  vmette_stat* stat = NULL;
  vmette_listing* listing = NULL;
  vmette_stats* stats = NULL;
  vmette_transfer* transfer = NULL;
  bool there = false;
  const vmette_code kWrong = VMETTE_E_INVALID_ARGUMENT;
  CHECK(fails_with_errno(vmette_session_read_file(NULL, "/x", 1, 0, &buffer), kWrong, 0));
  CHECK(fails_with_errno(vmette_session_read_file(session, NULL, 1, 0, &buffer), kWrong, 0));
  CHECK(fails_with_errno(vmette_session_read_file(session, "/x", 1, 0, NULL), kWrong, 0));
  CHECK(fails_with_errno(vmette_session_write_file(session, "/x", NULL, 1, 0, 0, 0), kWrong, 0));
  CHECK(fails_with_errno(vmette_session_write_file(session, "/x", "", 0, VMETTE_FILE_FOLLOW, 0, 0),
                         kWrong, 0));
  CHECK(fails_with_errno(vmette_session_stat(session, "/x", 0, 0, NULL), kWrong, 0));
  CHECK(fails_with_errno(vmette_session_stat(session, "x", 0, 0, &stat), kWrong, 0));
  CHECK(fails_with_errno(vmette_session_exists(session, NULL, 0, &there), kWrong, 0));
  CHECK(fails_with_errno(vmette_session_list(NULL, "/", 0, &listing), kWrong, 0));
  CHECK(fails_with_errno(vmette_session_mkdir(session, NULL, 0, 0, 0), kWrong, 0));
  CHECK(fails_with_errno(vmette_session_remove(session, NULL, 0, 0), kWrong, 0));
  CHECK(fails_with_errno(vmette_session_rename(session, "/x", NULL, 0, 0), kWrong, 0));
  CHECK(fails_with_errno(vmette_session_symlink(session, NULL, "/x", 0), kWrong, 0));
  CHECK(fails_with_errno(vmette_session_chmod(session, NULL, 0, 0), kWrong, 0));
  CHECK(fails_with_errno(vmette_session_chown(session, NULL, 0, 0, 0, 0), kWrong, 0));
  CHECK(fails_with_errno(vmette_session_set_mtime(session, NULL, 0, 0, 0), kWrong, 0));
  CHECK(fails_with_errno(vmette_session_stats(session, 0, NULL), kWrong, 0));
  CHECK(fails_with_errno(vmette_session_open_read(session, NULL, 0, 0, &transfer), kWrong, 0));
  CHECK(fails_with_errno(vmette_session_open_read(session, "/x", UINT64_MAX, 0, &transfer), kWrong,
                         0));
  CHECK(fails_with_errno(vmette_session_open_write(session, "/x", 0, 0, NULL), kWrong, 0));
  CHECK(fails_with_errno(vmette_transfer_wait(NULL, 0), kWrong, 0));
  CHECK(vmette_transfer_fd(NULL) == -1 && vmette_transfer_take_fd(NULL) == -1);
  CHECK(vmette_transfer_done_fd(NULL) == -1 && vmette_transfer_bytes(NULL) == 0);
  CHECK(vmette_stat_type(NULL) == VMETTE_FILE_UNKNOWN && vmette_stat_target(NULL)[0] == '\0');
  CHECK(vmette_listing_count(NULL) == 0 && vmette_listing_name(NULL, 0) == NULL);
  CHECK(vmette_stats_load_milli(NULL, 0) == 0);
  vmette_transfer_close_fd(NULL);
  vmette_transfer_cancel(NULL);
  vmette_transfer_delete(NULL);
  vmette_stat_delete(NULL);
  vmette_listing_delete(NULL);
  vmette_stats_delete(NULL);
  CHECK(buffer == NULL && stat == NULL && listing == NULL && stats == NULL && transfer == NULL);
}

static void test_changes(vmette_session* session) {
  CHECK(works(vmette_session_mkdir(session, "/tmp/c/d", 0750, VMETTE_FILE_PARENTS, DEADLINE_MS)));
  CHECK(works(vmette_session_write_file(session, "/tmp/c/f", "one", 3, VMETTE_FILE_ATOMIC, 0600,
                                        DEADLINE_MS)));
  CHECK(works(vmette_session_write_file(session, "/tmp/c/f", "+", 1, VMETTE_FILE_APPEND,
                                        VMETTE_MODE_KEEP, DEADLINE_MS)));
  CHECK(holds(session, "/tmp/c/f", "one+"));
  CHECK(fails_with_errno(vmette_session_write_file(session, "/tmp/c/f", NULL, 0,
                                                   VMETTE_FILE_EXCLUSIVE, 0600, DEADLINE_MS),
                         VMETTE_E_FILE, EEXIST));
  CHECK(works(vmette_session_rename(session, "/tmp/c/f", "/tmp/c/g", 0, DEADLINE_MS)));
  CHECK(!is_there(session, "/tmp/c/f") && is_there(session, "/tmp/c/g"));
  CHECK(works(vmette_session_symlink(session, "g", "/tmp/c/link", DEADLINE_MS)));
  CHECK(works(vmette_session_chmod(session, "/tmp/c/g", 0640, DEADLINE_MS)));
  CHECK(works(vmette_session_chown(session, "/tmp/c/g", 3, 4, 0, DEADLINE_MS)));
  CHECK(works(vmette_session_set_mtime(session, "/tmp/c/link", 1500000000000000001,
                                       VMETTE_FILE_FOLLOW, DEADLINE_MS)));
}

static void test_looks(vmette_session* session) {
  vmette_stat* stat = NULL;
  vmette_listing* listing = NULL;
  CHECK(works(vmette_session_stat(session, "/tmp/c/link", VMETTE_FILE_FOLLOW, DEADLINE_MS, &stat)));
  CHECK(vmette_stat_type(stat) == VMETTE_FILE_REGULAR && vmette_stat_size(stat) == 4);
  CHECK(vmette_stat_mode(stat) == 0640 && vmette_stat_links(stat) == 1);
  CHECK(vmette_stat_uid(stat) == 3 && vmette_stat_gid(stat) == 4);
  CHECK(vmette_stat_mtime_ns(stat) == 1500000000000000001);
  CHECK(vmette_stat_inode(stat) != 0 && vmette_stat_device(stat) == 0);
  CHECK(vmette_stat_disk_bytes(stat) >= 4 && vmette_stat_target(stat)[0] == '\0');
  vmette_stat_delete(stat);
  CHECK(works(vmette_session_list(session, "/tmp/c", DEADLINE_MS, &listing)));
  CHECK(vmette_listing_count(listing) == 3);
  CHECK(strcmp(vmette_listing_name(listing, 0), "d") == 0);
  CHECK(vmette_stat_mode(vmette_listing_stat(listing, 0)) == 0750);
  CHECK(strcmp(vmette_stat_target(vmette_listing_stat(listing, 2)), "g") == 0);
  CHECK(vmette_listing_name(listing, 3) == NULL && vmette_listing_stat(listing, 3) == NULL);
  vmette_listing_delete(listing);
  CHECK(fails_with_errno(vmette_session_remove(session, "/tmp/c", 0, DEADLINE_MS), VMETTE_E_FILE,
                         ENOTEMPTY));
  CHECK(works(vmette_session_remove(session, "/tmp/c", VMETTE_FILE_RECURSIVE, DEADLINE_MS)));
  CHECK(!is_there(session, "/tmp/c"));
}

static void test_streams(vmette_session* session) {
  vmette_transfer* transfer = NULL;
  char bytes[8] = "";
  struct pollfd item = {-1, POLLIN, 0};
  CHECK(works(vmette_session_open_write(session, "/tmp/s", 0, VMETTE_MODE_KEEP, &transfer)));
  CHECK(write(vmette_transfer_fd(transfer), "stream", 6) == 6);
  vmette_transfer_close_fd(transfer);
  CHECK(works(vmette_transfer_wait(transfer, DEADLINE_MS)));
  CHECK(vmette_transfer_bytes(transfer) == 6);
  vmette_transfer_cancel(transfer); /* too late to matter */
  CHECK(works(vmette_transfer_wait(transfer, 0)));
  vmette_transfer_delete(transfer);

  CHECK(works(vmette_session_open_read(session, "/tmp/s", 1, 4, &transfer)));
  int fd = vmette_transfer_take_fd(transfer);
  item.fd = vmette_transfer_done_fd(transfer);
  CHECK(poll(&item, 1, DEADLINE_MS) == 1);
  CHECK(read(fd, bytes, sizeof bytes) == 4 && memcmp(bytes, "trea", 4) == 0);
  CHECK(read(fd, bytes, sizeof bytes) == 0);
  close(fd);
  vmette_transfer_delete(transfer);
}

static bool note_bytes(void* env, const char* path, uint64_t done, uint64_t total) {
  *(uint64_t*)env = done;
  return path != NULL && total == 0;
}

static bool refuse(void* env, const char* path, uint64_t done, uint64_t total) {
  return env != NULL || path == NULL || done + total == UINT64_MAX;
}

static void test_copies(vmette_session* session) {
  vmette_copied* copied = NULL;
  char directory[] = "/tmp/vmette-test-XXXXXX";
  char path[64] = "";
  uint64_t bytes = 0;
  FILE* file = NULL;
  if (!CHECK(mkdtemp(directory) != NULL)) return;
  (void)snprintf(path, sizeof path, "%s/f", directory);
  file = fopen(path, "w");
  CHECK(file != NULL && fputs("copied", file) >= 0 && fclose(file) == 0);
  CHECK(works(vmette_session_copy_in(session, directory, "/tmp/in/t", VMETTE_FILE_PARENTS,
                                     note_bytes, &bytes, DEADLINE_MS, &copied)));
  CHECK(vmette_copied_entries(copied) == 2 && vmette_copied_bytes(copied) == 6);
  CHECK(vmette_copied_skipped(copied) == 0 && bytes == 6);
  vmette_copied_delete(copied);
  CHECK(holds(session, "/tmp/in/t/f", "copied"));
  (void)unlink(path);
  CHECK(works(vmette_session_copy_out(session, "/tmp/in/t", directory, 0, UINT64_MAX, NULL, NULL,
                                      DEADLINE_MS, NULL)));
  CHECK(access(path, R_OK) == 0);
  CHECK(fails_with_errno(
      vmette_session_copy_out(session, "/tmp/in/t", directory, 0, 5, NULL, NULL, DEADLINE_MS, NULL),
      VMETTE_E_IO, EFBIG));
  CHECK(fails_with_errno(
      vmette_session_copy_out(session, "/tmp/none", directory, 0, 5, NULL, NULL, DEADLINE_MS, NULL),
      VMETTE_E_FILE, ENOENT));
  CHECK(fails_with_errno(
      vmette_session_copy_in(session, directory, "/tmp/x", 0, refuse, NULL, DEADLINE_MS, NULL),
      VMETTE_E_CANCELLED, 0));
  CHECK(fails_with_errno(
      vmette_session_copy_in(session, "/no/such", "/tmp/x", 0, NULL, NULL, DEADLINE_MS, NULL),
      VMETTE_E_IO, ENOENT));
  CHECK(fails_with_errno(vmette_session_copy_in(session, NULL, "/tmp/x", 0, NULL, NULL, 0, NULL),
                         VMETTE_E_INVALID_ARGUMENT, 0));
  CHECK(
      fails_with_errno(vmette_session_copy_out(session, NULL, "/tmp/x", 0, 0, NULL, NULL, 0, NULL),
                       VMETTE_E_INVALID_ARGUMENT, 0));
  CHECK(vmette_copied_entries(NULL) == 0);
  vmette_copied_delete(NULL);
  (void)unlink(path);
  (void)rmdir(directory);
}

static void test_stats(vmette_session* session) {
  vmette_stats* stats = NULL;
  CHECK(works(vmette_session_stats(session, DEADLINE_MS, &stats)));
  CHECK(vmette_stats_uptime_us(stats) > 0 && vmette_stats_processes(stats) > 0);
  CHECK(vmette_stats_memory_kib(stats) > vmette_stats_memory_available_kib(stats));
  CHECK(vmette_stats_root_bytes(stats) >= vmette_stats_root_available_bytes(stats));
  CHECK(vmette_stats_load_milli(stats, 3) == 0);
  vmette_stats_delete(stats);
}

int main(void) {
  vmette_config* config = NULL;
  vmette_session* session = NULL;
  CHECK(works(vmette_config_new(&config)));
  CHECK(works(vmette_config_set_mem_mib(config, 192)));
  CHECK(works(vmette_session_new(config, &session)));
  CHECK(fails_with_errno(vmette_session_mkdir(session, "/x", 0755, 0, 0), VMETTE_E_STATE, 0));
  if (!CHECK(works(vmette_session_start(session)))) return 1;
  test_null_arguments(session);
  test_changes(session);
  test_looks(session);
  test_streams(session);
  test_copies(session);
  test_stats(session);
  CHECK(works(vmette_session_kill(session)));
  CHECK(fails_with_errno(vmette_session_chmod(session, "/x", 0755, 0), VMETTE_E_SESSION_ENDED, 0));
  vmette_session_delete(session);
  vmette_config_delete(config);
  return failures == 0 ? 0 : 1;
}
