#include "weights/key_map.h"

#include <algorithm>
#include <cstring>
#include <optional>
#include <utility>

#include "base/check.h"
#include "base/text.h"
#include "tensor/allocator.h"
#include "weights/find_by_name.h"

namespace tintype {

namespace {

constexpr std::string_view kThirdNames = "qkv";
/// Far above any real index; keeps the arithmetic from overflowing.
constexpr size_t kMaxDigits = 6;

[[noreturn]] void fail_table(std::string_view text, std::string_view reason) {
  fail(ErrorKind::kInternal, "key_map", "rules must follow key_map.h, got \"", text,
       "\": ", reason);
}

std::vector<std::string_view> split(std::string_view name) {
  std::vector<std::string_view> segments;
  while (true) {
    const size_t dot = name.find('.');
    segments.push_back(name.substr(0, dot));
    if (dot == std::string_view::npos) return segments;
    name.remove_prefix(dot + 1);
  }
}

/// A whole number as names write it: digits without leading zeros.
std::optional<int64_t> whole_number(std::string_view text) {
  if (text.empty() || text.size() > kMaxDigits || (text.size() > 1 && text[0] == '0')) return {};
  int64_t value = 0;
  for (const char c : text) {
    if (c < '0' || c > '9') return {};
    value = value * 10 + (c - '0');
  }
  return value;
}

/// Values of names: the map's variables, then what the pattern captured.
using Values = std::vector<KeyVariable>;

const KeyVariable* find_value(const Values& values, std::string_view name) {
  const auto found = std::find_if(values.begin(), values.end(),
                                  [&](const KeyVariable& v) { return v.name == name; });
  return found == values.end() ? nullptr : &*found;
}

/// What a pattern found in a name.
struct Match {
  Values values;
  std::string_view rest;  ///< of `{*}`
};

/// True when `name`, cut into `segments`, fits the pattern; fills `match`, whose values hold the
/// variables before.
bool fits(const std::vector<std::string_view>& pattern, std::string_view name,
          const std::vector<std::string_view>& segments, Match& match) {
  const bool open_end = pattern.back() == "{*}";
  if (open_end ? segments.size() < pattern.size() : segments.size() != pattern.size()) return false;
  const size_t fixed = pattern.size() - (open_end ? 1 : 0);
  for (size_t i = 0; i < fixed; ++i) {
    if (!pattern[i].starts_with('{')) {
      if (pattern[i] != segments[i]) return false;
      continue;
    }
    const std::string_view capture = pattern[i].substr(1, pattern[i].size() - 2);
    const std::optional<int64_t> value = whole_number(segments[i]);
    if (!value) return false;
    if (const KeyVariable* known = find_value(match.values, capture)) {
      if (known->value != *value) return false;
    } else {
      match.values.push_back({capture, *value});
    }
  }
  if (open_end) match.rest = name.substr(static_cast<size_t>(segments[fixed].data() - name.data()));
  return true;
}

/// Whole-number arithmetic with + - * / % and brackets, left to right, in one pass.
class Expression {
 public:
  Expression(std::string_view text, const Values& values) : text_(text), values_(values) {}

  int64_t value() {
    const int64_t result = sum();
    if (at_ != text_.size()) fail_table(text_, "not an expression");
    return result;
  }

 private:
  char next() const { return at_ < text_.size() ? text_[at_] : '\0'; }

  int64_t sum() {
    int64_t result = product();
    while (next() == '+' || next() == '-') {
      const bool plus = text_[at_++] == '+';
      const int64_t operand = product();
      result = plus ? result + operand : result - operand;
    }
    return result;
  }

  int64_t product() {
    int64_t result = term();
    while (next() == '*' || next() == '/' || next() == '%') {
      const char operation = text_[at_++];
      const int64_t operand = term();
      if (operation == '*') {
        result *= operand;
        continue;
      }
      if (operand <= 0) fail_table(text_, "division by a number that is not positive");
      result = operation == '/' ? result / operand : result % operand;
    }
    return result;
  }

  int64_t term() {
    if (next() == '(') {
      ++at_;
      const int64_t result = sum();
      if (next() != ')') fail_table(text_, "a bracket stays open");
      ++at_;
      return result;
    }
    const size_t begin = at_;
    while ((next() >= 'a' && next() <= 'z') || (next() >= '0' && next() <= '9')) ++at_;
    const std::string_view word = text_.substr(begin, at_ - begin);
    if (const std::optional<int64_t> number = whole_number(word)) return *number;
    const KeyVariable* known = find_value(values_, word);
    if (known == nullptr) fail_table(text_, "unknown name");
    return known->value;
  }

