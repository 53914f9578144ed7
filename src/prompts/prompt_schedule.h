/// Prompt editing and alternation alone: which text holds at which step. Weights stay written in
/// the text. Immutable after construction; borrows the prompt's text. Never throws on text.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace tintype {

/// A prompt with every [from:to:when], [to:when], [from::when] and [a|b] found, to be asked for the
/// text of a step. Brackets that are none of these are text, as in AUTOMATIC1111's
/// modules/prompt_parser.py, whose published cases are the tests' table.
class EditedPrompt {
 public:
  /// `when` of at least one step, an absolute number or, written with a point, a fraction of
  /// `steps`; both rounded down.
  EditedPrompt(std::string_view text, int steps);

  /// The last steps (1-based) of the stretches over which the text cannot change; ends with
  /// `steps`.
  std::vector<int> boundaries() const;
  /// The text of step 1..steps.
  std::string at(int step) const;

 private:
  static constexpr size_t kNone = static_cast<size_t>(-1);
  struct Item {
    std::string_view text;
    size_t group = kNone;  ///< kNone: plain text
    size_t next = kNone;
  };
  /// Linked through Item::next, so that joining is cheap at any nesting.
  struct List {
    size_t head = kNone, tail = kNone;
  };
  struct Group {
    std::vector<List> options;  ///< edit: before, after; alternation: one a step, in turn
    int when = 0;               ///< edit: last step of `before`
    bool alternates = false;
  };
  /// An open bracket, with what came since, cut at ':' and '|' when it is a square one.
  struct Frame {
    std::string_view opener;
    std::vector<List> parts;
    std::vector<std::string_view> separators;
  };

  List& current();
  void append(List& list, Item item);
  void join(List& list, List more);
  void join_parts(const Frame& frame, size_t begin, size_t end, List& list);
  void flatten(const Frame& frame, List& list);
  void abandon_frames();
  void separate(std::string_view separator);
  void close(std::string_view closer);
  bool close_square(Frame& frame);
  std::optional<int> step_number(const List& list) const;

  int steps_;
  std::vector<Item> items_;
  std::vector<Group> groups_;
  std::vector<Frame> frames_;
  List root_;
};

}  // namespace tintype
