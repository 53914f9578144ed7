/// Writing a file whole or not at all, and asking beforehand whether that can work. Knows nothing
/// about pictures.
/// Thread-safety: no state; two writers of one path leave the file of the one that ends last.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>

namespace tintype {

/// Replaces `path` with `bytes`: a temporary file in the same folder is written, synced and renamed
/// over it, and removed on any failure. An existing file keeps its permission bits; a symbolic link
/// stays a link, its target is replaced.
/// throws kInvalidArgument: empty path; kIo with the system's reason
void write_file_atomically(const std::filesystem::path& path, std::span<const uint8_t> bytes);

/// Throws what write_file_atomically would meet at once, without creating anything.
void require_replaceable(const std::filesystem::path& path);

}  // namespace tintype
