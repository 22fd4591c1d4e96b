/* Calls that return at once, as a C program makes them: every function of that part is used. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <vmette.h>

#include "check.h"

enum { DEADLINE_MS = 60000 };

/* Waits with the call's descriptor, as an event loop does. */
static bool over(vmette_call* call) {
  struct pollfd item = {vmette_call_done_fd(call), POLLIN, 0};
  return poll(&item, 1, DEADLINE_MS) == 1 && item.revents == POLLIN;
}

/* How a call went that brings nothing; frees it. */
static bool done(vmette_error* begun, vmette_call** call) {
  if (!works(begun)) return false;
  bool good = over(*call) && works(vmette_call_wait(*call, 0));
  vmette_call_delete(*call);
  *call = NULL;
  return good;
}

static void test_null_arguments(vmette_session* session) {
  const vmette_code kWrong = VMETTE_E_INVALID_ARGUMENT;
  vmette_call* call = NULL;
  vmette_buffer* buffer = NULL;
  vmette_stat* stat = NULL;
  vmette_listing* listing = NULL;
  vmette_stats* stats = NULL;
  bool there = false;
  CHECK(fails_with_part(vmette_session_begin_read_file(NULL, "/x", 1, &call), kWrong, "session"));
  CHECK(fails_with_part(vmette_session_begin_read_file(session, NULL, 1, &call), kWrong, "path"));
  CHECK(fails_with_part(vmette_session_begin_stat(session, "/x", 0, NULL), kWrong, "out"));
  CHECK(fails_with_part(vmette_session_begin_stat(session, "x", 0, &call), kWrong, "absolute"));
  CHECK(fails_with_part(vmette_session_begin_stat(session, "/x", VMETTE_FILE_ATOMIC, &call), kWrong,
                        "vmette_session_begin_stat: argument 'flags'"));
  CHECK(fails_with_part(vmette_session_begin_write_file(session, "/x", NULL, 1, 0, 0, &call),
                        kWrong, "data"));
  CHECK(
      fails_with_part(vmette_session_begin_mkdir(session, "/x", 010000, 0, &call), kWrong, "mode"));
  CHECK(fails_with_part(vmette_session_begin_rename(session, "/x", NULL, 0, &call), kWrong, "to"));
  CHECK(
      fails_with_part(vmette_session_begin_symlink(session, NULL, "/x", &call), kWrong, "target"));
  CHECK(fails_with_part(vmette_session_begin_chown(session, "/x", -2, 0, 0, &call), kWrong, "uid"));
  CHECK(fails_with(vmette_call_wait(NULL, 0), kWrong));
  CHECK(fails_with(vmette_call_take_buffer(NULL, &buffer), kWrong));
  CHECK(fails_with(vmette_call_take_stat(NULL, &stat), kWrong));
  CHECK(fails_with(vmette_call_take_exists(NULL, &there), kWrong));
  CHECK(fails_with(vmette_call_take_listing(NULL, &listing), kWrong));
  CHECK(fails_with(vmette_call_take_stats(NULL, &stats), kWrong));
  CHECK(fails_with(vmette_session_request_stop(NULL, 0), kWrong));
  CHECK(fails_with(vmette_session_request_kill(NULL), kWrong));
  CHECK(vmette_call_done_fd(NULL) == -1);
  vmette_call_cancel(NULL);
  vmette_call_delete(NULL);
  CHECK(call == NULL && buffer == NULL && stat == NULL && listing == NULL && stats == NULL);
}

