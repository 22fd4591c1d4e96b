/** @file process.h
 * Commands in a running machine. Part of vmette.h, which has the conventions. */
#ifndef VMETTE_PROCESS_H
#define VMETTE_PROCESS_H

#include <vmette/base.h>
#include <vmette/stream.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Where a command's stdin comes from or its output goes to. */
typedef int32_t vmette_stdio;
enum {
  VMETTE_STDIO_NULL = 0,    /**< /dev/null in the guest. */
  VMETTE_STDIO_PIPE = 1,    /**< A descriptor, see vmette_process_fd(). */
  VMETTE_STDIO_CAPTURE = 2, /**< Kept for vmette_process_output(); outputs only. */
};

/**
 * An empty description: nothing to run, no stdin, both outputs captured up to 1 MiB, as root, in /,
 * with the session's environment. `*out` is owned by the caller, free with vmette_exec_delete().
 * One thread at a time may use it; processes copy it.
 */
VMETTE_API VMETTE_CHECK vmette_error* vmette_exec_new(vmette_exec** out);
/** Frees the description; may be NULL. */
VMETTE_API void vmette_exec_delete(vmette_exec* exec);
/** Runs a line with /bin/sh -c; like any argument it has at most 131,071 bytes, or the guest's
 * Linux refuses it with E2BIG. Replaces what was set. */
VMETTE_API VMETTE_CHECK vmette_error* vmette_exec_set_line(vmette_exec* exec, const char* line);
/** Runs an argument vector of `argc` (at least 1) strings; argv[0] is looked up in the command's
 * PATH. Replaces what was set. */
VMETTE_API VMETTE_CHECK vmette_error* vmette_exec_set_argv(vmette_exec* exec,
                                                           const char* const* argv, size_t argc);
/** Adds or replaces an environment variable; `key` as in vmette_config_add_env(). */
VMETTE_API VMETTE_CHECK vmette_error* vmette_exec_add_env(vmette_exec* exec, const char* key,
                                                          const char* value);
/** Starts from an empty environment instead of the session's. Default false. */
VMETTE_API VMETTE_CHECK vmette_error* vmette_exec_set_clear_env(vmette_exec* exec, bool on);
/** The working directory, an absolute path. Default "/". */
VMETTE_API VMETTE_CHECK vmette_error* vmette_exec_set_cwd(vmette_exec* exec, const char* path);
/** The user: a name, a uid, name:group or uid:gid of the guest. Default root. */
VMETTE_API VMETTE_CHECK vmette_error* vmette_exec_set_user(vmette_exec* exec, const char* user);
/** NULL or PIPE. Default NULL. */
VMETTE_API VMETTE_CHECK vmette_error* vmette_exec_set_stdin(vmette_exec* exec, vmette_stdio mode);
/** Feeds these bytes to stdin and closes it. Copies them. */
VMETTE_API VMETTE_CHECK vmette_error* vmette_exec_set_stdin_bytes(vmette_exec* exec,
                                                                  const void* data, size_t size);
/** NULL, PIPE or CAPTURE. Default CAPTURE. */
VMETTE_API VMETTE_CHECK vmette_error* vmette_exec_set_stdout(vmette_exec* exec, vmette_stdio mode);
/** NULL, PIPE or CAPTURE. Default CAPTURE. With a terminal everything comes on stdout. */
VMETTE_API VMETTE_CHECK vmette_error* vmette_exec_set_stderr(vmette_exec* exec, vmette_stdio mode);
/** Bytes kept of each captured stream. Default 1 MiB. */
VMETTE_API VMETTE_CHECK vmette_error* vmette_exec_set_capture_limit(vmette_exec* exec,
                                                                    size_t bytes);
/** Gives the command a terminal of this size as its stdin, stdout and stderr. `term` is its TERM;
 * NULL: "xterm-256color". */
VMETTE_API VMETTE_CHECK vmette_error* vmette_exec_set_tty(vmette_exec* exec, uint16_t rows,
                                                          uint16_t cols, const char* term);
/**
 * How the terminal begins; the command may change it, as stty does. `echo`: what is typed is shown.
 * `raw`: bytes pass both ways as they are, with no line editing and no keys that send signals.
 * Default: echo, not raw. Without a terminal it means nothing.
 */
VMETTE_API VMETTE_CHECK vmette_error* vmette_exec_set_tty_modes(vmette_exec* exec, bool echo,
                                                                bool raw);
/** Kills the command and everything it started this many milliseconds after its start. Default 0:
 * no limit. */
VMETTE_API VMETTE_CHECK vmette_error* vmette_exec_set_timeout_ms(vmette_exec* exec,
                                                                 uint64_t timeout_ms);

/**
 * Starts a command in a ready session and returns at once; any number may run at a time, up to
 * 4,096. `*out` is owned by the caller, free with vmette_process_delete(). Whether the guest could
 * start it is told by vmette_process_wait_started() and vmette_process_wait(). Any thread.
 */
VMETTE_API VMETTE_CHECK vmette_error* vmette_session_exec(vmette_session* session,
                                                          const vmette_exec* exec,
                                                          vmette_process** out);
/**
 * Frees the handle and closes its descriptors; may be NULL. The command is not killed: it runs on,
 * gets end of file on stdin and SIGPIPE from its outputs. The session may be deleted before.
 */
VMETTE_API void vmette_process_delete(vmette_process* process);

