/** @file config.h
 * The description of a machine. Part of vmette.h, which has the conventions. */
#ifndef VMETTE_CONFIG_H
#define VMETTE_CONFIG_H

#include <vmette/base.h>

#ifdef __cplusplus
extern "C" {
#endif

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

/** How directories of the host reach the guest, see vmette_config_set_share_transport(). */
typedef int32_t vmette_share_transport;
enum {
  VMETTE_SHARE_AUTO = 0,     /**< virtio-fs where virtiofsd can start, else 9p. */
  VMETTE_SHARE_VIRTIOFS = 1, /**< virtio-fs; an error where virtiofsd cannot start. */
  VMETTE_SHARE_9P = 2,       /**< 9p, which needs nothing but QEMU. */
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
/**
 * A file-system image, or a block device that holds one, as the root. It is attached read-only, so
 * that any number of machines can share it; writes go to memory, or to the scratch disk, and are
 * thrown away. `fstype`: "squashfs", "erofs" or "ext4", which must be what the image is; NULL:
 * whichever of them its superblock tells. Replaces an earlier root.
 */
VMETTE_API VMETTE_CHECK vmette_error* vmette_config_set_rootfs_block(vmette_config* config,
                                                                     const char* path,
                                                                     const char* fstype);
/**
 * Shares a directory of the host under /mnt/<tag>. A writable share lets the guest change, delete
 * and create files below `path` with the calling user's rights, but no setuid or setgid file and no
 * device node; a read-only one is read-only on the host's side. `tag`: 1 to 35 bytes of
 * [A-Za-z0-9._-], used once; "rootfs", "ctl" and what starts with "vmette-" are reserved.
 * docs/rootfs.md says what a share keeps of modes, owners and times. Borrows its arguments.
 */
VMETTE_API VMETTE_CHECK vmette_error* vmette_config_add_share(vmette_config* config,
                                                              const char* tag, const char* path,
                                                              bool read_only);
/**
 * The same, mounted at `target`: an absolute path in the guest, used once, not below /proc, /sys or
 * /dev; "" means /mnt/<tag>. Directories on the way are made where the root can be written, and
 * below /mnt always.
 */
VMETTE_API VMETTE_CHECK vmette_error* vmette_config_add_share_at(vmette_config* config,
                                                                 const char* tag, const char* path,
                                                                 const char* target,
                                                                 bool read_only);
/**
 * How shares, and a directory as root, reach the guest. The timeline names what was chosen for each
 * and why. Default VMETTE_SHARE_AUTO.
 */
VMETTE_API VMETTE_CHECK vmette_error* vmette_config_set_share_transport(
    vmette_config* config, vmette_share_transport transport);
/**
 * Attaches a raw disk image or a block device, as /dev/vmette/disk<N> in the guest, N counting from
 * 0 in the order of these calls, and as /dev/disk/by-id/virtio-disk<N>. Nothing is mounted. A
 * writable disk keeps what the guest writes, its size is a multiple of 512 bytes, and it belongs to
 * one machine at a time: the start of another fails while it is in use. Read-only ones are
 * read-only on the host's side and may be shared.
 */
VMETTE_API VMETTE_CHECK vmette_error* vmette_config_add_disk(vmette_config* config,
                                                             const char* path, bool read_only);
/**
 * The same with a name of the caller's: /dev/disk/by-id/virtio-<id>, beside /dev/vmette/disk<N>.
 * `id`: 1 to 20 bytes of [A-Za-z0-9._-], used once, not beginning with "vmette-"; "" means disk<N>.
 */
VMETTE_API VMETTE_CHECK vmette_error* vmette_config_add_disk_as(vmette_config* config,
                                                                const char* id, const char* path,
                                                                bool read_only);
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
/**
 * Makes the machine one that can be saved, see vmette_session_snapshot(): shares go over 9p, there
 * is no vsock, and a directory as root is packed into an image first (kept in the cache directory).
 * A fixed vsock port, shares over virtio-fs and writable block devices are refused. Building a
 * snapshot implies it. Default false.
 */
VMETTE_API VMETTE_CHECK vmette_error* vmette_config_set_snapshottable(vmette_config* config,
                                                                      bool on);
/**
 * Reserves devices for `count` shares that a machine resumed from a snapshot of this one may have
 * beside those of the snapshot. Default 0.
 */
VMETTE_API VMETTE_CHECK vmette_error* vmette_config_set_resume_shares(vmette_config* config,
                                                                      uint32_t count);
/**
 * Shell lines that a resumed machine runs before it is ready: `frozen` while all programs of the
 * snapshot still stand still, `running` after they go on. They are for programs that keep something
 * which no two machines may share, like the state of their random generator: the kernel's own has
 * been renewed by then. The resume fails where one does not end with 0. NULL: none, the default.
 */
VMETTE_API VMETTE_CHECK vmette_error* vmette_config_set_resume_hooks(vmette_config* config,
                                                                     const char* frozen,
                                                                     const char* running);
/** Keeps digests of a snapshot's files, which vmette_snapshot_verify() compares: 64 bytes and a
 * second or so per 500 MiB. Default false. */
VMETTE_API VMETTE_CHECK vmette_error* vmette_config_set_snapshot_digests(vmette_config* config,
                                                                         bool on);
/**
 * For vmette_run(): boots, runs the command and, when it has ended with 0, saves the machine to
 * `path` and ends. Programs that the command has left running are saved with it. Sessions use
 * vmette_session_snapshot() or vmette_snapshot_build() instead. NULL: none, the default.
 */
VMETTE_API VMETTE_CHECK vmette_error* vmette_config_set_build_snapshot(vmette_config* config,
                                                                       const char* path);
/**
 * Starts from the snapshot at `path` instead of booting. The machine is that of the snapshot:
 * vCPUs, memory, root, disks, scratch disk and command line stay at their defaults here or are what
 * the snapshot has. Its variables come first, those set here win. A share with the tag of one in
 * the snapshot takes its place, others need resume_shares. NULL: none, the default.
 */
VMETTE_API VMETTE_CHECK vmette_error* vmette_config_set_resume_snapshot(vmette_config* config,
                                                                        const char* path);
/**
 * Puts the root's writable layer, /tmp included, on a throw-away disk of this size instead of
 * memory: a sparse ext4 file without a name, which takes room on the host as it is written and is
 * gone with the machine, however that ends. 16 to 16,777,216 MiB; the default 0 means memory. Needs
 * mke2fs on the host. Not together with a read-only root.
 */
VMETTE_API VMETTE_CHECK vmette_error* vmette_config_set_scratch_mib(vmette_config* config,
                                                                    uint64_t scratch_mib);
/**
 * The directory whose file system holds the scratch disk. Default: VMETTE_SCRATCH_DIR, else
 * /var/tmp. A file system in memory makes the disk live in memory. NULL goes back to the default.
 */
VMETTE_API VMETTE_CHECK vmette_error* vmette_config_set_scratch_dir(vmette_config* config,
                                                                    const char* directory);
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
/**
 * A directory of the host whose CA certificates (*.pem, *.crt, *.cer) the guest trusts as well:
 * they are read when the session is made and appended to the trust stores that the root has; the
 * root itself stays as it is. Default: VMETTE_CA_CERTS, else $XDG_CONFIG_HOME/vmette/certs or
 * ~/.config/vmette/certs where that exists. "" adds none; NULL goes back to the default. A share
 * with the tag "certs" is used instead of all of them. docs/rootfs.md names the stores. Borrows
 * `directory`.
 */
VMETTE_API VMETTE_CHECK vmette_error* vmette_config_set_ca_certs(vmette_config* config,
                                                                 const char* directory);

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

#ifdef __cplusplus
}
#endif

#endif
