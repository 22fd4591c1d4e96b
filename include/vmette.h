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
 *    that it did not start. Its thread takes no signals.
 * 9. After fork() without exec() a child must not use handles of its parent.
 * 10. Enum values and function signatures are stable within a soname.
 */
#ifndef VMETTE_H
#define VMETTE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__) || defined(__clang__)
#define VMETTE_API __attribute__((visibility("default")))
#define VMETTE_CHECK __attribute__((warn_unused_result))
#else
#define VMETTE_API
#define VMETTE_CHECK
#endif

#ifdef __cplusplus
extern "C" {
#endif

/** What a call failed with. */
typedef struct vmette_error vmette_error;
/** The description of a machine, before it exists. */
typedef struct vmette_config vmette_config;
/** One virtual machine, from its start to its end. */
typedef struct vmette_session vmette_session;
/** How a command ended, and what it printed. */
typedef struct vmette_output vmette_output;
/** The description of a command, before it runs. */
typedef struct vmette_exec vmette_exec;
/** One command in a running machine. */
typedef struct vmette_process vmette_process;
/** Bytes that the library hands out. */
typedef struct vmette_buffer vmette_buffer;

/** The library's version, for example "0.1.0". Valid for ever. */
VMETTE_API const char* vmette_version(void);

/* ---- Errors ------------------------------------------------------------------------------- */

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
/** An errno of the host or, for VMETTE_E_SPAWN and VMETTE_E_GUEST, of the guest (Linux numbering);
 * 0 when there is none. */
VMETTE_API int32_t vmette_error_errno(const vmette_error* error);
/** Milliseconds from the session's start to the failure, 0 when it has none. */
VMETTE_API uint64_t vmette_error_elapsed_ms(const vmette_error* error);
/** Frees the error; may be NULL. */
VMETTE_API void vmette_error_delete(vmette_error* error);
/** The name of a code, for example "DEADLINE"; "UNKNOWN" for a number that is none. Valid for ever.
 */
VMETTE_API const char* vmette_code_name(vmette_code code);

/* ---- Streams, buffers, log
 * ----------------------------------------------------------------------- */

/** The bytes, followed by a NUL that does not count; `*size` may be NULL. Valid until delete. */
VMETTE_API const char* vmette_buffer_data(const vmette_buffer* buffer, size_t* size);
/** Frees the buffer; may be NULL. */
VMETTE_API void vmette_buffer_delete(vmette_buffer* buffer);

/** Names a command's streams. */
typedef int32_t vmette_stream;
enum {
  VMETTE_STDIN = 0,    /**< What the command reads. */
  VMETTE_STDOUT = 1,   /**< What it writes to stdout. */
  VMETTE_STDERR = 2,   /**< What it writes to stderr. */
  VMETTE_COMBINED = 3, /**< Captured stdout and stderr, in the order of arrival. */
};

/** How much the log says, see vmette_log_to_fd(). */
typedef int32_t vmette_log_level;
enum {
  VMETTE_LOG_OFF = 0,   /**< Nothing, the default. */
  VMETTE_LOG_ERROR = 1, /**< What went wrong. */
  VMETTE_LOG_INFO = 2,  /**< And the steps of every session. */
  VMETTE_LOG_DEBUG = 3, /**< And every command, and the guest's console. */
};

/**
 * Sends the library's log to a descriptor, one line per entry: milliseconds of the monotonic clock,
 * level, session number, text. The descriptor stays the caller's and must outlive its use; a line
 * that cannot be written at once is dropped. -1 turns the log off. For the whole process, any
 * thread.
 */
VMETTE_API VMETTE_CHECK vmette_error* vmette_log_to_fd(int fd, vmette_log_level level);

/* ---- Configuration ------------------------------------------------------------------------ */

/** How a guest's vsock port is chosen, see vmette_config_set_vsock(). */
typedef int32_t vmette_vsock_mode;
enum {
  VMETTE_VSOCK_DISABLED = 0, /**< No vsock device. */
  VMETTE_VSOCK_AUTO = 1,     /**< A free port where the hypervisor offers vsock, else none. */
  VMETTE_VSOCK_FIXED = 2,    /**< The given port. */
};

/** What runs the guest's vCPUs, see vmette_config_set_accel(). */
typedef int32_t vmette_accel;
enum {
  VMETTE_ACCEL_AUTO = 0,      /**< Hardware where it really works, else emulation. */
  VMETTE_ACCEL_HARDWARE = 1,  /**< KVM; an error where it cannot be opened. */
  VMETTE_ACCEL_EMULATION = 2, /**< Software emulation, slow and everywhere. */
};

/**
 * A configuration with the defaults named below. `*out` is owned by the caller, free with
 * vmette_config_delete(). One thread at a time may use a configuration; sessions copy it.
 */
VMETTE_API VMETTE_CHECK vmette_error* vmette_config_new(vmette_config** out);
/** An independent copy. `*out` is owned by the caller. */
VMETTE_API VMETTE_CHECK vmette_error* vmette_config_clone(const vmette_config* config,
                                                          vmette_config** out);
/** Frees the configuration; may be NULL. Sessions made from it are not touched. */
VMETTE_API void vmette_config_delete(vmette_config* config);

/**
 * Checks everything that can be checked without starting anything: ranges, combinations, names,
 * that files exist. Sessions do the same at their start. Fails with VMETTE_E_INVALID_CONFIG,
 * VMETTE_E_NOT_FOUND or VMETTE_E_UNSUPPORTED.
 */
VMETTE_API VMETTE_CHECK vmette_error* vmette_config_validate(const vmette_config* config);

/**
 * The guest kernel: an uncompressed vmlinux or a bzImage on x86_64, an Image on aarch64. Default:
 * the boot assets' kernel (vmette_config_set_assets()). Borrows `path`; NULL goes back to the
 * default.
 */
VMETTE_API VMETTE_CHECK vmette_error* vmette_config_set_kernel(vmette_config* config,
                                                               const char* path);
/** The initramfs with vmette-agent as /init. Default and NULL as for the kernel. */
VMETTE_API VMETTE_CHECK vmette_error* vmette_config_set_initramfs(vmette_config* config,
                                                                  const char* path);
/**
 * The directory that holds `<arch>/manifest.json` with kernel and initramfs. Default:
 * VMETTE_ASSETS_DIR, else the build the library belongs to, else its install prefix. A tuned kernel
 * (`<arch>/tuned`) is preferred where it is present. NULL goes back to the default.
 */
VMETTE_API VMETTE_CHECK vmette_error* vmette_config_set_assets(vmette_config* config,
                                                               const char* directory);
/** The `vmette-vmm` program. Default: VMETTE_VMM, else next to the library. NULL goes back to the
 * default. */
VMETTE_API VMETTE_CHECK vmette_error* vmette_config_set_helper(vmette_config* config,
                                                               const char* path);
/**
 * Replaces the base kernel command line ("quiet" and boot speed-ups); what the machine itself
 * needs is still appended, see vmette_session_cmdline(). NULL goes back to the default.
 */
VMETTE_API VMETTE_CHECK vmette_error* vmette_config_set_cmdline(vmette_config* config,
                                                                const char* cmdline);
/**
 * A directory of the host as the guest's root, read-only on the host's side always. Writes go to
 * memory and are thrown away; with `read_only` there is no writable layer at all. `/` is allowed:
 * the guest can then read every file that the calling user can. Replaces an earlier root.
 * Default: no root, the guest runs in its built-in busybox.
 */
VMETTE_API VMETTE_CHECK vmette_error* vmette_config_set_rootfs_share(vmette_config* config,
                                                                     const char* path,
                                                                     bool read_only);
/** A file-system image ("squashfs", "erofs" or "ext4") as read-only lower layer of the root.
 * Replaces an earlier root. */
VMETTE_API VMETTE_CHECK vmette_error* vmette_config_set_rootfs_block(vmette_config* config,
                                                                     const char* path,
                                                                     const char* fstype);
/**
 * Shares a directory of the host under /mnt/<tag>. A writable share lets the guest change the
 * host's files. `tag`: 1 to 35 bytes of [A-Za-z0-9._-]; "rootfs" and "ctl" are reserved.
 */
VMETTE_API VMETTE_CHECK vmette_error* vmette_config_add_share(vmette_config* config,
                                                              const char* tag, const char* path,
                                                              bool read_only);
/** Attaches a raw disk image. A writable disk keeps what the guest writes. */
VMETTE_API VMETTE_CHECK vmette_error* vmette_config_add_disk(vmette_config* config,
                                                             const char* path, bool read_only);
/**
 * The command that the session runs as a line for /bin/sh -c; the session ends with it. Replaces
 * an earlier command; NULL removes it: the session then stays ready until it is stopped, and
 * vmette_run() gives an interactive shell.
 */
VMETTE_API VMETTE_CHECK vmette_error* vmette_config_set_exec(vmette_config* config,
                                                             const char* line);
/** The same as an argument vector of `argc` (at least 1) strings; argv[0] is looked up in the
 * guest's PATH. */
VMETTE_API VMETTE_CHECK vmette_error* vmette_config_set_exec_argv(vmette_config* config,
                                                                  const char* const* argv,
                                                                  size_t argc);
/**
 * Adds an environment variable for every command; of two with one key the later wins. `key`:
 * [A-Za-z_][A-Za-z0-9_]*.
 */
VMETTE_API VMETTE_CHECK vmette_error* vmette_config_add_env(vmette_config* config, const char* key,
                                                            const char* value);
/** Makes the root the guest's real / (switch_root) instead of a chroot. Default false. */
VMETTE_API VMETTE_CHECK vmette_error* vmette_config_set_switch_root(vmette_config* config, bool on);
/** Attaches a network. Default false: no device at all. */
VMETTE_API VMETTE_CHECK vmette_error* vmette_config_set_net(vmette_config* config, bool on);
/** The host's vsock port. `port` counts with VMETTE_VSOCK_FIXED only. Default VMETTE_VSOCK_AUTO. */
VMETTE_API VMETTE_CHECK vmette_error* vmette_config_set_vsock(vmette_config* config,
                                                              vmette_vsock_mode mode,
                                                              uint32_t port);
/** The port on which the guest's side listens. Default 1025. */
VMETTE_API VMETTE_CHECK vmette_error* vmette_config_set_guest_vsock_port(vmette_config* config,
                                                                         uint32_t port);
/** Ends the session this many seconds after its start. Default 0: no limit. */
VMETTE_API VMETTE_CHECK vmette_error* vmette_config_set_timeout_seconds(vmette_config* config,
                                                                        uint32_t seconds);
/** How long a machine may take to get ready. Default 60,000, at least 1. */
VMETTE_API VMETTE_CHECK vmette_error* vmette_config_set_ready_timeout_ms(vmette_config* config,
                                                                         uint32_t timeout_ms);
/** Number of vCPUs. Default 1; 1 to the host's processors or 32, whichever is larger. */
VMETTE_API VMETTE_CHECK vmette_error* vmette_config_set_vcpus(vmette_config* config,
                                                              uint32_t vcpus);
/** Guest memory. Default 512, at least 64. */
VMETTE_API VMETTE_CHECK vmette_error* vmette_config_set_mem_mib(vmette_config* config,
                                                                uint64_t mem_mib);
/** Boots, saves the machine to `path` and ends. NULL: none, the default. */
VMETTE_API VMETTE_CHECK vmette_error* vmette_config_set_build_snapshot(vmette_config* config,
                                                                       const char* path);
/** Starts from the snapshot at `path` instead of booting. NULL: none, the default. */
VMETTE_API VMETTE_CHECK vmette_error* vmette_config_set_resume_snapshot(vmette_config* config,
                                                                        const char* path);
/** Puts the root's writable layer on a throw-away disk of this size instead of memory. Default 0:
 * memory. */
VMETTE_API VMETTE_CHECK vmette_error* vmette_config_set_scratch_mib(vmette_config* config,
                                                                    uint64_t scratch_mib);
/** Keeps vmette_run() from printing its banner and status lines. Default false. */
VMETTE_API VMETTE_CHECK vmette_error* vmette_config_set_quiet(vmette_config* config, bool on);
/** Keeps the command's output for vmette_session_output() and vmette_run(). Default false. */
VMETTE_API VMETTE_CHECK vmette_error* vmette_config_set_capture_output(vmette_config* config,
                                                                       bool on);
/** Bytes kept of each captured stream; what comes later is dropped and marked. Default 1 MiB. */
VMETTE_API VMETTE_CHECK vmette_error* vmette_config_set_capture_limit(vmette_config* config,
                                                                      size_t bytes);
/** What runs the vCPUs. Default VMETTE_ACCEL_AUTO. */
VMETTE_API VMETTE_CHECK vmette_error* vmette_config_set_accel(vmette_config* config,
                                                              vmette_accel accel);
/** The guest's host name: 1 to 63 bytes of [A-Za-z0-9-], not starting or ending with '-'. Default
 * "vmette". */
VMETTE_API VMETTE_CHECK vmette_error* vmette_config_set_hostname(vmette_config* config,
                                                                 const char* name);

/** The number of vCPUs that is set. */
VMETTE_API uint32_t vmette_config_vcpus(const vmette_config* config);
/** The memory that is set. */
VMETTE_API uint64_t vmette_config_mem_mib(const vmette_config* config);
/** The session timeout that is set; 0: none. */
VMETTE_API uint32_t vmette_config_timeout_seconds(const vmette_config* config);
/** The guest vsock port that is set. */
VMETTE_API uint32_t vmette_config_guest_vsock_port(const vmette_config* config);
/** The base kernel command line that is set. Valid until the configuration changes. */
VMETTE_API const char* vmette_config_cmdline(const vmette_config* config);

/* ---- Sessions ----------------------------------------------------------------------------- */

/** Values of vmette_session_state(). */
typedef int32_t vmette_state;
enum {
  VMETTE_STATE_CREATED = 0,  /**< Not started. */
  VMETTE_STATE_STARTING = 1, /**< Booting. */
  VMETTE_STATE_READY = 2,    /**< The root is set up, commands run. */
  VMETTE_STATE_PAUSED = 3,   /**< The vCPUs stand still. */
  VMETTE_STATE_ENDED = 4,    /**< Over; nothing of the machine is left. */
};

/** Values of vmette_session_end(): why a session ended. The first cause wins. */
typedef int32_t vmette_end;
enum {
  VMETTE_END_NONE = 0,      /**< It has not ended. */
  VMETTE_END_EXITED = 1,    /**< Its command ended, see vmette_session_exit_code(). */
  VMETTE_END_TIMED_OUT = 2, /**< timeout_seconds passed. */
  VMETTE_END_STOPPED = 3,   /**< Someone stopped it. */
  VMETTE_END_ERROR = 4,     /**< It failed, see vmette_session_end_message(). */
};

/**
 * A session of the given configuration, which it copies. Nothing is started. `*out` is owned by
 * the caller, free with vmette_session_delete(). Fails as vmette_config_validate() does.
 */
VMETTE_API VMETTE_CHECK vmette_error* vmette_session_new(const vmette_config* config,
                                                         vmette_session** out);
/**
 * Ends the machine if it still runs, waits until nothing of it is left, and frees the session; may
 * be NULL. No other call on the session may be under way or follow.
 */
VMETTE_API void vmette_session_delete(vmette_session* session);

/**
 * Boots the machine and waits until it is ready (and, with a command, until that has started), at
 * most the configuration's ready timeout. Same as vmette_session_launch() and
 * vmette_session_wait_ready(). Fails with VMETTE_E_START_FAILED, VMETTE_E_NOT_FOUND,
 * VMETTE_E_SPAWN, or VMETTE_E_SESSION_ENDED when it was stopped meanwhile.
 */
VMETTE_API VMETTE_CHECK vmette_error* vmette_session_start(vmette_session* session);
/** Starts booting and returns at once. VMETTE_E_STATE on a second call. Any thread. */
VMETTE_API VMETTE_CHECK vmette_error* vmette_session_launch(vmette_session* session);
/** Waits until the session is ready or has failed. Fails as vmette_session_start() does, or with
 * VMETTE_E_DEADLINE. Any thread. */
VMETTE_API VMETTE_CHECK vmette_error* vmette_session_wait_ready(vmette_session* session,
                                                                int64_t timeout_ms);
/** Waits until the session has ended and nothing of the machine is left. Fails with
 * VMETTE_E_DEADLINE, or VMETTE_E_STATE before the start. Any thread, any number of them. */
VMETTE_API VMETTE_CHECK vmette_error* vmette_session_wait(vmette_session* session,
                                                          int64_t timeout_ms);
/**
 * Ends the session in an orderly way: commands get SIGTERM and, `grace_ms` later, SIGKILL, file
 * systems are flushed, the machine powers off. What is not over two seconds after the grace is
 * killed. Returns when it is over; at once when the session has ended or was never started. Any
 * thread, also during the start.
 */
VMETTE_API VMETTE_CHECK vmette_error* vmette_session_stop(vmette_session* session,
                                                          uint32_t grace_ms);
/** Ends the session at once, like a power cut. Returns when it is over. Any thread, also during the
 * start. */
VMETTE_API VMETTE_CHECK vmette_error* vmette_session_kill(vmette_session* session);

/** The session's state, one of VMETTE_STATE_*. */
VMETTE_API vmette_state vmette_session_state(const vmette_session* session);
/** Why the session ended, one of VMETTE_END_*. */
VMETTE_API vmette_end vmette_session_end(const vmette_session* session);
/**
 * With VMETTE_END_EXITED: the command's exit code, 128+n when signal n ended it.
 * VMETTE_END_TIMED_OUT: 124. VMETTE_END_STOPPED: 0. VMETTE_END_ERROR: 1. Before the end: -1.
 */
VMETTE_API int32_t vmette_session_exit_code(const vmette_session* session);
/** One line about the end, empty before it. Valid until the session is deleted. */
VMETTE_API const char* vmette_session_end_message(const vmette_session* session);
/** The kernel's full command line, empty before the machine exists. Valid until the session is
 * deleted. */
VMETTE_API const char* vmette_session_cmdline(const vmette_session* session);
/** The host's vsock port, 0 when there is none. */
VMETTE_API uint32_t vmette_session_vsock_port(const vmette_session* session);
/**
 * A descriptor that becomes readable when the session is ready or has failed. Owned by the session;
 * poll it, do not read or close it.
 */
VMETTE_API int vmette_session_ready_fd(const vmette_session* session);
/** The same for the session's end. */
VMETTE_API int vmette_session_end_fd(const vmette_session* session);

/**
 * Points of the boot, in order: "helper spawned", "hypervisor started", "kernel up", "agent
 * hello", "root ready", "command started", and steps of the guest in between. Entries are only
 * ever added.
 */
VMETTE_API size_t vmette_session_timeline_count(const vmette_session* session);
/** Name of entry `index`, NULL past the end. Valid until the session is deleted. */
VMETTE_API const char* vmette_session_timeline_name(const vmette_session* session, size_t index);
/** Microseconds from the launch to entry `index`, 0 past the end. */
VMETTE_API uint64_t vmette_session_timeline_us(const vmette_session* session, size_t index);

/**
 * What the session's command has printed so far, and how it ended if it has. Needs
 * capture_output. `*out` is owned by the caller, free with vmette_output_delete(), and does not
 * change afterwards. Any thread, before and after the end.
 */
VMETTE_API VMETTE_CHECK vmette_error* vmette_session_output(const vmette_session* session,
                                                            vmette_output** out);

/**
 * Stops the vCPUs. Time that passes until vmette_session_unpause() counts for no timeout of the
 * session or of its commands. VMETTE_E_STATE when the session is not ready. Returns when they
 * stand still. Any thread.
 */
VMETTE_API VMETTE_CHECK vmette_error* vmette_session_pause(vmette_session* session);
/** Lets the vCPUs go on. VMETTE_E_STATE when the session is not paused. Any thread. */
VMETTE_API VMETTE_CHECK vmette_error* vmette_session_unpause(vmette_session* session);
/** The last 64 KiB that the guest printed on its console. `*out` is owned by the caller. Any
 * thread, before and after the end. */
VMETTE_API VMETTE_CHECK vmette_error* vmette_session_console(const vmette_session* session,
                                                             vmette_buffer** out);

/* ---- Commands ------------------------------------------------------------------------------ */

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
/** Runs a line with /bin/sh -c. Replaces what was set. */
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

/**
 * The caller's end of a stream that is a PIPE (with a terminal: VMETTE_STDIN and VMETTE_STDOUT), -1
 * when there is none or it was closed or taken. The handle owns it. Reading gives the output and,
 * at the end, end of file; writing feeds stdin. The library keeps at most 256 KiB per stream beside
 * the pipe's own 256 KiB; a reader that stops holds up the command on that stream only.
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
/** Sends a signal, Linux numbering, 1 to 64. A command that has ended gets none; that is no error.
 * Any thread. */
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

/* ---- Output ------------------------------------------------------------------------------- */

/** How the session or the command ended, VMETTE_END_NONE while it had not. */
VMETTE_API vmette_end vmette_output_end(const vmette_output* output);
/** As vmette_session_exit_code(). */
VMETTE_API int32_t vmette_output_exit_code(const vmette_output* output);
/** As vmette_session_end_message(), copied: empty while the session had not ended. Valid until
 * delete. */
VMETTE_API const char* vmette_output_end_message(const vmette_output* output);
/** The captured bytes of a stream, followed by a NUL that does not count; `*size` may be NULL.
 * Valid until delete. */
VMETTE_API const char* vmette_output_data(const vmette_output* output, vmette_stream stream,
                                          size_t* size);
/** True when bytes of that stream were dropped because the capture limit was reached. */
VMETTE_API bool vmette_output_truncated(const vmette_output* output, vmette_stream stream);
/** How many bytes that stream carried, kept or dropped. */
VMETTE_API uint64_t vmette_output_total(const vmette_output* output, vmette_stream stream);
/** Frees the output; may be NULL. */
VMETTE_API void vmette_output_delete(vmette_output* output);

/* ---- Run ---------------------------------------------------------------------------------- */

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
 * The exit code: the command's, 128+n when signal n ended it, 124 on timeout, 0 when the session
 * was stopped, 1 when the guest failed later than the start. A failure of the start is an error.
 * `*out` is owned by the caller, free with vmette_output_delete().
 */
VMETTE_API VMETTE_CHECK vmette_error* vmette_run(const vmette_config* config, vmette_output** out);

#ifdef __cplusplus
}
#endif

#endif
