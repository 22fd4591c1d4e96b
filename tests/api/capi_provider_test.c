/* Specs, artifacts and providers as a C program sees them; nothing is booted. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <vmette.h>

#include "check.h"

/* A provider for echo://WORD, which does what the word says. */
struct echo {
  int matched;
  int provided;
  int freed;
  int reported;
};

static vmette_error* echo_matches(void* env, const char* spec, bool* claimed) {
  struct echo* echo = env;
  ++echo->matched;
  if (strcmp(spec, "undecided") == 0) return vmette_error_new(VMETTE_E_IO, "no idea", 5);
  *claimed = strncmp(spec, "echo://", 7) == 0;
  return NULL;
}

/* A configuration that needs no guest assets to be valid: any file does where nothing boots. */
static vmette_config* new_config(void) {
  vmette_config* config = NULL;
  CHECK(works(vmette_config_new(&config)));
  CHECK(works(vmette_config_set_kernel(config, "/bin/sh")));
  CHECK(works(vmette_config_set_initramfs(config, "/bin/sh")));
  return config;
}

static vmette_error* fail_as(const char* word) {
  if (strcmp(word, "spec") == 0) return vmette_error_new(VMETTE_E_INVALID_SPEC, "bad\nspec", 0);
  if (strcmp(word, "offline") == 0)
    return vmette_error_new(VMETTE_E_OFFLINE_CACHE_MISS, "not in the cache", 0);
  if (strcmp(word, "network") == 0) return vmette_error_new(VMETTE_E_NETWORK, "no route", 0);
  if (strcmp(word, "io") == 0) return vmette_error_new(VMETTE_E_IO, "disk full", 28);
  return vmette_error_new(VMETTE_E_PROVIDER, "something else", 0);
}

static vmette_error* give(vmette_provider_context* context, vmette_rootfs_artifact** out) {
  const char* directory = NULL;
  vmette_error* error = vmette_provider_context_cache_dir(context, &directory);
  if (error != NULL) return error;
  error = vmette_provider_context_report(context, "pull", 1, 2);
  if (error != NULL) return error;
  vmette_rootfs_artifact* made = NULL;
  error = vmette_rootfs_artifact_new(&made);
  if (error == NULL) error = vmette_rootfs_artifact_set_path(made, directory);
  if (error == NULL) error = vmette_rootfs_artifact_set_read_only(made, true);
  if (error == NULL) error = vmette_rootfs_artifact_add_image_env(made, "A", "1");
  *out = made; /* also with an error: the library frees it */
  return error;
}

static vmette_error* echo_provide(void* env, const char* spec, vmette_provider_context* context,
                                  vmette_rootfs_artifact** out) {
  struct echo* echo = env;
  const char* word = spec + strlen("echo://");
  ++echo->provided;
  if (strcmp(word, "null") == 0) return NULL;
  if (strcmp(word, "gone") == 0) {
    if (!works(vmette_rootfs_artifact_new(out))) return NULL;
    return vmette_rootfs_artifact_set_path(*out, "/no/such/root");
  }
  if (strcmp(word, "give") == 0) return give(context, out);
  if (strcmp(word, "offline?") == 0 && vmette_provider_context_offline(context))
    return fail_as("offline");
  return fail_as(word);
}

static void echo_free(void* env) {
  ++((struct echo*)env)->freed;
}

static bool heard(void* env, const char* step, uint64_t done, uint64_t total) {
  struct echo* echo = env;
  ++echo->reported;
  CHECK(strcmp(step, "pull") == 0 && done == 1 && total == 2);
  return echo->reported == 1;
}

static vmette_error* resolve(const vmette_config* config, const char* spec) {
  vmette_rootfs_artifact* artifact = NULL;
  vmette_error* error = vmette_config_resolve_rootfs(config, spec, &artifact);
  if (error != NULL) CHECK(artifact == NULL);
  vmette_rootfs_artifact_delete(artifact);
  return error;
}

