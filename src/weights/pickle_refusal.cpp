#include "weights/pickle_refusal.h"

#include <algorithm>
#include <cctype>
#include <string>
#include <string_view>

#include "base/check.h"
#include "base/text.h"

namespace tintype {

namespace {

/// A pickle opens with its protocol, 0x80 2..5 (older protocols have no mark); a zip archive, the
/// wrapper since PyTorch 1.6, with "PK". Both can also be the length of a safetensors header, whose
/// text then starts at byte 8 with a brace; no pickle or zip has one there.
bool has_pickle_content(std::string_view text) {
  if (text.size() > 8 && text[8] == '{') return false;
  const bool zip = text.starts_with("PK\x03\x04");
  const bool pickle = text.size() > 1 && text[0] == '\x80' && text[1] >= 2 && text[1] <= 5;
  return zip || pickle;
}

}  // namespace

bool has_pickle_suffix(const std::filesystem::path& file) {
  std::string suffix = file.extension().string();
  std::transform(suffix.begin(), suffix.end(), suffix.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return suffix == ".bin" || suffix == ".ckpt" || suffix == ".pt" || suffix == ".pth" ||
         suffix == ".pkl";
}

void fail_pickled(const std::filesystem::path& file) {
  fail(
      ErrorKind::kUnsupported, printable(file.string()),
      "weights must be in a .safetensors file, got a pickled PyTorch file, which can run code when "
      "it is read; convert it with safetensors.torch.save_file(tensors, \"model.safetensors\") or "
      "diffusers' pipeline.save_pretrained(folder, safe_serialization=True), on a machine you can "
      "spare if you do not trust its origin");
}

void refuse_pickle(const std::filesystem::path& file, std::span<const std::byte> bytes) {
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  if (text.starts_with("version https://git-lfs")) {
    fail(ErrorKind::kCorruptFile, printable(file.string()),
         "must hold weights, got a Git LFS pointer; fetch the file itself with `git lfs pull`");
  }
  if (has_pickle_suffix(file) || has_pickle_content(text)) fail_pickled(file);
}

}  // namespace tintype
