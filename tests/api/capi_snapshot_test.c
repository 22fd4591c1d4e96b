/* Snapshots as a C program uses them, with one small machine: every function of that part. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <vmette.h>

#include "check.h"

enum { DEADLINE_MS = 120000 };

static void test_null_arguments(const vmette_config* config) {
  vmette_snapshot* snapshot = NULL;
  vmette_session* session = NULL;
  const vmette_code wrong = VMETTE_E_INVALID_ARGUMENT;
  CHECK(fails_with(vmette_snapshot_build(NULL, "/tmp/x", NULL, NULL, &snapshot), wrong));
  CHECK(fails_with(vmette_snapshot_build(config, NULL, NULL, NULL, &snapshot), wrong));
  CHECK(fails_with(vmette_session_snapshot(NULL, "/tmp/x", &snapshot), wrong));
  CHECK(fails_with(vmette_session_fork(NULL, 1, NULL, &session), wrong));
  CHECK(fails_with(vmette_snapshot_open(NULL, &snapshot), wrong));
  CHECK(fails_with(vmette_snapshot_open("/tmp/x", NULL), wrong));
  CHECK(fails_with(vmette_snapshot_resume(NULL, NULL, &session), wrong));
  CHECK(fails_with(vmette_snapshot_verify(NULL), wrong));
  CHECK(fails_with(vmette_snapshot_remove(NULL), wrong));
  CHECK(strcmp(vmette_snapshot_path(NULL), "") == 0);
  CHECK(strcmp(vmette_snapshot_created_at(NULL), "") == 0);
  CHECK(strcmp(vmette_snapshot_manifest(NULL), "") == 0);
  CHECK(vmette_snapshot_vcpus(NULL) == 0 && vmette_snapshot_mem_mib(NULL) == 0);
  CHECK(vmette_snapshot_pause_us(NULL) == 0 && vmette_snapshot_bytes(NULL) == 0);
  vmette_snapshot_delete(NULL);
}

static vmette_config* small_config(void) {
  vmette_config* config = NULL;
  CHECK(works(vmette_config_new(&config)));
  CHECK(works(vmette_config_set_mem_mib(config, 128)));
  CHECK(works(vmette_config_set_ready_timeout_ms(config, DEADLINE_MS)));
  CHECK(works(vmette_config_set_snapshottable(config, true)));
  CHECK(works(vmette_config_set_resume_shares(config, 1)));
  CHECK(works(vmette_config_set_snapshot_digests(config, true)));
  CHECK(works(vmette_config_set_resume_hooks(config, "true", "true")));
  CHECK(works(vmette_config_set_resume_hooks(config, NULL, NULL)));
  return config;
}

/* What the warm-up leaves is the answer of every machine that comes of it. */
static vmette_error* warm_up(void* env, vmette_session* session) {
  ++*(int*)env;
  return vmette_session_write_file(session, "/tmp/warm", "warm", 4, 0, VMETTE_MODE_KEEP,
                                   DEADLINE_MS);
}

static vmette_error* refuse(void* env, vmette_session* session) {
  (void)env;
  (void)session;
  return vmette_error_new(VMETTE_E_CANCELLED, "not today", 0);
}

static void check_warm(vmette_session* session) {
  vmette_buffer* content = NULL;
  CHECK(works(vmette_session_read_file(session, "/tmp/warm", 100, DEADLINE_MS, &content)));
  size_t size = 0;
  const char* data = vmette_buffer_data(content, &size);
  CHECK(size == 4 && memcmp(data, "warm", 4) == 0);
  vmette_buffer_delete(content);
}

static void test_clones(const vmette_snapshot* snapshot, const char* again) {
  vmette_session* clone = NULL;
  vmette_session* copies[2] = {NULL, NULL};
  CHECK(works(vmette_snapshot_resume(snapshot, NULL, &clone)));
  check_warm(clone);
  CHECK(works(vmette_session_fork(clone, 2, NULL, copies)));
  check_warm(copies[0]);
  check_warm(copies[1]);
  vmette_session_delete(copies[0]);
  vmette_session_delete(copies[1]);
  CHECK(works(vmette_session_snapshot(clone, again, NULL)));
  vmette_session_delete(clone);
  CHECK(works(vmette_snapshot_remove(again)));
}

int main(void) {
  char folder[] = "/tmp/vmette-test-XXXXXX";
  char path[64];
  char again[64];
  vmette_config* config = small_config();
  vmette_snapshot* snapshot = NULL;
  vmette_snapshot* opened = NULL;
  int calls = 0;
  if (!CHECK(mkdtemp(folder) != NULL)) return 1;
  snprintf(path, sizeof path, "%s/warm", folder);
  snprintf(again, sizeof again, "%s/again", folder);
  test_null_arguments(config);

  CHECK(fails_with_part(vmette_snapshot_build(config, path, refuse, NULL, &snapshot),
                        VMETTE_E_CANCELLED, "not today"));
  CHECK(works(vmette_snapshot_build(config, path, warm_up, &calls, &snapshot)));
  CHECK(calls == 1);
  if (snapshot != NULL) {
    CHECK(strcmp(vmette_snapshot_path(snapshot), path) == 0);
    CHECK(strlen(vmette_snapshot_created_at(snapshot)) == 24);
    CHECK(strstr(vmette_snapshot_manifest(snapshot), "\"identity\"") != NULL);
    CHECK(vmette_snapshot_vcpus(snapshot) == 1 && vmette_snapshot_mem_mib(snapshot) == 128);
    CHECK(vmette_snapshot_pause_us(snapshot) > 0);
    CHECK(vmette_snapshot_bytes(snapshot) >= (uint64_t)128 << 20);
    CHECK(works(vmette_snapshot_verify(snapshot)));
    CHECK(works(vmette_snapshot_open(path, &opened)));
    vmette_snapshot_delete(opened);
    test_clones(snapshot, again);
  }
  vmette_snapshot_delete(snapshot);
  CHECK(works(vmette_snapshot_remove(path)));
  CHECK(fails_with(vmette_snapshot_open(path, &opened), VMETTE_E_SNAPSHOT));
  vmette_config_delete(config);
  CHECK(rmdir(folder) == 0);
  return failures == 0 ? 0 : 1;
}