static void test_new_errors(void) {
  vmette_error* error = vmette_error_new(VMETTE_E_IO, "two\nlines", 7);
  CHECK(vmette_error_code(error) == VMETTE_E_IO);
  CHECK(vmette_error_errno(error) == 7);
  CHECK(strcmp(vmette_error_message(error), "two lines") == 0);
  vmette_error_delete(error);
  CHECK(fails_with_part(vmette_error_new(0, "x", 0), VMETTE_E_INVALID_ARGUMENT, "'code'"));
  CHECK(fails_with_part(vmette_error_new(999, "x", 0), VMETTE_E_INVALID_ARGUMENT, "'code'"));
  CHECK(fails_with_part(vmette_error_new(VMETTE_E_IO, NULL, 0), VMETTE_E_INVALID_ARGUMENT,
                        "'message'"));
}

static void test_artifact(void) {
  vmette_rootfs_artifact* artifact = NULL;
  CHECK(works(vmette_rootfs_artifact_new(&artifact)));
  CHECK(strcmp(vmette_rootfs_artifact_path(artifact), "") == 0);
  CHECK(strcmp(vmette_rootfs_artifact_fstype(artifact), "") == 0);
  CHECK(!vmette_rootfs_artifact_read_only(artifact));
  CHECK(vmette_rootfs_artifact_image_env_count(artifact) == 0);
  CHECK(vmette_rootfs_artifact_image_env_key(artifact, 0) == NULL);
  CHECK(vmette_rootfs_artifact_image_env_value(artifact, 0) == NULL);

  CHECK(works(vmette_rootfs_artifact_set_path(artifact, "/x")));
  CHECK(works(vmette_rootfs_artifact_set_fstype(artifact, "erofs")));
  CHECK(works(vmette_rootfs_artifact_set_read_only(artifact, true)));
  CHECK(works(vmette_rootfs_artifact_add_image_env(artifact, "PATH", "/bin")));
  CHECK(fails_with_part(vmette_rootfs_artifact_add_image_env(artifact, "A-B", "x"),
                        VMETTE_E_INVALID_ARGUMENT, "'A-B'"));
  CHECK(strcmp(vmette_rootfs_artifact_path(artifact), "/x") == 0);
  CHECK(strcmp(vmette_rootfs_artifact_fstype(artifact), "erofs") == 0);
  CHECK(vmette_rootfs_artifact_read_only(artifact));
  CHECK(vmette_rootfs_artifact_image_env_count(artifact) == 1);
  CHECK(strcmp(vmette_rootfs_artifact_image_env_key(artifact, 0), "PATH") == 0);
  CHECK(strcmp(vmette_rootfs_artifact_image_env_value(artifact, 0), "/bin") == 0);
  CHECK(works(vmette_rootfs_artifact_set_fstype(artifact, NULL)));
  CHECK(strcmp(vmette_rootfs_artifact_fstype(artifact), "") == 0);
  vmette_rootfs_artifact_delete(artifact);
  vmette_rootfs_artifact_delete(NULL);
}

