/* A pool as a C program uses it, with one small machine: every function of that part is used. */
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <vmette.h>

#include "check.h"

enum { DEADLINE_MS = 120000 };

static void test_null_arguments(const vmette_config* config) {
  vmette_session* session = NULL;
  vmette_pool* pool = NULL;
  vmette_pool_request* request = NULL;
  vmette_pool_counts* counts = NULL;
  CHECK(fails_with(vmette_pool_options_new(NULL), VMETTE_E_INVALID_ARGUMENT));
  CHECK(fails_with(vmette_pool_options_set_ready(NULL, 1), VMETTE_E_INVALID_ARGUMENT));
  CHECK(fails_with(vmette_pool_options_set_most(NULL, 1), VMETTE_E_INVALID_ARGUMENT));
  CHECK(fails_with(vmette_pool_options_set_idle_ms(NULL, 1), VMETTE_E_INVALID_ARGUMENT));
  CHECK(fails_with(vmette_pool_new(NULL, NULL, &pool), VMETTE_E_INVALID_ARGUMENT));
  CHECK(fails_with(vmette_pool_new(config, NULL, NULL), VMETTE_E_INVALID_ARGUMENT));
  CHECK(fails_with(vmette_pool_close(NULL), VMETTE_E_INVALID_ARGUMENT));
  CHECK(fails_with(vmette_pool_take(NULL, 0, &session), VMETTE_E_INVALID_ARGUMENT));
  CHECK(fails_with(vmette_pool_request_new(NULL, &request), VMETTE_E_INVALID_ARGUMENT));
  CHECK(fails_with(vmette_pool_request_take(NULL, 0, &session), VMETTE_E_INVALID_ARGUMENT));
  CHECK(fails_with(vmette_pool_count(NULL, &counts), VMETTE_E_INVALID_ARGUMENT));
  CHECK(vmette_pool_request_fd(NULL) == -1);
  CHECK(vmette_pool_counts_ready(NULL) == 0 && vmette_pool_counts_starting(NULL) == 0);
  CHECK(vmette_pool_counts_taken(NULL) == 0 && vmette_pool_counts_ending(NULL) == 0);
  CHECK(vmette_pool_counts_waiting(NULL) == 0 && vmette_pool_counts_started(NULL) == 0);
  CHECK(vmette_pool_counts_failed(NULL) == 0 && vmette_pool_counts_died(NULL) == 0);
  CHECK(strcmp(vmette_pool_counts_last_error(NULL), "") == 0);
  vmette_pool_options_delete(NULL);
  vmette_pool_delete(NULL);
  vmette_pool_request_delete(NULL);
  vmette_pool_counts_delete(NULL);
}

static vmette_config* small_config(void) {
  vmette_config* config = NULL;
  CHECK(works(vmette_config_new(&config)));
  CHECK(works(vmette_config_set_mem_mib(config, 128)));
  CHECK(works(vmette_config_set_ready_timeout_ms(config, DEADLINE_MS)));
  return config;
}

/* At most one machine at a time, never idle for long. */
static vmette_pool* new_pool(const vmette_config* config) {
  vmette_pool_options* options = NULL;
  vmette_pool* pool = NULL;
  CHECK(works(vmette_pool_options_new(&options)));
  CHECK(works(vmette_pool_options_set_ready(options, 2)));
  CHECK(works(vmette_pool_options_set_most(options, 1)));
  CHECK(works(vmette_pool_options_set_idle_ms(options, DEADLINE_MS)));
  CHECK(fails_with_part(vmette_pool_new(config, options, &pool), VMETTE_E_INVALID_ARGUMENT,
                        "most: 1"));
  CHECK(works(vmette_pool_options_set_ready(options, 1)));
  CHECK(works(vmette_pool_new(config, options, &pool)));
  vmette_pool_options_delete(options);
  return pool;
}

static void check_counts(const vmette_pool* pool, size_t taken, size_t waiting) {
  vmette_pool_counts* counts = NULL;
  CHECK(works(vmette_pool_count(pool, &counts)));
  CHECK(vmette_pool_counts_ready(counts) == 0);
  CHECK(vmette_pool_counts_starting(counts) == 0);
  CHECK(vmette_pool_counts_ending(counts) == 0);
  CHECK(vmette_pool_counts_taken(counts) == taken);
  CHECK(vmette_pool_counts_waiting(counts) == waiting);
  CHECK(vmette_pool_counts_started(counts) == 1);
  CHECK(vmette_pool_counts_failed(counts) == 0);
  CHECK(vmette_pool_counts_died(counts) == 0);
  CHECK(strcmp(vmette_pool_counts_last_error(counts), "") == 0);
  vmette_pool_counts_delete(counts);
}

/* The machine comes by descriptor; whoever comes after it waits until the pool is closed. */
static vmette_session* take_one(vmette_pool* pool) {
  vmette_session* session = NULL;
  vmette_session* none = NULL;
  vmette_pool_request* request = NULL;
  vmette_pool_request* late = NULL;
  CHECK(fails_with(vmette_pool_request_new(pool, NULL), VMETTE_E_INVALID_ARGUMENT));
  CHECK(works(vmette_pool_request_new(pool, &request)));
  struct pollfd item = {.fd = vmette_pool_request_fd(request), .events = POLLIN};
  CHECK(poll(&item, 1, DEADLINE_MS) == 1);
  CHECK(fails_with(vmette_pool_request_take(request, 0, NULL), VMETTE_E_INVALID_ARGUMENT));
  CHECK(works(vmette_pool_request_take(request, 0, &session)));
  CHECK(fails_with(vmette_pool_request_take(request, 0, &none), VMETTE_E_STATE));
  vmette_pool_request_delete(request);

  CHECK(works(vmette_pool_request_new(pool, &late)));
  CHECK(fails_with(vmette_pool_request_take(late, 0, &none), VMETTE_E_DEADLINE));
  CHECK(fails_with(vmette_pool_take(pool, 0, NULL), VMETTE_E_INVALID_ARGUMENT));
  CHECK(fails_with(vmette_pool_take(pool, 1, &none), VMETTE_E_DEADLINE));
  CHECK(fails_with(vmette_pool_count(pool, NULL), VMETTE_E_INVALID_ARGUMENT));
  check_counts(pool, 1, 1);
  CHECK(works(vmette_pool_close(pool)));
  CHECK(fails_with(vmette_pool_request_take(late, -1, &none), VMETTE_E_STATE));
  CHECK(fails_with(vmette_pool_take(pool, -1, &none), VMETTE_E_STATE));
  check_counts(pool, 1, 0);
  vmette_pool_delete(pool);
  vmette_pool_request_delete(late);
  CHECK(none == NULL);
  return session;
}

int main(void) {
  vmette_config* config = small_config();
  test_null_arguments(config);
  vmette_session* session = take_one(new_pool(config));
  vmette_config_delete(config);
  CHECK(vmette_session_state(session) == VMETTE_STATE_READY);
  CHECK(works(vmette_session_stop(session, 0)));
  CHECK(vmette_session_end(session) == VMETTE_END_STOPPED);
  vmette_session_delete(session);
  return failures == 0 ? 0 : 1;
}
