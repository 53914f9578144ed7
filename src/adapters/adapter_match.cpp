#include "adapters/adapter_match.h"

#include <algorithm>
#include <map>
#include <unordered_map>

#include "base/check.h"
#include "base/text.h"

namespace tintype {
namespace {

constexpr size_t kMaxLines = 20;

/// The slots of a component by every name that files use for them.
class SlotNames {
 public:
  explicit SlotNames(const AdapterTarget& target) : target_(target) {
    const std::vector<WeightSlot>& slots = *target.slots;
    for (size_t i = 0; i < slots.size(); ++i) {
      const auto index = static_cast<int64_t>(i);
      by_name_.emplace(module_key(slots[i].path), index);
      if (!slots[i].original_path.empty())
        originals_.emplace(module_key(slots[i].original_path), index);
      names_.push_back(module_key(slots[i].path));
    }
  }

  const AdapterTarget& target() const { return target_; }
  const WeightSlot& slot(int64_t index) const {
    return (*target_.slots)[static_cast<size_t>(index)];
  }
  /// -1: none. `original` says whether the name is the one of single files.
  int64_t find(const std::string& module, bool& original) const {
    original = false;
    if (const auto found = by_name_.find(module); found != by_name_.end()) return found->second;
    original = true;
    const auto found = originals_.find(module);
    return found == originals_.end() ? -1 : found->second;
  }
  const std::vector<std::string>& names() const { return names_; }

 private:
  const AdapterTarget& target_;
  std::unordered_map<std::string, int64_t> by_name_, originals_;
  std::vector<std::string> names_;
};

/// Where one layer of a file belongs.
struct Match {
  const SlotNames* names = nullptr;
  int64_t slot = -1;
  bool original = false;
  const AdapterFile::Layer* layer = nullptr;
};

/// What a cross-attention's key projection tells about the model that an adapter was made for.
std::string family_hint(const AdapterFile& file) {
  for (const auto& [key, layer] : file.layers) {
    const std::string& module = key.second;
    if (module.find("double_blocks") != std::string::npos ||
        module.find("single_transformer_blocks") != std::string::npos)
      return "it looks like one for FLUX";
    if (module.find("joint_blocks") != std::string::npos) return "it looks like one for SD 3";
    if (!module.ends_with("attn2_to_k") || !layer.tensors.has(AdapterTensor::kDown)) continue;
    const Tensor& down = layer.tensors[AdapterTensor::kDown];
    if (down.rank() < 2) continue;
    switch (down.dim(1)) {
      case 768:
        return "it looks like one for SD 1.x (text features 768 wide)";
      case 1024:
        return "it looks like one for SD 2.x (text features 1024 wide)";
      case 1280:
        return "it looks like one for SDXL's refiner (text features 1280 wide)";
      case 2048:
        return "it looks like one for SDXL (text features 2048 wide)";
      default:
        return cat("it was made for text features ", down.dim(1), " wide");
    }
  }
  return {};
}

class Matcher {
 public:
  Matcher(const AdapterFile& file, std::span<const AdapterTarget> targets) : file_(file) {
    for (const AdapterTarget& target : targets) names_.emplace_back(target);
    for (const auto& [key, layer] : file.layers) add(key.first, key.second, layer);
    check();
  }
  const std::vector<Match>& matches() const { return matches_; }

 private:
  void add(const std::string& component, const std::string& module,
           const AdapterFile::Layer& layer) {
    std::vector<Match> found;
    for (const SlotNames& names : names_) {
      if (!component.empty() && names.target().component != component) continue;
      Match match{.names = &names, .layer = &layer};
      match.slot = names.find(module, match.original);
      if (match.slot >= 0) found.push_back(match);
    }
    // Names without a component: two text encoders have the same layers, of different sizes.
    if (found.size() > 1)
      std::erase_if(found, [&](const Match& m) {
        return !layer_fault(layer.tensors, m.names->slot(m.slot).shape).empty();
      });
    if (found.size() != 1) return unmatched(component, module, layer, found.size());
    const Match& match = found.front();
    const WeightSlot& slot = match.names->slot(match.slot);
    const std::string fault = layer_fault(layer.tensors, slot.shape);
    if (!fault.empty())
      faults_.push_back(cat(printable(layer.names.front(), 120), ": ", fault, " (layer ",
                            match.names->target().component, ".", slot.path, ")"));
    else
      keep(match);
  }