static void test_null_arguments(vmette_config* config) {
  struct echo echo = {0, 0, 0, 0};
  vmette_rootfs_artifact* artifact = NULL;
  const char* text = NULL;
  const vmette_code wrong = VMETTE_E_INVALID_ARGUMENT;
  CHECK(fails_with_part(vmette_config_set_rootfs(NULL, "/", false), wrong, "'config'"));
  CHECK(fails_with_part(vmette_config_set_offline(NULL, true), wrong, "'config'"));
  CHECK(fails_with_part(vmette_config_set_cache_dir(NULL, "/"), wrong, "'config'"));
  CHECK(fails_with_part(vmette_config_set_progress(NULL, heard, &echo, echo_free), wrong,
                        "'config'"));
  CHECK(echo.freed == 1);
  CHECK(fails_with_part(vmette_config_resolve_rootfs(NULL, "/", &artifact), wrong, "'config'"));
  CHECK(fails_with_part(vmette_config_resolve_rootfs(config, NULL, &artifact), wrong, "'spec'"));
  CHECK(fails_with_part(vmette_config_resolve_rootfs(config, "/", NULL), wrong, "'out'"));
  CHECK(
      fails_with_part(vmette_config_set_rootfs_artifact(config, NULL, false), wrong, "'artifact'"));
  CHECK(fails_with_part(vmette_rootfs_artifact_new(NULL), wrong, "'out'"));
  CHECK(fails_with_part(vmette_rootfs_artifact_set_path(NULL, "/"), wrong, "'artifact'"));
  CHECK(fails_with_part(vmette_provider_context_cache_dir(NULL, &text), wrong, "'context'"));
  CHECK(fails_with_part(vmette_provider_context_report(NULL, "x", 0, 0), wrong, "'context'"));
  CHECK(!vmette_provider_context_offline(NULL));
  CHECK(vmette_config_provider_count(NULL) == 0);
  CHECK(vmette_config_provider_name(NULL, 0) == NULL);
  CHECK(vmette_config_provider_claims(NULL, 0) == NULL);

  echo.freed = 0;
  CHECK(fails_with_part(vmette_config_add_provider(config, "echo", "echo://WORD", NULL,
                                                   echo_provide, &echo, echo_free),
                        wrong, "'matches'"));
  CHECK(fails_with_part(vmette_config_add_provider(config, "echo", "echo://WORD", echo_matches,
                                                   NULL, &echo, echo_free),
                        wrong, "'provide'"));
  CHECK(fails_with_part(vmette_config_add_provider(config, "dir", "echo://WORD", echo_matches,
                                                   echo_provide, &echo, echo_free),
                        wrong, "'dir'"));
  CHECK(echo.freed == 3);
  CHECK(vmette_config_provider_count(config) == 4);
}

static void test_provider(vmette_config* config, const char* cache) {
  struct echo echo = {0, 0, 0, 0};
  struct echo other = {0, 0, 0, 0};
  CHECK(works(vmette_config_set_cache_dir(config, cache)));
  CHECK(works(vmette_config_add_provider(config, "echo", "echo://WORD", echo_matches, echo_provide,
                                         &echo, echo_free)));
  CHECK(vmette_config_provider_count(config) == 5);
  CHECK(strcmp(vmette_config_provider_name(config, 0), "echo") == 0);
  CHECK(strcmp(vmette_config_provider_claims(config, 0), "echo://WORD") == 0);
  CHECK(strcmp(vmette_config_provider_name(config, 1), "dir") == 0);
  CHECK(strcmp(vmette_config_provider_name(config, 4), "ext4") == 0);
  CHECK(vmette_config_provider_name(config, 5) == NULL);
  CHECK(vmette_config_provider_claims(config, 5) == NULL);

  CHECK(fails_with_part(resolve(config, "echo://spec"), VMETTE_E_INVALID_SPEC, "bad spec"));
  CHECK(fails_with_part(resolve(config, "echo://offline"), VMETTE_E_OFFLINE_CACHE_MISS, "echo"));
  CHECK(fails_with_part(resolve(config, "echo://network"), VMETTE_E_NETWORK, "no route"));
  vmette_error* full = resolve(config, "echo://io");
  CHECK(vmette_error_errno(full) == 28);
  CHECK(strcmp(vmette_error_stage(full), "rootfs") == 0);
  CHECK(fails_with_part(full, VMETTE_E_IO, "disk full"));
  CHECK(fails_with_part(resolve(config, "echo://x"), VMETTE_E_PROVIDER, "something else"));
  CHECK(fails_with_part(resolve(config, "echo://null"), VMETTE_E_PROVIDER, "no result"));
  CHECK(fails_with_part(resolve(config, "echo://gone"), VMETTE_E_PROVIDER, "/no/such/root"));
  CHECK(fails_with_part(resolve(config, "undecided"), VMETTE_E_IO, "no idea"));
  CHECK(fails_with_part(resolve(config, "nobody://x"), VMETTE_E_INVALID_SPEC, "echo://WORD"));
  CHECK(fails_with_part(resolve(config, "echo://offline?"), VMETTE_E_PROVIDER, "something else"));
  CHECK(works(vmette_config_set_offline(config, true)));
  CHECK(fails_with_part(resolve(config, "echo://offline?"), VMETTE_E_OFFLINE_CACHE_MISS, "cache"));

  CHECK(works(vmette_config_set_progress(config, heard, &other, echo_free)));
  vmette_rootfs_artifact* artifact = NULL;
  CHECK(works(vmette_config_resolve_rootfs(config, "echo://give", &artifact)));
  CHECK(strstr(vmette_rootfs_artifact_path(artifact), "/echo") != NULL);
  CHECK(vmette_rootfs_artifact_read_only(artifact));
  CHECK(other.reported == 1);
  CHECK(fails_with_part(resolve(config, "echo://give"), VMETTE_E_CANCELLED, "gave up"));
  CHECK(other.reported == 2);

  vmette_config* copy = NULL;
  CHECK(works(vmette_config_clone(config, &copy)));
  CHECK(works(vmette_config_set_rootfs_artifact(copy, artifact, false)));
  CHECK(works(vmette_config_validate(copy)));
  vmette_rootfs_artifact_delete(artifact);
  CHECK(works(vmette_config_set_progress(config, NULL, NULL, NULL)));
  CHECK(other.freed == 0);
  vmette_config_delete(config);
  CHECK(echo.freed == 0);
  vmette_config_delete(copy);
  CHECK(echo.freed == 1);
  CHECK(other.freed == 1);
}

