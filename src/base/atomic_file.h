/// Writing a file whole or not at all, and asking beforehand whether that can work. Knows nothing
/// about pictures.
/// Thread-safety: a ReplacedFile belongs to one thread, the functions have no state; two writers of
/// one path leave the file of the one that ends last.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>

namespace tintype {

/// Replaces `path` with `bytes`: a temporary file in the same folder is written, synced and renamed
/// over it, and removed on any failure. An existing file keeps its permission bits; a symbolic link
/// stays a link, its target is replaced.
/// throws kInvalidArgument: empty path; kIo with the system's reason
void write_file_atomically(const std::filesystem::path& path, std::span<const uint8_t> bytes);

/// The same for a file that is too large to hold in memory: written piece by piece into the
/// temporary file, which commit() puts in place and the destructor removes where nobody did.
class ReplacedFile {
 public:
  /// throws as require_replaceable
  explicit ReplacedFile(const std::filesystem::path& path);
  ~ReplacedFile();
  ReplacedFile(const ReplacedFile&) = delete;
  ReplacedFile& operator=(const ReplacedFile&) = delete;

  /// Appends. throws kIo
  void write(std::span<const std::byte> bytes);
  /// Bytes appended so far.
  uint64_t size() const { return size_; }
  /// Overwrites bytes at `offset`, within what was appended. throws kIo
  void overwrite(uint64_t offset, std::span<const std::byte> bytes);
  /// Syncs and renames. Nothing may be written after. throws kIo
  void commit();

 private:
  class Temporary;
  std::filesystem::path target_;
  std::unique_ptr<Temporary> file_;
  uint64_t size_ = 0;
};

/// Throws what write_file_atomically would meet at once, without creating anything.
void require_replaceable(const std::filesystem::path& path);

}  // namespace tintype
