/* The C header as a C program sees it: every function is called, nothing is booted. */
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <vmette.h>

#include "check.h"

static void test_code_names(void) {
  static const struct {
    vmette_code code;
    const char* name;
  } kCodes[] = {
      {VMETTE_E_INVALID_ARGUMENT, "INVALID_ARGUMENT"},
      {VMETTE_E_INVALID_CONFIG, "INVALID_CONFIG"},
      {VMETTE_E_NOT_FOUND, "NOT_FOUND"},
      {VMETTE_E_START_FAILED, "START_FAILED"},
      {VMETTE_E_GUEST, "GUEST"},
      {VMETTE_E_SPAWN, "SPAWN"},
      {VMETTE_E_DEADLINE, "DEADLINE"},
      {VMETTE_E_SESSION_ENDED, "SESSION_ENDED"},
      {VMETTE_E_STATE, "STATE"},
      {VMETTE_E_UNSUPPORTED, "UNSUPPORTED"},
      {VMETTE_E_IO, "IO"},
      {VMETTE_E_NO_MEMORY, "NO_MEMORY"},
      {VMETTE_E_INTERNAL, "INTERNAL"},
      {VMETTE_E_INVALID_SPEC, "INVALID_SPEC"},
      {VMETTE_E_OFFLINE_CACHE_MISS, "OFFLINE_CACHE_MISS"},
      {VMETTE_E_NETWORK, "NETWORK"},
      {VMETTE_E_PROVIDER, "PROVIDER"},
      {VMETTE_E_CANCELLED, "CANCELLED"},
      {VMETTE_E_FILE, "FILE"},
      {VMETTE_E_RESTORE_FAILED, "RESTORE_FAILED"},
      {VMETTE_E_SNAPSHOT, "SNAPSHOT"},
  };
  for (size_t i = 0; i < sizeof kCodes / sizeof kCodes[0]; ++i) {
    CHECK(strcmp(vmette_code_name(kCodes[i].code), kCodes[i].name) == 0);
  }
  CHECK(strcmp(vmette_code_name(0), "UNKNOWN") == 0);
  CHECK(strcmp(vmette_code_name(-1), "UNKNOWN") == 0);
  CHECK(strcmp(vmette_code_name(INT32_MAX), "UNKNOWN") == 0);
}

static void test_null_handles(void) {
  vmette_config* config = NULL;
  vmette_session* session = NULL;
  vmette_output* output = NULL;
  CHECK(fails_with(vmette_config_new(NULL), VMETTE_E_INVALID_ARGUMENT));
  CHECK(fails_with(vmette_config_clone(NULL, &config), VMETTE_E_INVALID_ARGUMENT));
  CHECK(fails_with(vmette_config_validate(NULL), VMETTE_E_INVALID_ARGUMENT));
  CHECK(fails_with(vmette_config_set_vcpus(NULL, 1), VMETTE_E_INVALID_ARGUMENT));
  CHECK(fails_with(vmette_session_new(NULL, &session), VMETTE_E_INVALID_ARGUMENT));
  CHECK(fails_with(vmette_session_start(NULL), VMETTE_E_INVALID_ARGUMENT));
  CHECK(fails_with(vmette_session_launch(NULL), VMETTE_E_INVALID_ARGUMENT));
  CHECK(fails_with(vmette_session_wait_ready(NULL, 0), VMETTE_E_INVALID_ARGUMENT));
  CHECK(fails_with(vmette_session_wait(NULL, 0), VMETTE_E_INVALID_ARGUMENT));
  CHECK(fails_with(vmette_session_stop(NULL, 0), VMETTE_E_INVALID_ARGUMENT));
  CHECK(fails_with(vmette_session_kill(NULL), VMETTE_E_INVALID_ARGUMENT));
  CHECK(fails_with(vmette_session_output(NULL, &output), VMETTE_E_INVALID_ARGUMENT));
  CHECK(fails_with(vmette_run(NULL, &output), VMETTE_E_INVALID_ARGUMENT));
  vmette_run_stop();  // of none, which does nothing
  CHECK(config == NULL && session == NULL && output == NULL);

  vmette_config_delete(NULL);
  vmette_session_delete(NULL);
  vmette_output_delete(NULL);
  vmette_error_delete(NULL);
}

