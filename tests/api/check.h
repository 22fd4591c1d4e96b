/* What the C tests share: conditions that are counted, and the ends of calls that can fail. */
#ifndef VMETTE_TESTS_API_CHECK_H
#define VMETTE_TESTS_API_CHECK_H

#include <stdio.h>
#include <string.h>
#include <vmette.h>

static int failures = 0;

#define CHECK(condition) check((condition), #condition, __FILE__, __LINE__)

static inline bool check(bool holds, const char* what, const char* file, int line) {
  if (!holds) {
    fprintf(stderr, "%s:%d: does not hold: %s\n", file, line, what);
    ++failures;
  }
  return holds;
}

static inline bool works(vmette_error* error) {
  if (error == NULL) return true;
  fprintf(stderr, "failed: %s\n", vmette_error_message(error));
  vmette_error_delete(error);
  return false;
}

/* Each frees the error; true when it has the code, a message of one line, and what is asked for
 * beside that: a part of the message, an errno. */
static inline bool fails_with_all(vmette_error* error, vmette_code code, const char* part,
                                  int32_t number) {
  if (error == NULL) return false;
  const char* message = vmette_error_message(error);
  bool right = vmette_error_code(error) == code && message[0] != '\0' &&
               strchr(message, '\n') == NULL && strstr(message, part) != NULL &&
               vmette_error_stage(error) != NULL && vmette_error_console(error) != NULL &&
               vmette_error_errno(error) == number;
  if (!right)
    fprintf(stderr, "got %s, errno %d: %s\n", vmette_code_name(vmette_error_code(error)),
            (int)vmette_error_errno(error), message);
  vmette_error_delete(error);
  return right;
}

static inline bool fails_with(vmette_error* error, vmette_code code) {
  return fails_with_all(error, code, "", vmette_error_errno(error));
}

static inline bool fails_with_part(vmette_error* error, vmette_code code, const char* part) {
  return fails_with_all(error, code, part, vmette_error_errno(error));
}

static inline bool fails_with_errno(vmette_error* error, vmette_code code, int32_t number) {
  return fails_with_all(error, code, "", number);
}

#endif
