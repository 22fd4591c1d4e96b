/**
 * @file vmette.h
 * Runs untrusted code in a hardware-isolated Linux microVM. This header is the whole library: the
 * C++ header and the language modules are built on it.
 *
 * Conventions
 *
 * 1. Handles are opaque. `vmette_<object>_new` (or the call that made it) hands one out,
 *    `vmette_<object>_delete` takes it back; every delete accepts NULL.
 * 2. A call that can fail returns `vmette_error *`: NULL is success, otherwise the caller owns the
 *    error and frees it with vmette_error_delete(). On failure outputs are untouched.
 * 3. Pointers are non-NULL unless the comment says "may be NULL"; a NULL where none is allowed is
 *    VMETTE_E_INVALID_ARGUMENT, never a crash.
 * 4. "Borrows": the call is done with the argument when it returns. "Owned by the caller": free it
 *    with the named function. A returned `const char *` is valid as long as the comment says.
 * 5. Strings are NUL-terminated. Paths, arguments and environment values are bytes, kept as they
 *    are; names (tags, host names, kernel command lines) must be UTF-8.
 * 6. Calls that take a const handle may overlap any other call on it from any thread, except its
 *    delete. Other calls say what they allow. Different handles never need synchronisation.
 * 7. Times are milliseconds (`_ms`), microseconds (`_us`) or seconds, memory is MiB (`_mib`) or
 *    bytes, as the name says. A timeout of -1 waits for ever, 0 does not wait.
 * 8. The library prints nothing, installs no signal handler and never ends the process; only
 *    vmette_run() uses the terminal and signals, and puts both back. It waits for no child process
 *    that it did not start. Its threads take no signals.
 * 9. In a child of fork() without exec(), sessions and what belongs to them (processes, transfers,
 *    calls, pools, requests) are the parent's: calls on them are VMETTE_E_STATE, getters answer as
 *    for NULL, delete returns and does nothing, descriptors that were not taken are closed. The
 *    child can start machines of its own. A callback of this library must not return in a child.
 * 10. Enum values and function signatures are stable within a soname.
 */
#ifndef VMETTE_H
#define VMETTE_H

#include <vmette/base.h>
#include <vmette/call.h>
#include <vmette/config.h>
#include <vmette/copy.h>
#include <vmette/error.h>
#include <vmette/file.h>
#include <vmette/output.h>
#include <vmette/pool.h>
#include <vmette/process.h>
#include <vmette/provider.h>
#include <vmette/run.h>
#include <vmette/session.h>
#include <vmette/snapshot.h>
#include <vmette/stream.h>
#include <vmette/transfer.h>

#endif
