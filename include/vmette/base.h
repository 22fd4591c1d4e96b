/** @file base.h
 * Export marks, the handles, the version. Part of vmette.h, which has the conventions. */
#ifndef VMETTE_BASE_H
#define VMETTE_BASE_H

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
/** What a file of a machine is. */
typedef struct vmette_stat vmette_stat;
/** What is in a directory of a machine. */
typedef struct vmette_listing vmette_listing;
/** How a machine is doing. */
typedef struct vmette_stats vmette_stats;
/** A file of a machine that is being read or written as a stream. */
typedef struct vmette_transfer vmette_transfer;
/** A question to a machine that is under way. */
typedef struct vmette_call vmette_call;
/** How much of a directory tree was copied. */
typedef struct vmette_copied vmette_copied;
/** A machine that was saved: what is in a snapshot's directory. */
typedef struct vmette_snapshot vmette_snapshot;

/** Machines that are kept ready. */
typedef struct vmette_pool vmette_pool;
/** How a pool is kept. */
typedef struct vmette_pool_options vmette_pool_options;
/** A place in a pool's queue. */
typedef struct vmette_pool_request vmette_pool_request;
/** How a pool was doing. */
typedef struct vmette_pool_counts vmette_pool_counts;

/** A directory or an image of the host that can be a root. */
typedef struct vmette_rootfs_artifact vmette_rootfs_artifact;
/** What a provider may ask for while it works. */
typedef struct vmette_provider_context vmette_provider_context;

/** The library's version, for example "0.1.0". Valid for ever. */
VMETTE_API const char* vmette_version(void);

#ifdef __cplusplus
}
#endif

#endif