  std::string_view text_;
  const Values& values_;
  size_t at_ = 0;
};

/// The template filled in. `third` is the letter that `{qkv}` becomes. Empty when an index comes
/// out negative: then the name is none that the table means.
std::string fill(std::string_view form, const Match& match, char third) {
  std::string text;
  while (true) {
    const size_t open = form.find('{');
    text += form.substr(0, open);
    if (open == std::string_view::npos) return text;
    const size_t close = form.find('}', open);
    if (close == std::string_view::npos) fail_table(form, "a brace stays open");
    const std::string_view inside = form.substr(open + 1, close - open - 1);
    if (inside == "*") {
      text += match.rest;
    } else if (inside == kThirdNames) {
      text += third;
    } else {
      const int64_t value = Expression(inside, match.values).value();
      if (value < 0) return {};
      text += std::to_string(value);
    }
    form.remove_prefix(close + 1);
  }
}

/// Bytes of a matrix, turned. Once per load and tensor, so plain loops do.
Tensor transposed(const Tensor& x) {
  const int64_t rows = x.dim(0), columns = x.dim(1);
  const size_t size = size_of(x.dtype());
  Tensor out = empty_host(Shape{columns, rows}, x.dtype());
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t c = 0; c < columns; ++c) {
      std::memcpy(out.mutable_bytes() + static_cast<size_t>(c * rows + r) * size,
                  x.bytes() + static_cast<size_t>(r * columns + c) * size, size);
    }
  }
  return out;
}

/// A tensor's name in the file, safe to print.
std::string shown(const TensorSource::Entry& entry) {
  return printable(entry.file_name.empty() ? entry.name : entry.file_name, 120);
}

/// Where one tensor of a MappedSource comes from.
struct Origin {
  const TensorSource::Entry* entry = nullptr;
  KeyTransform transform = KeyTransform::kNone;
  int64_t third = 0;  ///< 0, 1, 2 with kRowThirds
};

class MappedSource final : public TensorSource {
 public:
  MappedSource(std::shared_ptr<const TensorSource> source, const KeyMap& map)
      : source_(std::move(source)), map_(&map) {
    for (const KeyRule& rule : map.rules) patterns_.push_back(split(rule.from));
    for (const Entry& entry : source_->entries()) add(entry);
    for (const Unreadable& other : source_->unreadable()) add(other);
    sort();
    map_ = nullptr;
    patterns_.clear();
  }

  std::span<const Entry> entries() const override { return entries_; }
  std::span<const Unreadable> unreadable() const override { return unreadable_; }
  const std::string& origin() const override { return source_->origin(); }

  Tensor read(const Entry& entry) const override {
    const Entry* own = find_by_name(entries(), entry.name);
    if (own == nullptr) {
      fail(ErrorKind::kInternal, origin(), "read() must get one of entries(), got '",
           printable(entry.name), "'");
    }
    const Origin& from = origins_[static_cast<size_t>(own - entries_.data())];
    const Tensor whole = source_->read(*from.entry);
    switch (from.transform) {
      case KeyTransform::kNone:
        return whole;
      case KeyTransform::kMatrix:
        return whole.reshape(own->shape);
      case KeyTransform::kTranspose:
        return transposed(whole);
      case KeyTransform::kRowThirds:
        return whole.slice(from.third * own->shape[0], (from.third + 1) * own->shape[0]);
    }
    return whole;
  }

 private:
  /// The first rule that fits `name` (without the prefix), or null.
  const KeyRule* find_rule(std::string_view name, Match& match) const {
    const std::vector<std::string_view> segments = split(name);
    for (size_t i = 0; i < patterns_.size(); ++i) {
      const std::string_view first = patterns_[i].front();
      if (first != segments.front() && !first.starts_with('{')) continue;  // most rules, cheaply
      match.values = map_->variables;
      if (fits(patterns_[i], name, segments, match)) return &map_->rules[i];
    }
    return nullptr;
  }

  /// The name without the prefix; unset when it lacks it.
  std::optional<std::string_view> own_part(const std::string& name) const {
    if (!name.starts_with(map_->prefix) || name.size() == map_->prefix.size()) return {};
    return std::string_view(name).substr(map_->prefix.size());
  }

