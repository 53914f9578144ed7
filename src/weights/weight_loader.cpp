#include <algorithm>
#include <string>
#include <unordered_set>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/text.h"
#include "weights/find_by_name.h"
#include "weights/weights.h"

namespace tintype {

namespace {

constexpr size_t kMaxLinesPerCategory = 20;
/// Edit distances are quadratic; a hostile file may bring millions of names.
constexpr size_t kMaxNearestCandidates = 4096;

bool is_float(DType dtype) {
  return dtype == DType::kF32 || dtype == DType::kF16 || dtype == DType::kBF16;
}

/// "[4,3] or [4,3,1,1]"
std::string join_shapes(std::span<const Shape> shapes) {
  std::string text;
  for (const Shape& shape : shapes) text += cat(text.empty() ? "" : " or ", shape);
  return text;
}

/// ", in the file <name>" for a tensor that bears another name there; else nothing.
std::string in_file(const std::string& file_name) {
  return file_name.empty() ? std::string() : cat(", in the file ", printable(file_name, 120));
}

/// One category of the report: a heading, then at most kMaxLinesPerCategory lines.
template <typename Line>
std::string category(std::string_view heading, size_t count, const Line& line) {
  if (count == 0) return {};
  std::string text = cat("\n  ", heading, " (", count, "):");
  for (size_t i = 0; i < std::min(count, kMaxLinesPerCategory); ++i) text += "\n    " + line(i);
  if (count > kMaxLinesPerCategory) {
    text += cat("\n    and ", count - kMaxLinesPerCategory, " more");
  }
  return text;
}

}  // namespace

struct WeightLoader::State {
  struct Gap {
    std::string name;
    std::string shape;  ///< expected
  };
  /// A tensor of the file that nobody asked for.
  struct Leftover {
    std::string name;
    std::string description;  ///< "f16 [320,4,3,3]"
  };

  std::string component;
  std::shared_ptr<const TensorSource> source;
  Device device;
  PrecisionPlan plan;
  std::unordered_set<std::string> requested;
  std::unordered_set<std::string> ignored;
  std::vector<Gap> gaps;
  std::vector<std::string> mismatches;  ///< finished lines
  size_t taken = 0;                     ///< good ones
  PackingCount* packing = nullptr;
  PackedSink* sink = nullptr;
  std::vector<WeightSlot> slots;

