#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace vmette::vmm {

// What mksquashfs prints: a progress bar over and over, and words.
class PackOutput {
 public:
  // The latest percentage in these bytes, when they end one.
  std::optional<int> add(std::string_view bytes);
  // After the last bytes.
  void finish();

  // Files and directories that it could not read and left empty or out, and the words about the
  // first of them.
  [[nodiscard]] size_t unread() const { return unread_; }
  [[nodiscard]] const std::string& first_unread() const { return first_unread_; }
  // The last words that were no progress, for an error: one line, bounded.
  [[nodiscard]] std::string words() const;
  // What was asked for and it was built without.
  [[nodiscard]] bool lacks_compressor() const { return lacks_compressor_; }

 private:
  void take_line();

  std::string line_;  // not yet complete
  std::optional<int> percent_;
  size_t unread_ = 0;
  std::string first_unread_;
  std::string last_;
  std::string before_last_;
  bool lacks_compressor_ = false;
};

}  // namespace vmette::vmm