  void add(const Entry& entry) {
    const auto name = own_part(entry.name);
    if (!name) return;
    Match match;
    const KeyRule* rule = find_rule(*name, match);
    if (rule == nullptr) return push(entry, std::string(*name), {&entry}, entry.shape);
    if (rule->to.empty()) return;
    const int64_t parts = rule->transform == KeyTransform::kRowThirds ? 3 : 1;
    for (int64_t i = 0; i < parts; ++i) {
      std::string target = fill(rule->to, match, kThirdNames[static_cast<size_t>(i)]);
      if (target.empty()) return push(entry, std::string(*name), {&entry}, entry.shape);
      push(entry, std::move(target), {&entry, rule->transform, i},
           shape_after(rule->transform, entry));
    }
  }

  void add(const Unreadable& other) {
    const auto name = own_part(other.name);
    if (!name) return;
    Match match;
    const KeyRule* rule = find_rule(*name, match);
    std::string target(*name);
    if (rule != nullptr) {
      if (rule->to.empty()) return;
      target = fill(rule->to, match, kThirdNames[0]);
      if (target.empty()) target = *name;
    }
    unreadable_.push_back({std::move(target), other.dtype, other.name});
  }

  Shape shape_after(KeyTransform transform, const Entry& entry) const {
    const Shape& shape = entry.shape;
    const auto require = [&](bool condition, std::string_view expectation) {
      if (!condition) {
        fail(ErrorKind::kCorruptFile, origin(), "'", printable(entry.name, 120), "' must ",
             expectation, ", got ", shape);
      }
    };
    switch (transform) {
      case KeyTransform::kNone:
        return shape;
      case KeyTransform::kMatrix:
        require(shape.rank() == 2 || (shape.rank() == 4 && shape[2] == 1 && shape[3] == 1),
                "be a matrix or a 1x1 convolution");
        return Shape{shape[0], shape[1]};
      case KeyTransform::kTranspose:
        require(shape.rank() == 2, "be a matrix");
        return Shape{shape[1], shape[0]};
      case KeyTransform::kRowThirds:
        require(shape.rank() >= 1 && shape[0] % 3 == 0,
                "hold query, key and value in equal thirds");
        return shape.with(0, shape[0] / 3);
    }
    return shape;
  }

  void push(const Entry& from, std::string name, const Origin& origin, const Shape& shape) {
    Entry entry{.name = std::move(name), .dtype = from.dtype, .shape = shape};
    entry.stored = from.stored;
    entry.stored_bytes =
        origin.transform == KeyTransform::kRowThirds ? from.stored_bytes / 3 : from.stored_bytes;
    entry.file_name = from.file_name;
    if (entry.file_name.empty() && from.name != entry.name) entry.file_name = from.name;
    entries_.push_back(std::move(entry));
    origins_.push_back(origin);
  }

  /// Orders both lists by the new names and refuses doubles.
  void sort() {
    std::vector<size_t> order(entries_.size());
    for (size_t i = 0; i < order.size(); ++i) order[i] = i;
    std::sort(order.begin(), order.end(),
              [&](size_t a, size_t b) { return entries_[a].name < entries_[b].name; });
    std::vector<Entry> entries;
    std::vector<Origin> origins;
    for (const size_t i : order) {
      if (!entries.empty() && entries.back().name == entries_[i].name) {
        fail(ErrorKind::kCorruptFile, origin(), "each weight must be there once, got '",
             shown(entries.back()), "' and '", shown(entries_[i]), "' for ",
             printable(entries_[i].name, 120));
      }
      entries.push_back(std::move(entries_[i]));
      origins.push_back(origins_[i]);
    }
    entries_ = std::move(entries);
    origins_ = std::move(origins);
    std::sort(unreadable_.begin(), unreadable_.end(),
              [](const Unreadable& a, const Unreadable& b) { return a.name < b.name; });
  }

  std::shared_ptr<const TensorSource> source_;
  const KeyMap* map_;                                    ///< during construction
  std::vector<std::vector<std::string_view>> patterns_;  ///< of map_'s rules, cut at the dots
  std::vector<Entry> entries_;
  std::vector<Origin> origins_;  ///< of entries_[i]
  std::vector<Unreadable> unreadable_;
};

}  // namespace

std::shared_ptr<const TensorSource> map_keys(std::shared_ptr<const TensorSource> source,
                                             const KeyMap& map) {
  TT_REQUIRE(source != nullptr, "key_map", "must have a source, got none");
  return std::make_shared<MappedSource>(std::move(source), map);
}

}  // namespace tintype