/** Waits until the command has started. Fails with VMETTE_E_SPAWN, VMETTE_E_SESSION_ENDED,
 * VMETTE_E_STATE, or VMETTE_E_DEADLINE. Any thread. */
VMETTE_API VMETTE_CHECK vmette_error* vmette_process_wait_started(const vmette_process* process,
                                                                  int64_t timeout_ms);
/**
 * Waits until the command has ended and its captured output is complete. Giving up with
 * VMETTE_E_DEADLINE leaves the command alone. Fails as vmette_process_wait_started() does. Any
 * thread, any number of them.
 */
VMETTE_API VMETTE_CHECK vmette_error* vmette_process_wait(const vmette_process* process,
                                                          int64_t timeout_ms);
/**
 * A descriptor that becomes readable when the command has ended or was lost. Owned by the process
 * handle; poll it, do not read or close it.
 */
VMETTE_API int vmette_process_exit_fd(const vmette_process* process);
/** Likewise, readable when vmette_process_wait_started() no longer waits. */
VMETTE_API int vmette_process_started_fd(const vmette_process* process);
/** Likewise, readable when vmette_process_wait() no longer waits: later than the exit as long as
 * captured output is still coming. */
VMETTE_API int vmette_process_complete_fd(const vmette_process* process);

/**
 * The caller's end of a stream that is a PIPE (with a terminal: VMETTE_STDIN and VMETTE_STDOUT), -1
 * when there is none or it was closed or taken. The handle owns it. Reading gives the output and,
 * at the end, end of file; writing feeds stdin. The library keeps at most 1 MiB per stream beside
 * the pipe's own 256 KiB; a reader that stops holds up the command on that stream only. Stdin ends
 * with the leading process: a later write gives EPIPE.
 */
VMETTE_API int vmette_process_fd(const vmette_process* process, vmette_stream stream);
/** The same, now owned by the caller, who closes it. */
VMETTE_API int vmette_process_take_fd(vmette_process* process, vmette_stream stream);
/** Closes that end: end of file for the command's stdin, SIGPIPE for its outputs. A second time
 * does nothing. Any thread. */
VMETTE_API void vmette_process_close_fd(vmette_process* process, vmette_stream stream);

/** Whom a signal reaches. */
typedef int32_t vmette_scope;
enum {
  VMETTE_SCOPE_PROCESS = 0, /**< The command's leading process. */
  VMETTE_SCOPE_GROUP = 1,   /**< Its process group; with a terminal the foreground group. */
  VMETTE_SCOPE_TREE = 2,    /**< Every process that it started, wherever it moved to. */
};
/** Sends a signal, Linux numbering, 1 to 64. A command that has ended gets none, and what it left
 * behind only while that holds its stdout or stderr and GROUP or TREE is asked for; that is no
 * error. Any thread. */
VMETTE_API VMETTE_CHECK vmette_error* vmette_process_signal(vmette_process* process, int32_t number,
                                                            vmette_scope scope);
/** SIGKILL to VMETTE_SCOPE_TREE. Any thread. */
VMETTE_API VMETTE_CHECK vmette_error* vmette_process_kill(vmette_process* process);
/** Changes the size of the command's terminal. Any thread. */
VMETTE_API VMETTE_CHECK vmette_error* vmette_process_resize(vmette_process* process, uint16_t rows,
                                                            uint16_t cols);
/** The number of a signal named like "TERM" or "SIGTERM" in the guest, 0 for a name that is none.
 */
VMETTE_API int32_t vmette_signal_number(const char* name);

/** True when the leading process has ended; the getters below have meaning from then on. */
VMETTE_API bool vmette_process_ended(const vmette_process* process);
/** The exit code, or 128+n when signal n ended it; -1 before. */
VMETTE_API int32_t vmette_process_exit_code(const vmette_process* process);
/** The signal that ended it, 0 when it exited. */
VMETTE_API int32_t vmette_process_term_signal(const vmette_process* process);
/** True when the guest's kernel killed it because memory ran out. */
VMETTE_API bool vmette_process_out_of_memory(const vmette_process* process);
/** True when its timeout killed it. */
VMETTE_API bool vmette_process_timed_out(const vmette_process* process);
/** One line about the end, for example "killed by signal 9, out of memory"; empty before. Valid
 * until delete. */
VMETTE_API const char* vmette_process_end_message(const vmette_process* process);
/** Its process id in the guest, 0 before it has started. */
VMETTE_API uint32_t vmette_process_pid(const vmette_process* process);
/** Time from start to end, by the guest's clock. */
VMETTE_API uint64_t vmette_process_wall_us(const vmette_process* process);
/** CPU time in user mode, of it and the children it waited for. */
VMETTE_API uint64_t vmette_process_user_us(const vmette_process* process);
/** CPU time in the kernel, likewise. */
VMETTE_API uint64_t vmette_process_system_us(const vmette_process* process);
/** The largest resident set of it or a child it waited for, in KiB. */
VMETTE_API uint64_t vmette_process_max_rss_kib(const vmette_process* process);
/** What it has printed on captured streams so far, and how it ended if it has. `*out` is owned by
 * the caller. Any thread. */
VMETTE_API VMETTE_CHECK vmette_error* vmette_process_output(const vmette_process* process,
                                                            vmette_output** out);

#ifdef __cplusplus
}
#endif

#endif