  /// Notes that `name` is asked for. throws kInternal: for the second time
  void request(const std::string& name);
  Tensor take(const std::string& name, std::span<const Shape> expected);
  std::vector<Leftover> leftovers() const;
};

void WeightLoader::State::request(const std::string& name) {
  if (!requested.insert(name).second) {
    fail(ErrorKind::kInternal, component, "each tensor must be taken once, got '", printable(name),
         "' asked for twice");
  }
}

Tensor WeightLoader::State::take(const std::string& name, std::span<const Shape> expected) {
  request(name);
  const std::string shown = printable(name, 120);
  const TensorSource::Entry* entry = find_by_name(source->entries(), name);
  if (entry == nullptr) {
    if (const auto* other = find_by_name(source->unreadable(), name)) {
      mismatches.push_back(
          cat(shown, " must be f32, f16 or bf16, got ", other->dtype, in_file(other->file_name)));
    } else {
      gaps.push_back({name, join_shapes(expected)});
    }
    return {};
  }
  if (entry->packed) {
    mismatches.push_back(cat(shown, " must be a plain tensor, got it packed"));
    return {};
  }
  if (!is_float(entry->dtype)) {
    mismatches.push_back(cat(shown, " must be f32, f16 or bf16, got ", entry->dtype));
    return {};
  }
  if (std::find(expected.begin(), expected.end(), entry->shape) == expected.end()) {
    mismatches.push_back(cat(shown, " must be ", join_shapes(expected), ", got ", entry->shape,
                             in_file(entry->file_name)));
    return {};
  }
  ++taken;
  return source->read(*entry);
}

std::vector<WeightLoader::State::Leftover> WeightLoader::State::leftovers() const {
  std::vector<Leftover> result;
  const auto unwanted = [&](const std::string& name) {
    return !requested.contains(name) && !ignored.contains(name);
  };
  for (const auto& entry : source->entries()) {
    if (!unwanted(entry.name)) continue;
    const std::string type = entry.stored.empty() ? cat(entry.dtype) : std::string(entry.stored);
    result.push_back({entry.name, cat(type, " ", entry.shape, in_file(entry.file_name))});
  }
  for (const auto& other : source->unreadable()) {
    if (unwanted(other.name)) {
      result.push_back({other.name, cat(other.dtype, in_file(other.file_name))});
    }
  }
  return result;
}

WeightLoader::WeightLoader(std::string component, std::shared_ptr<const TensorSource> source,
                           Device device, PrecisionPlan plan)
    : state_(std::make_unique<State>()) {
  TT_REQUIRE(source != nullptr, component, "loader must have a source, got none");
  state_->component = std::move(component);
  state_->source = std::move(source);
  state_->device = device;
  state_->plan = std::move(plan);
}

WeightLoader::~WeightLoader() = default;

void WeightLoader::record(PackedSink& sink) { state_->sink = &sink; }

WeightScope WeightLoader::root() { return WeightScope(*state_, ""); }

void WeightLoader::ignore(std::string_view name) { state_->ignored.emplace(name); }

void WeightLoader::count_packing(PackingCount& count) { state_->packing = &count; }

void WeightLoader::finish() {
  const State& state = *state_;
  const std::vector<State::Leftover> leftovers = state.leftovers();
  if (state.gaps.empty() && state.mismatches.empty() && leftovers.empty()) return;

  std::vector<std::string> candidates;
  for (const auto& leftover : leftovers) {
    if (candidates.size() < kMaxNearestCandidates) candidates.push_back(leftover.name);
  }
  std::string report =
      cat("weights must match the model tensor for tensor, got ", state.gaps.size(), " missing, ",
          state.mismatches.size(), " of another form and ", leftovers.size(), " left over in ",
          state.source->origin());
  if (state.taken == 0) {
    report += "; no tensor fits, so the file probably belongs to another model or layout";
  } else if (!state.mismatches.empty()) {
    report += "; probably the config belongs to other weights";
  }
  report += category("missing", state.gaps.size(), [&](size_t i) {
    const State::Gap& gap = state.gaps[i];
    const std::string nearest = nearest_name(gap.name, candidates);
    return cat(printable(gap.name, 120), " ", gap.shape,
               nearest.empty() ? "" : "; nearest left over: " + printable(nearest, 120));
  });
  report += category("of another form", state.mismatches.size(),
                     [&](size_t i) { return state.mismatches[i]; });
  report += category("left over", leftovers.size(), [&](size_t i) {
    return cat(printable(leftovers[i].name, 120), " ", leftovers[i].description);
  });
  fail(ErrorKind::kCorruptFile, state.component, report);
}

WeightScope WeightScope::operator/(std::string_view child) const {
  return WeightScope(*state_, path_.empty() ? std::string(child) : cat(path_, ".", child));
}

WeightScope WeightScope::operator/(int64_t index) const {
  return *this / std::string_view(std::to_string(index));
}

int64_t WeightScope::add_slot(const Shape& shape, WeightFormat format) const {
  state_->slots.push_back({.path = path_, .shape = shape, .format = format});
  return static_cast<int64_t>(state_->slots.size()) - 1;
}

const std::vector<WeightSlot>& WeightScope::slots() const { return state_->slots; }

Tensor WeightScope::take(std::string_view name, const Shape& expected) const {
  return take(name, std::span(&expected, 1));
}

Tensor WeightScope::take(std::string_view name, std::span<const Shape> expected) const {
  return state_->take((*this / name).path(), expected);
}

std::optional<PackedParts> WeightScope::take_packed(std::string_view name,
                                                    const Shape& expected) const {
  const std::string path = (*this / name).path();
  state_->request(path);
  const TensorSource::Entry* entry = find_by_name(state_->source->entries(), path);
  if (entry == nullptr || !entry->packed)
    fail(ErrorKind::kInternal, state_->component, "'", printable(path), "' must be packed");
  if (entry->shape != expected) {
    state_->mismatches.push_back(
        cat(printable(path, 120), " must be ", expected, ", got ", entry->shape));
    return std::nullopt;
  }
  ++state_->taken;
  return state_->source->read_packed(*entry);
}

bool WeightScope::packed(std::string_view name) const {
  const auto* entry = find_by_name(state_->source->entries(), (*this / name).path());
  return entry != nullptr && entry->packed;
}

bool WeightScope::has(std::string_view name) const {
  const std::string path = (*this / name).path();
  return find_by_name(state_->source->entries(), path) != nullptr ||
         find_by_name(state_->source->unreadable(), path) != nullptr;
}

Device WeightScope::device() const { return state_->device; }

WeightFormat WeightScope::format() const {
  const WeightFormat format = state_->plan.format_for(path_);
  if (!state_->packing) return format;
  const auto* weight = find_by_name(state_->source->entries(), (*this / "weight").path());
  if (!weight) return format;  // asked for the arithmetic of a part without a weight of its own
  const uint64_t parameters = static_cast<uint64_t>(weight->shape.numel());
  PackingCount& count = *state_->packing;
  ++(format == WeightFormat::kInt8 ? count.int8_layers : count.stored_layers);
  (format == WeightFormat::kInt8 ? count.int8_parameters : count.stored_parameters) += parameters;
  return format;
}

bool WeightScope::stays_mapped() const { return state_->source->stays_mapped(); }

PackedSink* WeightScope::sink() const { return state_->sink; }

PackedParts TensorSource::read_packed(const Entry& entry) const {
  fail(ErrorKind::kInternal, origin(), "holds no packed weights, was asked for '",
       printable(entry.name), "'");
}

namespace {

/// "*" in the pattern stands for any text, also none.
bool matches(std::string_view pattern, std::string_view text) {
  const size_t star = pattern.find('*');
  if (star == std::string_view::npos) return pattern == text;
  if (!text.starts_with(pattern.substr(0, star))) return false;
  const std::string_view rest = pattern.substr(star + 1);
  for (size_t i = star; i <= text.size(); ++i)
    if (matches(rest, text.substr(i))) return true;
  return false;
}

}  // namespace

WeightFormat PrecisionPlan::format_for(std::string_view path) const {
  for (const Rule& rule : rules)
    if (matches(rule.pattern, path)) return rule.format;
  return WeightFormat::kStored;
}

SourceSummary summarize(const TensorSource& source) {
  struct Share {
    std::string_view type;
    uint64_t bytes = 0;
  };
  std::vector<Share> shares;
  SourceSummary summary;
  for (const auto& entry : source.entries()) {
    const auto elements = static_cast<uint64_t>(entry.shape.numel());
    const bool widened = !entry.stored.empty();
    const uint64_t bytes = widened ? entry.stored_bytes : elements * size_of(entry.dtype);
    const std::string_view type = widened ? entry.stored : to_string(entry.dtype);
    summary.parameters += elements;
    summary.bytes += bytes;
    auto share =
        std::find_if(shares.begin(), shares.end(), [&](const Share& s) { return s.type == type; });
    if (share == shares.end()) share = shares.insert(shares.end(), {type, 0});
    share->bytes += bytes;
  }
  std::stable_sort(shares.begin(), shares.end(),
                   [](const Share& a, const Share& b) { return a.bytes > b.bytes; });
  for (const Share& share : shares) {
    summary.storage += cat(summary.storage.empty() ? "" : "+", share.type);
  }
  return summary;
}

}  // namespace tintype