static void test_config_values(vmette_config* config) {
  CHECK(vmette_config_vcpus(config) == 1);
  CHECK(vmette_config_mem_mib(config) == 512);
  CHECK(vmette_config_timeout_seconds(config) == 0);
  CHECK(vmette_config_guest_vsock_port(config) == 1025);
  CHECK(strstr(vmette_config_cmdline(config), "quiet") != NULL);

  CHECK(works(vmette_config_set_vcpus(config, 2)));
  CHECK(works(vmette_config_set_mem_mib(config, 256)));
  CHECK(works(vmette_config_set_timeout_seconds(config, 9)));
  CHECK(works(vmette_config_set_guest_vsock_port(config, 2000)));
  CHECK(works(vmette_config_set_cmdline(config, "loglevel=7")));

  vmette_config* copy = NULL;
  CHECK(works(vmette_config_clone(config, &copy)));
  CHECK(works(vmette_config_set_vcpus(config, 1)));
  CHECK(works(vmette_config_set_cmdline(config, NULL)));
  CHECK(works(vmette_config_set_guest_vsock_port(config, 1025)));
  CHECK(vmette_config_vcpus(config) == 1);
  CHECK(vmette_config_vcpus(copy) == 2);
  CHECK(vmette_config_mem_mib(copy) == 256);
  CHECK(vmette_config_timeout_seconds(copy) == 9);
  CHECK(vmette_config_guest_vsock_port(copy) == 2000);
  CHECK(strcmp(vmette_config_cmdline(copy), "loglevel=7") == 0);
  CHECK(strstr(vmette_config_cmdline(config), "quiet") != NULL);
  vmette_config_delete(copy);
}

/* Every other setter with a value that is right; wrong ones are in test_wrong_settings(). */
static void test_setters(vmette_config* config) {
  const char* const argv[] = {"echo", "a b"};
  CHECK(works(vmette_config_set_kernel(config, NULL)));
  CHECK(works(vmette_config_set_initramfs(config, NULL)));
  CHECK(works(vmette_config_set_assets(config, NULL)));
  CHECK(works(vmette_config_set_helper(config, NULL)));
  CHECK(works(vmette_config_set_exec(config, "true")));
  CHECK(works(vmette_config_set_exec_argv(config, argv, 2)));
  CHECK(works(vmette_config_set_exec(config, NULL)));
  CHECK(works(vmette_config_add_env(config, "KEY", "value")));
  CHECK(works(vmette_config_set_switch_root(config, false)));
  CHECK(works(vmette_config_set_net(config, false)));
  CHECK(works(vmette_config_set_vsock(config, VMETTE_VSOCK_AUTO, 0)));
  CHECK(works(vmette_config_set_ready_timeout_ms(config, 1000)));
  CHECK(works(vmette_config_set_snapshottable(config, false)));
  CHECK(works(vmette_config_set_resume_shares(config, 0)));
  CHECK(works(vmette_config_set_build_snapshot(config, NULL)));
  CHECK(works(vmette_config_set_resume_snapshot(config, NULL)));
  CHECK(works(vmette_config_set_scratch_mib(config, 0)));
  CHECK(works(vmette_config_set_scratch_dir(config, NULL)));
  CHECK(works(vmette_config_set_quiet(config, true)));
  CHECK(works(vmette_config_set_capture_output(config, true)));
  CHECK(works(vmette_config_set_capture_limit(config, 4096)));
  CHECK(works(vmette_config_set_accel(config, VMETTE_ACCEL_AUTO)));
  CHECK(works(vmette_config_set_share_transport(config, VMETTE_SHARE_AUTO)));
  CHECK(works(vmette_config_add_share_at(config, "root", "/", "/srv/root", true)));
  CHECK(works(vmette_config_set_hostname(config, "machine-1")));
  CHECK(works(vmette_config_set_ca_certs(config, "")));
  CHECK(works(vmette_config_set_ca_certs(config, NULL)));
}

typedef vmette_error* (*setting)(vmette_config* config);