/* The spec is resolved when the session is made, on this thread, and not when it is checked. */
static void test_session(const char* cache) {
  struct echo echo = {0, 0, 0, 0};
  vmette_config* config = new_config();
  vmette_session* session = NULL;
  CHECK(works(vmette_config_set_cache_dir(config, cache)));
  CHECK(works(vmette_config_add_provider(config, "echo", "echo://WORD", echo_matches, echo_provide,
                                         &echo, echo_free)));
  CHECK(works(vmette_config_set_rootfs(config, "echo://give", false)));
  CHECK(works(vmette_config_validate(config)));
  CHECK(echo.matched == 1 && echo.provided == 0);
  CHECK(works(vmette_session_new(config, &session)));
  CHECK(echo.provided == 1);
  vmette_config_delete(config);
  CHECK(echo.freed == 1); /* the session keeps nothing of it */
  vmette_session_delete(session);
}

static void test_refused_roots(void) {
  vmette_config* config = new_config();
  vmette_session* session = NULL;
  vmette_output* output = NULL;
  CHECK(works(vmette_config_set_rootfs(config, "nobody://x", false)));
  CHECK(fails_with_part(vmette_config_validate(config), VMETTE_E_INVALID_SPEC, "nobody://x"));
  CHECK(fails_with_part(vmette_session_new(config, &session), VMETTE_E_INVALID_SPEC, "nobody://x"));
  CHECK(fails_with_part(vmette_run(config, &output), VMETTE_E_INVALID_SPEC, "nobody://x"));
  /* What is wrong elsewhere is told before a root is fetched. */
  CHECK(works(vmette_config_set_vcpus(config, 0)));
  CHECK(fails_with_part(vmette_session_new(config, &session), VMETTE_E_INVALID_CONFIG, "vcpus"));
  CHECK(works(vmette_config_set_vcpus(config, 1)));
  CHECK(works(vmette_config_set_rootfs(config, NULL, false)));
  CHECK(works(vmette_config_validate(config)));
  CHECK(session == NULL && output == NULL);
  vmette_config_delete(config);
}

int main(void) {
  char cache[] = "/tmp/vmette-test-XXXXXX";
  char own[sizeof cache + 8];
  vmette_config* config = new_config();
  if (mkdtemp(cache) == NULL) return 1;
  test_new_errors();
  test_artifact();
  test_null_arguments(config);
  test_provider(config, cache);
  test_session(cache);
  test_refused_roots();
  snprintf(own, sizeof own, "%s/echo", cache);
  CHECK(rmdir(own) == 0);
  CHECK(rmdir(cache) == 0);
  return failures == 0 ? 0 : 1;
}
