/// Recognising weights in Python's pickle format, by name and by content. Reading one runs code
/// from the file, so none is ever opened further. Pure functions.
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>

namespace tintype {

/// True for the suffixes that pickled checkpoints use (.bin, .ckpt, .pt, .pth, .pkl).
bool has_pickle_suffix(const std::filesystem::path& file);

/// throws kUnsupported with a hint how to convert: `file` is pickled by its suffix or by `bytes`,
/// its content. kCorruptFile: `bytes` is the stand-in that version control keeps for a large file
void refuse_pickle(const std::filesystem::path& file, std::span<const std::byte> bytes);

/// The refusal itself. throws kUnsupported
[[noreturn]] void fail_pickled(const std::filesystem::path& file);

}  // namespace tintype