static vmette_error* no_vcpus(vmette_config* c) {
  return vmette_config_set_vcpus(c, 0);
}
static vmette_error* many_vcpus(vmette_config* c) {
  return vmette_config_set_vcpus(c, 1000000);
}
static vmette_error* little_memory(vmette_config* c) {
  return vmette_config_set_mem_mib(c, 63);
}
static vmette_error* all_memory(vmette_config* c) {
  return vmette_config_set_mem_mib(c, UINT64_MAX);
}
static vmette_error* no_ready_time(vmette_config* c) {
  return vmette_config_set_ready_timeout_ms(c, 0);
}
static vmette_error* unknown_accel(vmette_config* c) {
  return vmette_config_set_accel(c, 77);
}
static vmette_error* unknown_vsock(vmette_config* c) {
  return vmette_config_set_vsock(c, 77, 1);
}
static vmette_error* bad_hostname(vmette_config* c) {
  return vmette_config_set_hostname(c, "-a");
}
static vmette_error* no_hostname(vmette_config* c) {
  return vmette_config_set_hostname(c, NULL);
}
static vmette_error* missing_ca_certs(vmette_config* c) {
  return vmette_config_set_ca_certs(c, "/no/such/certs");
}
static vmette_error* bad_env_key(vmette_config* c) {
  return vmette_config_add_env(c, "A-B", "x");
}
static vmette_error* no_env_value(vmette_config* c) {
  return vmette_config_add_env(c, "A", NULL);
}
static vmette_error* no_argv(vmette_config* c) {
  return vmette_config_set_exec_argv(c, NULL, 0);
}
static vmette_error* bad_share_tag(vmette_config* c) {
  return vmette_config_add_share(c, "a/b", "/", true);
}
static vmette_error* reserved_share_tag(vmette_config* c) {
  return vmette_config_add_share(c, "rootfs", "/", true);
}
static vmette_error* missing_share(vmette_config* c) {
  return vmette_config_add_share(c, "src", "/no/such/directory", true);
}
static vmette_error* relative_share_target(vmette_config* c) {
  return vmette_config_add_share_at(c, "src", "/", "srv", true);
}
static vmette_error* no_share_target(vmette_config* c) {
  return vmette_config_add_share_at(c, "src", "/", NULL, true);
}
static vmette_error* unknown_share_transport(vmette_config* c) {
  return vmette_config_set_share_transport(c, 77);
}
static vmette_error* missing_disk(vmette_config* c) {
  return vmette_config_add_disk(c, "/no/such/disk", false);
}
static vmette_error* disk_without_id(vmette_config* c) {
  return vmette_config_add_disk_as(c, NULL, "/etc/passwd", true);
}
static vmette_error* bad_disk_id(vmette_config* c) {
  return vmette_config_add_disk_as(c, "a b", "/etc/passwd", true);
}
static vmette_error* small_scratch(vmette_config* c) {
  return vmette_config_set_scratch_mib(c, 1);
}
static vmette_error* missing_scratch_dir(vmette_config* c) {
  vmette_error* error = vmette_config_set_scratch_mib(c, 64);
  return error != NULL ? error : vmette_config_set_scratch_dir(c, "/no/such/directory");
}
static vmette_error* missing_root(vmette_config* c) {
  return vmette_config_set_rootfs_share(c, "/no/such/root", false);
}
static vmette_error* root_is_a_file(vmette_config* c) {
  return vmette_config_set_rootfs_share(c, "/etc/passwd", false);
}
static vmette_error* missing_block(vmette_config* c) {
  return vmette_config_set_rootfs_block(c, "/no/such/image", "squashfs");
}
static vmette_error* unknown_fstype(vmette_config* c) {
  return vmette_config_set_rootfs_block(c, "/etc/passwd", "ntfs");
}
static vmette_error* missing_kernel(vmette_config* c) {
  return vmette_config_set_kernel(c, "/no/such/kernel");
}
static vmette_error* cmdline_not_utf8(vmette_config* c) {
  return vmette_config_set_cmdline(c, "a=\xff");
}

/* A wrong value is refused by its setter or by the check that every session makes. */
static bool refused(setting set) {
  vmette_config* config = NULL;
  if (!works(vmette_config_new(&config))) return false;
  vmette_error* error = set(config);
  if (error == NULL) error = vmette_config_validate(config);
  vmette_code code = error == NULL ? 0 : vmette_error_code(error);
  bool right = fails_with(error, code) &&
               (code == VMETTE_E_INVALID_ARGUMENT || code == VMETTE_E_INVALID_CONFIG);
  vmette_config_delete(config);
  return right;
}

