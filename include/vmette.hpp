/// @file vmette.hpp
/// vmette for C++: header-only over vmette.h, where every contract is written. This header adds
/// lifetimes and results, nothing else; each method names the C function it stands for by its own
/// name. C++17 or later. Needs Boost.Outcome's headers, and links to nothing but libvmette.
///
/// - Objects are move-only and free what they own. A moved-from object may only be assigned to or
///   destroyed. `capi()` lends the C handle, `capi_release()` gives it away.
/// - What can fail returns `result<T>`, which the compiler does not let you ignore. Asking a result
///   for what it does not hold ends the process (std::abort): test it first, or pass it on with
///   BOOST_OUTCOME_TRY.
/// - Nothing here throws. Where this header itself allocates (errors, argument vectors), running
///   out of memory ends the process.
/// - Views and pointers are valid as long as the object that returned them.
#ifndef VMETTE_HPP
#define VMETTE_HPP

#include <vmette.h>

#include <vmette/call.hpp>
#include <vmette/config.hpp>
#include <vmette/copy.hpp>
#include <vmette/error.hpp>
#include <vmette/file.hpp>
#include <vmette/output.hpp>
#include <vmette/pool.hpp>
#include <vmette/process.hpp>
#include <vmette/provider.hpp>
#include <vmette/run.hpp>
#include <vmette/session.hpp>
#include <vmette/settings.hpp>
#include <vmette/snapshot.hpp>
#include <vmette/transfer.hpp>

#endif
