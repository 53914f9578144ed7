#include "tokenizers/bpe.h"

#include <algorithm>
#include <queue>
#include <tuple>
#include <utility>

namespace tintype {

namespace {

/// A symbol of the word being merged: a node of a list threaded through one array.
struct Symbol {
  int32_t id;              // kDead once merged into its left neighbour
  int64_t previous, next;  // -1 at the ends
};
constexpr int32_t kDead = -1;

/// A possible merge of the symbol at `position` with its right neighbour.
struct Candidate {
  uint32_t rank;
  int64_t position;
  int32_t result;
};

/// Lowest rank first, then leftmost.
struct LaterFirst {
  bool operator()(const Candidate& a, const Candidate& b) const {
    return std::tie(a.rank, a.position) > std::tie(b.rank, b.position);
  }
};

bool pair_before(const BpeMerge& a, const BpeMerge& b) {
  return std::tie(a.left, a.right) < std::tie(b.left, b.right);
}

}  // namespace

std::string byte_symbol(uint8_t byte) {
  const auto printable = [](unsigned b) {
    return (b >= 0x21 && b <= 0x7E) || (b >= 0xA1 && b <= 0xAC) || b >= 0xAE;
  };
  unsigned code = byte;
  if (!printable(byte)) {
    code = 0x100;
    for (unsigned b = 0; b < byte; ++b) code += printable(b) ? 0 : 1;
  }
  if (code < 0x80) return std::string(1, static_cast<char>(code));
  return {static_cast<char>(0xC0 | (code >> 6)), static_cast<char>(0x80 | (code & 0x3F))};
}

BytePairEncoder::BytePairEncoder(const Alphabet& alphabet, std::vector<BpeMerge> merges)
    : alphabet_(alphabet), merges_(std::move(merges)) {
  std::sort(merges_.begin(), merges_.end(), [](const BpeMerge& a, const BpeMerge& b) {
    return std::tie(a.left, a.right, b.rank) < std::tie(b.left, b.right, a.rank);
  });
  const auto same_pair = [](const BpeMerge& a, const BpeMerge& b) {
    return a.left == b.left && a.right == b.right;
  };
  merges_.erase(std::unique(merges_.begin(), merges_.end(), same_pair), merges_.end());
}

const BpeMerge* BytePairEncoder::find(int32_t left, int32_t right) const {
  const BpeMerge wanted{left, right, 0, 0};
  const auto at = std::lower_bound(merges_.begin(), merges_.end(), wanted, pair_before);
  return at != merges_.end() && at->left == left && at->right == right ? &*at : nullptr;
}

void BytePairEncoder::encode_word(std::string_view word, std::vector<int32_t>& ids) const {
  const auto count = static_cast<int64_t>(word.size());
  std::vector<Symbol> symbols;
  symbols.reserve(word.size());
  for (int64_t i = 0; i < count; ++i) {
    const auto byte = static_cast<uint8_t>(word[static_cast<size_t>(i)]);
    const bool is_last = i + 1 == count;
    symbols.push_back(
        {(is_last ? alphabet_.last : alphabet_.inner)[byte], i - 1, is_last ? -1 : i + 1});
  }

  // A heap over a linked list: a merge touches two neighbours, so a word of a million letters costs
  // n log n. Rescanning the word after each merge would be quadratic.
  std::priority_queue<Candidate, std::vector<Candidate>, LaterFirst> queue;
  const auto consider = [&](int64_t position) {
    const int64_t next = position < 0 ? -1 : symbols[position].next;
    if (next < 0) return;
    if (const BpeMerge* merge = find(symbols[position].id, symbols[next].id)) {
      queue.push({merge->rank, position, merge->result});
    }
  };
  for (int64_t i = 0; i < count; ++i) consider(i);
  while (!queue.empty()) {
    const Candidate best = queue.top();
    queue.pop();
    Symbol& left = symbols[best.position];
    if (left.id == kDead || left.next < 0) continue;
    Symbol& right = symbols[left.next];
    // Stale when a neighbour grew since this was queued: the pair then spells a longer text and
    // merges to another id or not at all.
    const BpeMerge* merge = find(left.id, right.id);
    if (merge == nullptr || merge->result != best.result) continue;
    left.id = best.result;
    left.next = right.next;
    right.id = kDead;
    if (left.next >= 0) symbols[left.next].previous = best.position;
    consider(left.previous);
    consider(best.position);
  }
  for (int64_t i = 0; i >= 0; i = symbols[i].next) ids.push_back(symbols[i].id);
}

}  // namespace tintype
