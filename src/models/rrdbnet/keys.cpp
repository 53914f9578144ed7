/// The three namings of RRDBNet's tensors: Real-ESRGAN's (body.0.rdb1.conv1), ESRGAN's
/// (RRDB_trunk.0.RDB1.conv1), and that of its first release (model.1.sub.0.RDB1.conv1.0), whose
/// numbers count the layers of one sequence.
#include <array>

#include "base/check.h"
#include "models/rrdbnet/rrdbnet.h"
#include "weights/key_map.h"
#include "weights/named_shapes.h"
#include "weights/safetensors.h"

namespace tintype {
namespace {

constexpr int64_t kMaxBlocks = 128, kMaxChannels = 1024, kMaxDoublings = 3;

/// Files made from training checkpoints keep the name of the set of weights.
std::string prefix_of(const TensorSource& source) {
  for (const char* prefix : {"params_ema.", "params."})
    if (NamedShapes(source).any_below(prefix)) return prefix;
  return "";
}

/// Rules from one naming to Real-ESRGAN's; they own their text.
class Renaming {
 public:
  void add(std::string from, std::string to) { texts_.emplace_back(from + ".{*}", to + ".{*}"); }

  std::shared_ptr<const TensorSource> apply(const std::shared_ptr<const TensorSource>& source,
                                            const std::string& prefix) const {
    std::vector<KeyRule> rules;
    for (const auto& [from, to] : texts_) rules.push_back({from, to});
    return map_keys(source, {.prefix = prefix, .rules = rules});
  }

 private:
  std::vector<std::pair<std::string, std::string>> texts_;
};

/// Every convolution of every dense block; `end` follows the convolution's name.
void add_dense(Renaming& names, const std::string& blocks, const std::string& end) {
  for (int dense = 1; dense <= 3; ++dense)
    for (int conv = 1; conv <= 5; ++conv)
      names.add(cat(blocks, ".{i}.RDB", dense, ".conv", conv, end),
                cat("body.{i}.rdb", dense, ".conv", conv));
}

Renaming from_trunk() {
  Renaming names;
  add_dense(names, "RRDB_trunk", "");
  names.add("trunk_conv", "conv_body");
  for (int i = 1; i <= kMaxDoublings; ++i) names.add(cat("upconv", i), cat("conv_up", i));
  names.add("HRconv", "conv_hr");
  return names;
}

/// The sequence is conv_first, the trunk, for each doubling (resize, convolution, activation), then
/// conv_hr, activation, conv_last.
Renaming from_sequence(const NamedShapes& names_in_file) {
  int64_t doublings = 0;
  while (doublings <= kMaxDoublings &&
         !names_in_file.has(cat("model.", 3 * doublings + 4, ".weight")))
    ++doublings;
  // Of two that fit, the later one ends the sequence.
  while (names_in_file.has(cat("model.", 3 * doublings + 7, ".weight"))) ++doublings;
  int64_t blocks = 0;
  while (blocks <= kMaxBlocks &&
         names_in_file.has(cat("model.1.sub.", blocks, ".RDB1.conv1.0.weight")))
    ++blocks;
  Renaming names;
  names.add("model.0", "conv_first");
  add_dense(names, "model.1.sub", ".0");
  names.add(cat("model.1.sub.", blocks), "conv_body");
  for (int64_t i = 1; i <= doublings; ++i) names.add(cat("model.", 3 * i), cat("conv_up", i));
  names.add(cat("model.", 3 * doublings + 2), "conv_hr");
  names.add(cat("model.", 3 * doublings + 4), "conv_last");
  return names;
}

std::shared_ptr<const TensorSource> renamed(const std::shared_ptr<const TensorSource>& source) {
  const std::string prefix = prefix_of(*source);
  const NamedShapes names(*source, prefix);
  if (names.any_below("model.1.sub.")) return from_sequence(names).apply(source, prefix);
  if (names.any_below("RRDB_trunk.")) return from_trunk().apply(source, prefix);
  if (!names.any_below("body.0.rdb1."))
    fail(
        ErrorKind::kUnsupported, source->origin(),
        "must hold an upscaler of the ESRGAN family (body.0.rdb1.conv1, RRDB_trunk.0.RDB1.conv1 or "
        "model.1.sub.0.RDB1.conv1.0), got none of these names; SwinIR, DAT and other families are "
        "not read");
  return Renaming().apply(source, prefix);
}

int64_t bounded(const TensorSource& source, const char* what, int64_t value, int64_t most) {
  if (value < 1 || value > most)
    fail(ErrorKind::kUnsupported, source.origin(), what, " must be in 1..", most, ", got ", value);
  return value;
}

}  // namespace

RrdbNetFile describe_rrdbnet(std::shared_ptr<const TensorSource> given) {
  RrdbNetFile file{.config = {}, .source = renamed(given)};
  const NamedShapes names(*file.source);
  RrdbNetConfig& c = file.config;
  const int64_t inputs = names.extent("conv_first.weight", 1, 4);
  if (inputs != 3 && inputs != 12 && inputs != 48)
    fail(ErrorKind::kUnsupported, given->origin(),
         "the first convolution must take 3 channels, or 12 or 48 of pixels side by side, got ",
         inputs);
  c.unshuffle = inputs == 3 ? 1 : inputs == 12 ? 2 : 4;
  c.features = bounded(*given, "features", names.extent("conv_first.weight", 0, 4), kMaxChannels);
  c.growth =
      bounded(*given, "growth", names.extent("body.0.rdb1.conv1.weight", 0, 4), kMaxChannels);
  c.blocks = bounded(*given, "blocks", names.count("body."), kMaxBlocks);
  c.doublings = 0;
  while (c.doublings < kMaxDoublings && names.has(cat("conv_up", c.doublings + 1, ".weight")))
    ++c.doublings;
  if ((int64_t{1} << c.doublings) < c.unshuffle)
    fail(ErrorKind::kUnsupported, given->origin(), "must not make pictures smaller, it takes ",
         c.unshuffle, " pixels together and doubles ", c.doublings, " times");
  return file;
}

std::unique_ptr<UpscalingNetwork> load_upscaler(std::shared_ptr<const TensorSource> source,
                                                Device device) {
  const RrdbNetFile file = describe_rrdbnet(std::move(source));
  WeightLoader loader("upscaler", file.source, device);
  auto network = std::make_unique<RrdbNet>(loader.root(), file.config);
  loader.finish();
  return network;
}

std::unique_ptr<UpscalingNetwork> load_upscaler(const std::filesystem::path& file, Device device) {
  return load_upscaler(open_safetensors(file), device);
}

}  // namespace tintype