static void test_wrong_settings(void) {
  static const setting kWrong[] = {
      no_vcpus,
      many_vcpus,
      little_memory,
      all_memory,
      no_ready_time,
      unknown_accel,
      unknown_vsock,
      bad_hostname,
      no_hostname,
      missing_ca_certs,
      bad_env_key,
      no_env_value,
      no_argv,
      bad_share_tag,
      reserved_share_tag,
      missing_share,
      missing_disk,
      disk_without_id,
      bad_disk_id,
      small_scratch,
      missing_scratch_dir,
      missing_root,
      root_is_a_file,
      missing_block,
      unknown_fstype,
      missing_kernel,
      cmdline_not_utf8,
      relative_share_target,
      no_share_target,
      unknown_share_transport,
  };
  for (size_t i = 0; i < sizeof kWrong / sizeof kWrong[0]; ++i) {
    if (refused(kWrong[i])) continue;
    fprintf(stderr, "wrong setting number %zu is not refused\n", i);
    ++failures;
  }
}

static bool is_readable(int fd) {
  struct pollfd entry = {fd, POLLIN, 0};
  return poll(&entry, 1, 0) == 1;
}

static void test_empty_output(const vmette_session* session) {
  vmette_output* output = NULL;
  CHECK(works(vmette_session_output(session, &output)));
  if (output == NULL) return;
  CHECK(vmette_output_end(output) == VMETTE_END_NONE);
  CHECK(vmette_output_exit_code(output) == -1);
  CHECK(strcmp(vmette_output_end_message(output), "") == 0);
  for (vmette_stream stream = VMETTE_STDOUT; stream <= VMETTE_COMBINED; ++stream) {
    size_t size = 99;
    CHECK(strcmp(vmette_output_data(output, stream, &size), "") == 0);
    CHECK(size == 0);
    CHECK(!vmette_output_truncated(output, stream));
    CHECK(vmette_output_total(output, stream) == 0);
  }
  vmette_output_delete(output);
}

static void test_session_before_its_start(const vmette_config* config) {
  vmette_session* session = NULL;
  CHECK(works(vmette_session_new(config, &session)));
  if (session == NULL) return;
  CHECK(vmette_session_state(session) == VMETTE_STATE_CREATED);
  CHECK(vmette_session_end(session) == VMETTE_END_NONE);
  CHECK(vmette_session_exit_code(session) == -1);
  CHECK(strcmp(vmette_session_end_message(session), "") == 0);
  CHECK(strcmp(vmette_session_cmdline(session), "") == 0);
  CHECK(vmette_session_vsock_port(session) == 0);
  CHECK(vmette_session_timeline_count(session) == 0);
  CHECK(vmette_session_timeline_name(session, 0) == NULL);
  CHECK(vmette_session_timeline_us(session, 0) == 0);
  CHECK(!is_readable(vmette_session_ready_fd(session)));
  CHECK(!is_readable(vmette_session_end_fd(session)));
  CHECK(fails_with(vmette_session_wait(session, 0), VMETTE_E_STATE));
  test_empty_output(session);
  CHECK(works(vmette_session_stop(session, 0)));
  vmette_session_delete(session);
}

static void test_missing_assets(vmette_config* config) {
  vmette_session* session = NULL;
  vmette_output* output = NULL;
  CHECK(works(vmette_config_set_assets(config, "/no/such/assets")));
  vmette_error* error = vmette_session_new(config, &session);
  if (error == NULL) error = vmette_session_start(session);
  if (error != NULL) CHECK(vmette_error_errno(error) == 0);
  if (error != NULL) CHECK(vmette_error_elapsed_ms(error) < 60000);
  CHECK(fails_with(error, VMETTE_E_NOT_FOUND));
  vmette_session_delete(session);
  CHECK(fails_with(vmette_run(config, &output), VMETTE_E_NOT_FOUND));
  CHECK(output == NULL);
}

int main(void) {
  vmette_config* config = NULL;
  CHECK(strcmp(vmette_version(), VMETTE_VERSION) == 0);
  test_code_names();
  test_null_handles();
  test_wrong_settings();
  CHECK(works(vmette_config_new(&config)));
  test_config_values(config);
  test_setters(config);
  test_session_before_its_start(config);
  test_missing_assets(config);
  vmette_config_delete(config);
  return failures == 0 ? 0 : 1;
}
