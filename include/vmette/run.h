/** @file run.h
 * One command on the caller's terminal. Part of vmette.h, which has the conventions. */
#ifndef VMETTE_RUN_H
#define VMETTE_RUN_H

#include <vmette/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Boots a machine, runs the configuration's command on the caller's stdin, stdout and stderr (or
 * captures its output), waits for its end and takes everything down. Without a command it gives an
 * interactive shell.
 *
 * Uses the terminal: prints a banner and status lines on stderr unless quiet; when stdin and stdout
 * are a terminal the command gets one too and the caller's is in raw mode meanwhile. SIGINT,
 * SIGTERM and SIGHUP stop the machine and give exit code 128+n. Terminal and earlier handlers are
 * put back on every way out. One call at a time in a process.
 *
 * A standard stream that the process has closed counts as /dev/null, and its number is taken by it
 * until the call returns.
 *
 * The exit code: the command's, 128+n when signal n ended it, 124 on timeout, 0 when the session
 * was stopped or powered off from the interactive shell, 1 when the guest failed later than the
 * start. A failure of the start is an error. Output that the caller's stdout or stderr does not
 * take when the timeout has passed is dropped.
 * `*out` is owned by the caller, free with vmette_output_delete().
 */
VMETTE_API VMETTE_CHECK vmette_error* vmette_run(const vmette_config* config, vmette_output** out);
/** Stops the vmette_run() that is under way in this process, as SIGTERM would: it returns with exit
 * code 143. Does nothing when there is none. Any thread. */
VMETTE_API void vmette_run_stop(void);

#ifdef __cplusplus
}
#endif

#endif
