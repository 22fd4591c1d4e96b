/// @file settings.hpp
/// What descriptions with chained setters share. Part of vmette.hpp, which has the conventions.
#ifndef VMETTE_SETTINGS_HPP
#define VMETTE_SETTINGS_HPP

#include <vmette/error.hpp>

#include <optional>
#include <string>
#include <vector>

namespace vmette {

/// A string argument: a literal, a pointer (null where vmette.h allows NULL) or a std::string,
/// which must not have a NUL byte inside. Borrows the bytes for the call.
class Text {
 public:
  Text(const char* text) noexcept : text_(text) {}  // NOLINT: implicit, so that calls read plainly
  Text(const std::string& text) noexcept            // NOLINT
      : text_(text.c_str()), whole_(text.find('\0') == std::string::npos) {}

  [[nodiscard]] const char* c_str() const noexcept { return text_; }
  /// False when C would see only a part of the string.
  [[nodiscard]] bool whole() const noexcept { return whole_; }

 private:
  const char* text_;
  bool whole_ = true;
};

/// What Config and Exec share: a handle with chained setters. The first setter that fails is
/// remembered, later ones then do nothing, and whoever uses the description returns that error. One
/// thread at a time.
template <class Self, class Raw, void (*Delete)(Raw*)>
class Settings {
 public:
  /// The first setter's error, null when all went well. Valid as long as the description.
  [[nodiscard]] const Error* error() const noexcept { return error_ ? &*error_ : nullptr; }
  [[nodiscard]] Raw* capi() const noexcept { return ptr_.get(); }
  [[nodiscard]] Raw* capi_release() noexcept { return ptr_.release(); }

 protected:
  explicit Settings(Raw* raw) noexcept : ptr_(raw) {}
  explicit Settings(vmette_error* (*make)(Raw**)) noexcept {
    Raw* raw = nullptr;
    if (vmette_error* error = make(&raw)) error_ = Error(error);
    ptr_.reset(raw);
  }

  template <class Setter, class... Args>
  Self& set(Setter setter, const Args&... args) noexcept {
    if (!error_ && !(whole(args) && ...)) error_ = Error::embedded_nul();
    if (!error_) {
      if (vmette_error* error = setter(capi(), plain(args)...)) error_ = Error(error);
    }
    return static_cast<Self&>(*this);
  }
  Self& fail(const Error& error) noexcept {
    if (!error_) error_ = error;
    return static_cast<Self&>(*this);
  }
  template <class Setter>
  Self& set_vector(Setter setter, const std::vector<std::string>& argv) noexcept {
    std::vector<const char*> pointers;
    for (const Text arg : argv) {
      if (!arg.whole() && !error_) error_ = Error::embedded_nul();
      pointers.push_back(arg.c_str());
    }
    return set(setter, pointers.data(), pointers.size());
  }

 private:
  static bool whole(const Text& text) noexcept { return text.whole(); }
  template <class T>
  static bool whole(const T& /*other*/) noexcept {
    return true;
  }
  static const char* plain(const Text& text) noexcept { return text.c_str(); }
  template <class T>
  static T plain(const T& other) noexcept {
    return other;
  }

  detail::Handle<Raw, Delete> ptr_;
  std::optional<Error> error_;
};

}  // namespace vmette

#endif
