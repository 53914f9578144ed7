/// Read-only file maps, so that weights are read in place and their pages can be given back. Knows
/// no format. Thread-safety: immutable after construction; every method may be called anywhere.
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>

#include "base/file_handle.h"

namespace tintype {

/// Move-only map of one whole file, private and read-only.
///
/// A file that another process truncates while it is mapped makes the kernel raise SIGBUS on
/// access; require_unchanged() narrows that window to the time between check and access, which is
/// as far as a library can go without taking over the process's signals.
class MappedFile {
 public:
  /// Whether the pages are read front to back and done with, or over and over.
  enum class Use { kOnce, kOften };
  /// throws kNotFound; kIo; kCorruptFile when it is empty or not a regular file
  explicit MappedFile(const std::filesystem::path& path, Use use = Use::kOnce);
  ~MappedFile();
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;

  std::span<const std::byte> bytes() const { return {data_, size_}; }
  const std::filesystem::path& path() const { return file_.path(); }

  /// throws kIo when the file is shorter than when it was mapped
  void require_unchanged() const;

  /// Gives the whole pages inside `range` (part of bytes()) back to the system. They are read again
  /// from the file when touched later, so this is never wrong, only slow when called too early.
  void release(std::span<const std::byte> range) const noexcept;

 private:
  FileHandle file_;
  const std::byte* data_ = nullptr;
  size_t size_ = 0;
};

}  // namespace tintype
