/** @file error.h
 * What calls fail with. Part of vmette.h, which has the conventions. */
#ifndef VMETTE_ERROR_H
#define VMETTE_ERROR_H

#include <vmette/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Values of vmette_error_code(). */
typedef int32_t vmette_code;
enum {
  /** A NULL, malformed or out-of-range argument: a bug of the caller. */
  VMETTE_E_INVALID_ARGUMENT = 1,
  /** A field of the configuration is wrong; the message names field, value and remedy. */
  VMETTE_E_INVALID_CONFIG = 2,
  /** Something the library needs is not installed: helper, hypervisor, boot assets. */
  VMETTE_E_NOT_FOUND = 3,
  /** The machine did not get ready; stage, elapsed time and console tail say where it stopped. */
  VMETTE_E_START_FAILED = 4,
  /** The guest broke the protocol, crashed, or could not do what it was told. */
  VMETTE_E_GUEST = 5,
  /** A command could not be started in the guest; vmette_error_errno() says why. */
  VMETTE_E_SPAWN = 6,
  /** The caller's deadline passed. What was waited for goes on. */
  VMETTE_E_DEADLINE = 7,
  /** The session has ended; the message says why. */
  VMETTE_E_SESSION_ENDED = 8,
  /** The call does not fit the object's state, for example a second start. */
  VMETTE_E_STATE = 9,
  /** This version cannot do it. */
  VMETTE_E_UNSUPPORTED = 10,
  /** The host's operating system refused; vmette_error_errno() says why. */
  VMETTE_E_IO = 11,
  /** Memory ran out on the host. */
  VMETTE_E_NO_MEMORY = 12,
  /** A bug in the library. */
  VMETTE_E_INTERNAL = 13,
  /** A rootfs spec that no provider claims, or that its provider cannot make sense of. */
  VMETTE_E_INVALID_SPEC = 14,
  /** The network is forbidden and the cache does not have it. */
  VMETTE_E_OFFLINE_CACHE_MISS = 15,
  /** The network, or a server on it, failed. */
  VMETTE_E_NETWORK = 16,
  /** A rootfs provider failed in a way of its own. */
  VMETTE_E_PROVIDER = 17,
  /** The caller's progress callback asked to give up. */
  VMETTE_E_CANCELLED = 18,
  /** A file operation failed in the guest; the message names the path, vmette_error_errno() says
   * why. */
  VMETTE_E_FILE = 19,
  /** A snapshot cannot be resumed here; the message names the snapshot, the field that does not
   * match, both values and the remedy. */
  VMETTE_E_RESTORE_FAILED = 20,
  /** A machine could not be saved, or there is no snapshot at that path. */
  VMETTE_E_SNAPSHOT = 21,
};

/** The error's code, one of VMETTE_E_*. */
VMETTE_API vmette_code vmette_error_code(const vmette_error* error);
/** One line for a person: what happened, with which value, and what to do. Valid until delete. */
VMETTE_API const char* vmette_error_message(const vmette_error* error);
/** Where it happened ("config", "helper", "create", "kernel", "root", "exec" …), may be empty.
 * Valid until delete. */
VMETTE_API const char* vmette_error_stage(const vmette_error* error);
/** The last lines of the guest's console, bytes as printed, may be empty. Valid until delete. */
VMETTE_API const char* vmette_error_console(const vmette_error* error);
/** An errno of the host or, for VMETTE_E_SPAWN, VMETTE_E_GUEST and VMETTE_E_FILE, of the guest
 * (Linux numbering); 0 when there is none. */
VMETTE_API int32_t vmette_error_errno(const vmette_error* error);
/** Milliseconds from the session's start to the failure, 0 when it has none. */
VMETTE_API uint64_t vmette_error_elapsed_ms(const vmette_error* error);
/**
 * An error for a callback to return: one of VMETTE_E_*, one line for a person, an errno or 0. Never
 * NULL; a wrong argument gives an error that says so. Owned by the caller, or by whom the callback
 * returns it to.
 */
VMETTE_API VMETTE_CHECK vmette_error* vmette_error_new(vmette_code code, const char* message,
                                                       int32_t errno_value);
/** Frees the error; may be NULL. */
VMETTE_API void vmette_error_delete(vmette_error* error);
/** The name of a code, for example "DEADLINE"; "UNKNOWN" for a number that is none. Valid for ever.
 */
VMETTE_API const char* vmette_code_name(vmette_code code);

#ifdef __cplusplus
}
#endif

#endif
