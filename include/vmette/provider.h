/** @file provider.h
 * Where roots come from: specs, the providers that claim them, what they give. Part of vmette.h,
 * which has the conventions. */
#ifndef VMETTE_PROVIDER_H
#define VMETTE_PROVIDER_H

#include <vmette/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * The root as a spec, for example "/srv/debian", "./root" or "squashfs+file:///srv/debian.sqfs":
 * the first provider that claims it turns it into a directory or an image, see
 * vmette_config_provider_count() for their order. That happens in vmette_session_new() and
 * vmette_run(), on their caller's thread. With `read_only` the root gets no writable layer.
 * Replaces an earlier root; NULL goes back to none.
 */
VMETTE_API VMETTE_CHECK vmette_error* vmette_config_set_rootfs(vmette_config* config,
                                                               const char* spec, bool read_only);
/** Forbids providers to use the network: what is not in the cache fails with
 * VMETTE_E_OFFLINE_CACHE_MISS. Default false. */
VMETTE_API VMETTE_CHECK vmette_error* vmette_config_set_offline(vmette_config* config, bool on);
/** Where providers keep what they fetched. Default: $XDG_CACHE_HOME/vmette, else ~/.cache/vmette
 * (on macOS ~/Library/Caches/vmette). NULL goes back to the default. */
VMETTE_API VMETTE_CHECK vmette_error* vmette_config_set_cache_dir(vmette_config* config,
                                                                  const char* directory);

/** Frees what a callback's `env` points to. */
typedef void (*vmette_finalizer)(void* env);

/**
 * Told while something long is under way: which step, how much of it is done and of how much (0:
 * not known), in units of the step. Returning false asks to give up: what is under way then fails
 * with VMETTE_E_CANCELLED. Runs on the thread of the call that takes long, during that call.
 */
typedef bool (*vmette_progress)(void* env, const char* step, uint64_t done, uint64_t total);

/**
 * Reports the progress of this configuration's providers to `callback`; NULL reports to nobody, the
 * default. Copies of the configuration share it. Takes ownership of `env` (even on error):
 * `finalizer`, which may be NULL, is called with it once, by the call that drops the last use.
 */
VMETTE_API VMETTE_CHECK vmette_error* vmette_config_set_progress(vmette_config* config,
                                                                 vmette_progress callback,
                                                                 void* env,
                                                                 vmette_finalizer finalizer);

/* ---- What a spec becomes ------------------------------------------------------------------ */

/**
 * An empty artifact: a directory or an image of the host that can be a root. `*out` is owned by the
 * caller, free with vmette_rootfs_artifact_delete(). One thread at a time may change it.
 */
VMETTE_API VMETTE_CHECK vmette_error* vmette_rootfs_artifact_new(vmette_rootfs_artifact** out);
/** Frees the artifact, not what it names; may be NULL. */
VMETTE_API void vmette_rootfs_artifact_delete(vmette_rootfs_artifact* artifact);
/** The directory or image. Must be set. */
VMETTE_API VMETTE_CHECK vmette_error* vmette_rootfs_artifact_set_path(
    vmette_rootfs_artifact* artifact, const char* path);
/** The image's type: "squashfs", "erofs" or "ext4". NULL, the default: the path is a directory. */
VMETTE_API VMETTE_CHECK vmette_error* vmette_rootfs_artifact_set_fstype(
    vmette_rootfs_artifact* artifact, const char* fstype);
/** No writable layer over it. Default false. Directory and image are never written either way. */
VMETTE_API VMETTE_CHECK vmette_error* vmette_rootfs_artifact_set_read_only(
    vmette_rootfs_artifact* artifact, bool on);
/** Adds a variable that the image wants every command to have, for example its PATH; what the
 * configuration sets wins. `key` as in vmette_config_add_env(). */
VMETTE_API VMETTE_CHECK vmette_error* vmette_rootfs_artifact_add_image_env(
    vmette_rootfs_artifact* artifact, const char* key, const char* value);

/** The path, empty when none is set. Valid until it is set again or the artifact is deleted. */
VMETTE_API const char* vmette_rootfs_artifact_path(const vmette_rootfs_artifact* artifact);
/** The image's type, empty for a directory. Valid as the path. */
VMETTE_API const char* vmette_rootfs_artifact_fstype(const vmette_rootfs_artifact* artifact);
/** True when no writable layer is to be put over it. */
VMETTE_API bool vmette_rootfs_artifact_read_only(const vmette_rootfs_artifact* artifact);
/** How many variables the image wants. */
VMETTE_API size_t vmette_rootfs_artifact_image_env_count(const vmette_rootfs_artifact* artifact);
/** The key of variable `index`, NULL past the end. Valid until one is added or delete. */
VMETTE_API const char* vmette_rootfs_artifact_image_env_key(const vmette_rootfs_artifact* artifact,
                                                            size_t index);