static void test_changes(vmette_session* session) {
  vmette_call* call = NULL;
  char data[] = "four";
  CHECK(done(vmette_session_begin_mkdir(session, "/tmp/c/d", 0750, VMETTE_FILE_PARENTS, &call),
             &call));
  vmette_error* begun = vmette_session_begin_write_file(session, "/tmp/c/f", data, 4,
                                                        VMETTE_FILE_ATOMIC, 0600, &call);
  memset(data, '!', 4); /* the library has its copy */
  CHECK(done(begun, &call));
  CHECK(done(vmette_session_begin_rename(session, "/tmp/c/f", "/tmp/c/g", 0, &call), &call));
  CHECK(done(vmette_session_begin_symlink(session, "g", "/tmp/c/link", &call), &call));
  CHECK(done(vmette_session_begin_chmod(session, "/tmp/c/g", 0640, &call), &call));
  CHECK(done(vmette_session_begin_chown(session, "/tmp/c/g", 3, 4, 0, &call), &call));
  CHECK(done(vmette_session_begin_set_mtime(session, "/tmp/c/g", 1500000000000000001, 0, &call),
             &call));
}

static void test_stat(vmette_session* session) {
  vmette_call* call = NULL;
  vmette_stat* stat = NULL;
  vmette_buffer* buffer = NULL;
  if (!CHECK(works(vmette_session_begin_stat(session, "/tmp/c/g", 0, &call)))) return;
  CHECK(over(call));
  CHECK(fails_with_part(vmette_call_take_buffer(call, &buffer), VMETTE_E_STATE, "take_stat()"));
  CHECK(fails_with(vmette_call_take_stat(call, NULL), VMETTE_E_INVALID_ARGUMENT));
  CHECK(works(vmette_call_take_stat(call, &stat)));
  CHECK(vmette_stat_size(stat) == 4 && vmette_stat_mode(stat) == 0640);
  CHECK(vmette_stat_uid(stat) == 3 && vmette_stat_mtime_ns(stat) == 1500000000000000001);
  vmette_stat_delete(stat);
  stat = NULL;
  CHECK(fails_with_part(vmette_call_take_stat(call, &stat), VMETTE_E_STATE, "taken before"));
  CHECK(works(vmette_call_wait(call, 0)) && stat == NULL && buffer == NULL);
  vmette_call_delete(call);

  CHECK(works(vmette_session_begin_stat(session, "/tmp/none", 0, &call)));
  CHECK(over(call));
  CHECK(fails_with_errno(vmette_call_wait(call, 0), VMETTE_E_FILE, ENOENT));
  CHECK(fails_with_errno(vmette_call_take_stat(call, &stat), VMETTE_E_FILE, ENOENT));
  vmette_call_delete(call);
}

static bool is_there(vmette_session* session, const char* path) {
  vmette_call* call = NULL;
  bool there = false;
  CHECK(works(vmette_session_begin_exists(session, path, &call)));
  CHECK(works(vmette_call_wait(call, DEADLINE_MS)));
  CHECK(works(vmette_call_take_exists(call, &there)));
  vmette_call_delete(call);
  return there;
}

static void test_answers(vmette_session* session) {
  vmette_call* call = NULL;
  vmette_buffer* buffer = NULL;
  vmette_listing* listing = NULL;
  vmette_stats* stats = NULL;
  size_t size = 0;
  CHECK(works(vmette_session_begin_read_file(session, "/tmp/c/g", 4096, &call)));
  CHECK(works(vmette_call_wait(call, DEADLINE_MS)));
  CHECK(works(vmette_call_take_buffer(call, &buffer)));
  const char* data = vmette_buffer_data(buffer, &size);
  CHECK(size == 4 && memcmp(data, "four", 4) == 0);
  vmette_buffer_delete(buffer);
  vmette_call_delete(call);

  CHECK(works(vmette_session_begin_list(session, "/tmp/c", &call)));
  CHECK(works(vmette_call_wait(call, DEADLINE_MS)));
  CHECK(works(vmette_call_take_listing(call, &listing)));
  CHECK(vmette_listing_count(listing) == 3);
  CHECK(strcmp(vmette_listing_name(listing, 0), "d") == 0);
  vmette_listing_delete(listing);
  vmette_call_delete(call);

  CHECK(works(vmette_session_begin_stats(session, &call)));
  CHECK(works(vmette_call_wait(call, DEADLINE_MS)));
  CHECK(works(vmette_call_take_stats(call, &stats)));
  CHECK(vmette_stats_uptime_us(stats) > 0);
  vmette_stats_delete(stats);
  vmette_call_delete(call);

  CHECK(is_there(session, "/tmp/c/link") && !is_there(session, "/tmp/c/none"));
  CHECK(!is_there(session, "/tmp/c/g/below-a-file"));
}

