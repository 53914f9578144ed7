/// Opening regular files for reading: one descriptor, one owner. No mapping (base/mmap.h) and no
/// formats. A handle belongs to one thread; reading its size is safe anywhere.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>

namespace tintype {

/// Move-only owner of a descriptor opened read-only on a regular file. Folders, pipes and devices
/// are refused, so that a hostile path can neither block nor yield endless bytes.
class FileHandle {
 public:
  /// throws kNotFound; kIo with the system's reason; kCorruptFile when it is not a regular file
  explicit FileHandle(const std::filesystem::path& path);
  ~FileHandle();
  FileHandle(FileHandle&& other) noexcept;
  FileHandle& operator=(FileHandle&& other) noexcept;

  int descriptor() const { return descriptor_; }
  /// Size in bytes now: a file may change under its reader. throws kIo
  uint64_t size() const;
  /// Fills `out` from byte `offset` on, or less at the end of the file. throws kIo
  /// returns the number of bytes read
  size_t read_at(uint64_t offset, std::span<std::byte> out) const;
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
  int descriptor_ = -1;
};

}  // namespace tintype