  /// Files that name a layer in both layouts: diffusers' name counts.
  void keep(const Match& match) {
    const auto [place, fresh] =
        places_.emplace(std::pair(match.names, match.slot), matches_.size());
    if (fresh) return matches_.push_back(match);
    if (matches_[place->second].original) matches_[place->second] = match;
  }

  void unmatched(const std::string& component, const std::string& module,
                 const AdapterFile::Layer& layer, size_t found) {
    ++unmatched_;
    if (lines_.size() >= kMaxLines) return;
    std::string line = printable(layer.names.front(), 120);
    if (found > 1) line += " fits several networks: its name must say which";
    std::string nearest;
    for (const SlotNames& names : names_) {
      if (found > 1 || !nearest.empty()) break;
      if (!component.empty() && names.target().component != component) continue;
      nearest = nearest_name(module, names.names());
    }
    lines_.push_back(nearest.empty() ? line : cat(line, "; nearest: ", nearest));
  }

  void check() const {
    const size_t unknown = file_.unknown.size();
    if (matches_.empty() && faults_.empty() && unmatched_ == 0 && unknown == 0)
      fail(ErrorKind::kUnsupported, file_.origin,
           "an adapter must change some layer, got no tensor");
    if (unmatched_ == 0 && faults_.empty() && unknown == 0) return;
    std::string report =
        cat("an adapter must fit the model layer for layer, got ", unmatched_,
            " layers that it lacks, ", faults_.size(), " of other shapes and ", unknown,
            " tensors of no known meaning, ", matches_.size(), " layers fit");
    const std::string hint = family_hint(file_);
    if (matches_.size() < unmatched_ + faults_.size() && !hint.empty()) report += "; " + hint;
    const auto list = [&](const char* heading, size_t count, const auto& line) {
      if (count == 0) return;
      report += cat("\n  ", heading, " (", count, "):");
      for (size_t i = 0; i < std::min(count, kMaxLines); ++i) report += "\n    " + line(i);
      if (count > kMaxLines) report += cat("\n    and ", count - kMaxLines, " more");
    };
    list("not in the model", unmatched_, [&](size_t i) { return lines_[i]; });
    list("of another shape", faults_.size(), [&](size_t i) { return faults_[i]; });
    list("not understood", unknown, [&](size_t i) { return printable(file_.unknown[i], 120); });
    fail(ErrorKind::kUnsupported, file_.origin, report);
  }

  const AdapterFile& file_;
  std::vector<SlotNames> names_;
  std::vector<Match> matches_;
  std::map<std::pair<const SlotNames*, int64_t>, size_t> places_;
  std::vector<std::string> faults_, lines_;
  size_t unmatched_ = 0;
};

}  // namespace

std::vector<LayerMatch> match_layers(const AdapterFile& file,
                                     std::span<const AdapterTarget> targets, size_t max_bytes) {
  const Matcher matcher(file, targets);
  std::vector<LayerMatch> matches;
  for (const Match& match : matcher.matches())
    matches.push_back({&match.names->target(), match.slot, match.layer});
  size_t bytes = 0;
  for (const LayerMatch& match : matches)
    bytes += layer_bytes(match.layer->tensors, match.weight_slot().shape);
  if (bytes > max_bytes)
    fail(ErrorKind::kOutOfMemory, file.origin, "an adapter may take ", max_bytes / 1'000'000,
         " MB when packed, this one needs up to ", bytes / 1'000'000, " MB");
  return matches;
}

}  // namespace tintype