/** The value of variable `index`, likewise. */
VMETTE_API const char* vmette_rootfs_artifact_image_env_value(
    const vmette_rootfs_artifact* artifact, size_t index);

/**
 * Makes the artifact the configuration's root, in place of an earlier one. Borrows it. With
 * `force_read_only` there is no writable layer even if the artifact allows one. Its variables come
 * before those of vmette_config_add_env(), whenever those are added, so that the latter win.
 */
VMETTE_API VMETTE_CHECK vmette_error* vmette_config_set_rootfs_artifact(
    vmette_config* config, const vmette_rootfs_artifact* artifact, bool force_read_only);
/**
 * Asks the configuration's providers for what `spec` stands for, with its cache directory, its
 * offline flag and its progress callback; the configuration keeps its root. `*out` is owned by the
 * caller. Fails with VMETTE_E_INVALID_SPEC, VMETTE_E_OFFLINE_CACHE_MISS, VMETTE_E_NETWORK,
 * VMETTE_E_IO, VMETTE_E_PROVIDER, VMETTE_E_CANCELLED.
 */
VMETTE_API VMETTE_CHECK vmette_error* vmette_config_resolve_rootfs(const vmette_config* config,
                                                                   const char* spec,
                                                                   vmette_rootfs_artifact** out);

/* ---- Providers ---------------------------------------------------------------------------- */

/**
 * Sets `*claimed` when the provider takes this spec. Should not take long: it may look at files,
 * and leaves the network alone. Returns an error of vmette_error_new(), which the library takes
 * ownership of, only when it cannot tell; then nothing is resolved.
 */
typedef vmette_error* (*vmette_provider_matches)(void* env, const char* spec, bool* claimed);
/**
 * Turns a spec that it claimed into `*out`, an artifact that the library takes ownership of.
 * Resolving the same spec again should give the same. On failure returns an error that the library
 * takes ownership of: of vmette_error_new() with VMETTE_E_INVALID_SPEC,
 * VMETTE_E_OFFLINE_CACHE_MISS, VMETTE_E_NETWORK, VMETTE_E_IO or VMETTE_E_PROVIDER for anything
 * else, or one that it got from this library. `context` is valid during the call.
 */
typedef vmette_error* (*vmette_provider_provide)(void* env, const char* spec,
                                                 vmette_provider_context* context,
                                                 vmette_rootfs_artifact** out);

/**
 * Adds a provider, which is asked after those added before and before the library's own. `name`: 1
 * to 32 bytes of [a-z0-9-], not one of another provider; also the name of its cache directory.
 * `claims`: one line that tells a person what it takes, for example "s3://BUCKET/KEY".
 *
 * Both callbacks run on the thread that resolves, during that call. Copies of the configuration
 * share the provider; if they resolve on several threads at a time, the callbacks run on those at a
 * time. Callbacks must not use the configuration that is being resolved. Takes ownership of `env`
 * (even on error): `finalizer`, which may be NULL, is called with it once, by the call that drops
 * the last use.
 */
VMETTE_API VMETTE_CHECK vmette_error* vmette_config_add_provider(
    vmette_config* config, const char* name, const char* claims, vmette_provider_matches matches,
    vmette_provider_provide provide, void* env, vmette_finalizer finalizer);

/** How many providers the configuration has. They are asked in the order of their index: those of
 * vmette_config_add_provider(), then "dir", "squashfs", "erofs", "ext4". */
VMETTE_API size_t vmette_config_provider_count(const vmette_config* config);
/** The name of provider `index`, NULL past the end. Valid until the configuration is deleted. */
VMETTE_API const char* vmette_config_provider_name(const vmette_config* config, size_t index);
/** What it claims, for a person. Valid likewise. */
VMETTE_API const char* vmette_config_provider_claims(const vmette_config* config, size_t index);

/**
 * The provider's own directory for what it keeps, made when it is missing: the cache directory with
 * the provider's name. `*out` is valid during the callback. Fails with VMETTE_E_IO, or
 * VMETTE_E_INVALID_CONFIG when there is no place for it.
 */
VMETTE_API VMETTE_CHECK vmette_error* vmette_provider_context_cache_dir(
    vmette_provider_context* context, const char** out);
/** True when the network must be left alone. */
VMETTE_API bool vmette_provider_context_offline(const vmette_provider_context* context);
/**
 * Reports progress, see vmette_progress. Fails with VMETTE_E_CANCELLED when the provider should
 * give up and return that error. On the callback's thread.
 */
VMETTE_API VMETTE_CHECK vmette_error* vmette_provider_context_report(
    vmette_provider_context* context, const char* step, uint64_t done, uint64_t total);

#ifdef __cplusplus
}
#endif

#endif
