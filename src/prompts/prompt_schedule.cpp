#include "prompts/prompt_schedule.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "prompts/number_text.h"

namespace tintype {

EditedPrompt::EditedPrompt(std::string_view text, int steps) : steps_(std::max(steps, 1)) {
  constexpr std::string_view kSyntax = "\\()[]:|";
  for (size_t i = 0; i < text.size();) {
    const char c = text[i];
    if (kSyntax.find(c) == std::string_view::npos || c == '\\') {
      // A run of text; an escaped character never counts as syntax.
      size_t end = i;
      while (end < text.size() &&
             (text[end] == '\\' || kSyntax.find(text[end]) == std::string_view::npos))
        end += text[end] == '\\' ? 2 : 1;
      end = std::min(end, text.size());
      append(current(), {.text = text.substr(i, end - i)});
      i = end;
      continue;
    }
    const std::string_view token = text.substr(i++, 1);
    if (c == '(' || c == '[')
      frames_.push_back({.opener = token, .parts = {List{}}, .separators = {}});
    else if (c == ')' || c == ']')
      close(token);
    else
      separate(token);
  }
  abandon_frames();
}

EditedPrompt::List& EditedPrompt::current() {
  return frames_.empty() ? root_ : frames_.back().parts.back();
}

void EditedPrompt::append(List& list, Item item) {
  const size_t index = items_.size();
  items_.push_back(item);
  join(list, {index, index});
}

void EditedPrompt::join(List& list, List more) {
  if (more.head == kNone) return;
  if (list.head == kNone)
    list.head = more.head;
  else
    items_[list.tail].next = more.head;
  list.tail = more.tail;
}

/// Parts [begin, end) with the separators between them.
void EditedPrompt::join_parts(const Frame& frame, size_t begin, size_t end, List& list) {
  for (size_t k = begin; k < end; ++k) {
    if (k > begin) append(list, {.text = frame.separators[k - 1]});
    join(list, frame.parts[k]);
  }
}

/// A bracket that turned out to be text.
void EditedPrompt::flatten(const Frame& frame, List& list) {
  append(list, {.text = frame.opener});
  join_parts(frame, 0, frame.parts.size(), list);
}

/// A bracket without its partner makes text of all brackets around it, as in the reference, whose
/// grammar has stray brackets at the top level only.
void EditedPrompt::abandon_frames() {
  const std::vector<Frame> frames = std::exchange(frames_, {});
  for (const Frame& frame : frames) flatten(frame, root_);
}

void EditedPrompt::separate(std::string_view separator) {
  if (frames_.empty() || frames_.back().opener == "(")
    return append(current(), {.text = separator});
  frames_.back().separators.push_back(separator);
  frames_.back().parts.emplace_back();
}

void EditedPrompt::close(std::string_view closer) {
  const bool matches = !frames_.empty() && (frames_.back().opener == "(") == (closer == ")");
  if (!matches) {
    abandon_frames();
    return append(root_, {.text = closer});
  }
  Frame frame = std::move(frames_.back());
  frames_.pop_back();
  if (frame.opener == "[" && !frame.separators.empty()) {
    if (close_square(frame)) return;
    abandon_frames();  // [a:b]: stray brackets
  }
  flatten(frame, current());  // a weight's brackets
  append(current(), {.text = closer});
}

/// Makes a group of an edit or an alternation. False: it is neither.
bool EditedPrompt::close_square(Frame& frame) {
  const auto is_colon = [](std::string_view separator) { return separator == ":"; };
  const auto colons = std::count_if(frame.separators.begin(), frame.separators.end(), is_colon);
  Group group;
  if (colons == 0) {
    group.alternates = true;
    group.options = std::move(frame.parts);
  } else {
    const std::optional<int> when = step_number(frame.parts.back());
    if (!when || colons > 2 || !is_colon(frame.separators.back())) return false;
    group.when = *when;
    // [from:to:when], [to:when]; a '|' inside is text.
    const size_t last = frame.parts.size() - 1;
    size_t after_begin = 0;
    if (colons == 2) {
      after_begin = static_cast<size_t>(
          std::find_if(frame.separators.begin(), frame.separators.end(), is_colon) -
          frame.separators.begin() + 1);
    }
    group.options.resize(2);
    join_parts(frame, 0, after_begin, group.options[0]);
    join_parts(frame, after_begin, last, group.options[1]);
  }
  groups_.push_back(std::move(group));
  append(current(), {.text = {}, .group = groups_.size() - 1});
  return true;
}

std::optional<int> EditedPrompt::step_number(const List& list) const {
  if (list.head == kNone || list.head != list.tail || items_[list.head].group != kNone) return {};
  const std::string_view text = items_[list.head].text;
  std::optional<double> number = parse_number_text(text);
  if (!number) return {};
  if (text.find('.') != std::string_view::npos) *number *= steps_;
  return static_cast<int>(std::clamp(std::trunc(*number), 0.0, static_cast<double>(steps_)));
}

std::vector<int> EditedPrompt::boundaries() const {
  std::vector<int> steps = {steps_};
  bool alternates = false;
  for (const Group& group : groups_) {
    alternates |= group.alternates;
    if (!group.alternates && group.when >= 1) steps.push_back(group.when);
  }
  if (alternates) {
    steps.clear();
    for (int step = 1; step <= steps_; ++step) steps.push_back(step);
  }
  std::sort(steps.begin(), steps.end());
  steps.erase(std::unique(steps.begin(), steps.end()), steps.end());
  return steps;
}

std::string EditedPrompt::at(int step) const {
  std::string text;
  std::vector<size_t> pending = {root_.head};  // not recursion: brackets nest as deep as they like
  while (!pending.empty()) {
    const size_t index = pending.back();
    pending.pop_back();
    if (index == kNone) continue;
    const Item& item = items_[index];
    text += item.text;
    pending.push_back(item.next);
    if (item.group == kNone) continue;
    const Group& group = groups_[item.group];
    const size_t option = group.alternates ? static_cast<size_t>(step - 1) % group.options.size()
                                           : static_cast<size_t>(step > group.when);
    pending.push_back(group.options[option].head);
  }
  return text;
}

}  // namespace tintype