/* A paused machine answers nothing: what is asked meanwhile is under way for as long. */
static void test_under_way(vmette_session* session) {
  vmette_call *removal = NULL, *cancelled = NULL, *left = NULL;
  vmette_stats* stats = NULL;
  CHECK(works(vmette_session_pause(session)));
  CHECK(works(vmette_session_begin_remove(session, "/tmp/c", VMETTE_FILE_RECURSIVE, &removal)));
  CHECK(works(vmette_session_begin_stats(session, &cancelled)));
  CHECK(works(vmette_session_begin_stats(session, &left)));
  CHECK(fails_with(vmette_call_wait(removal, 0), VMETTE_E_DEADLINE));
  CHECK(fails_with_part(vmette_call_take_stats(cancelled, &stats), VMETTE_E_STATE, "not over"));
  CHECK(fails_with_part(vmette_call_take_stats(removal, &stats), VMETTE_E_STATE, "nothing"));
  vmette_call_cancel(cancelled);
  CHECK(over(cancelled));
  CHECK(fails_with(vmette_call_wait(cancelled, 0), VMETTE_E_CANCELLED));
  CHECK(fails_with(vmette_call_take_stats(cancelled, &stats), VMETTE_E_CANCELLED));
  vmette_call_delete(left);
  CHECK(works(vmette_session_unpause(session)));
  CHECK(works(vmette_call_wait(removal, DEADLINE_MS)));
  vmette_call_delete(cancelled);
  vmette_call_delete(removal);
  CHECK(!is_there(session, "/tmp/c") && stats == NULL);
}

static void test_requested_end(vmette_session* session) {
  vmette_call *call = NULL, *late = NULL;
  struct pollfd item = {vmette_session_end_fd(session), POLLIN, 0};
  CHECK(works(vmette_session_pause(session)));
  CHECK(works(vmette_session_begin_stats(session, &call)));
  CHECK(works(vmette_session_request_stop(session, 600000)));
  CHECK(works(vmette_session_request_kill(session)));
  CHECK(poll(&item, 1, DEADLINE_MS) == 1);
  CHECK(works(vmette_session_wait(session, 0)));
  CHECK(vmette_session_end(session) == VMETTE_END_STOPPED);
  CHECK(works(vmette_session_request_stop(session, 0)));
  CHECK(fails_with(vmette_session_begin_stats(session, &late), VMETTE_E_SESSION_ENDED));
  vmette_session_delete(session);
  CHECK(over(call));
  vmette_error* error = vmette_call_wait(call, 0);
  if (error == NULL || vmette_error_code(error) != VMETTE_E_SESSION_ENDED)
    CHECK(works(error)); /* the guest may have answered before it was killed */
  else
    vmette_error_delete(error);
  vmette_call_delete(call);
  CHECK(late == NULL);
}

int main(void) {
  vmette_config* config = NULL;
  vmette_session* session = NULL;
  vmette_call* call = NULL;
  CHECK(works(vmette_config_new(&config)));
  CHECK(works(vmette_config_set_mem_mib(config, 192)));
  CHECK(works(vmette_session_new(config, &session)));
  CHECK(fails_with(vmette_session_begin_stats(session, &call), VMETTE_E_STATE));
  CHECK(works(vmette_session_request_stop(session, 0)));
  CHECK(works(vmette_session_request_kill(session)));
  CHECK(vmette_session_state(session) == VMETTE_STATE_CREATED);
  if (!CHECK(works(vmette_session_start(session)))) return 1;
  test_null_arguments(session);
  test_changes(session);
  test_stat(session);
  test_answers(session);
  test_under_way(session);
  test_requested_end(session);
  vmette_config_delete(config);
  return failures == 0 ? 0 : 1;
}
