#include "tokenizers/bpe.h"

#include <gtest/gtest.h>

#include <numeric>
#include <set>

namespace tintype {
namespace {

/// Bytes keep their value as id, at a word's end plus 256.
BytePairEncoder::Alphabet plain_alphabet() {
  BytePairEncoder::Alphabet alphabet{};
  std::iota(alphabet.inner.begin(), alphabet.inner.end(), 0);
  std::iota(alphabet.last.begin(), alphabet.last.end(), 256);
  return alphabet;
}

std::vector<int32_t> encode(const BytePairEncoder& encoder, std::string_view word) {
  std::vector<int32_t> ids;
  encoder.encode_word(word, ids);
  return ids;
}

TEST(BytePairEncoder, ByteSymbolsAreDistinctAndFollowGpt2) {
  std::set<std::string> symbols;
  for (int byte = 0; byte < 256; ++byte) symbols.insert(byte_symbol(static_cast<uint8_t>(byte)));
  EXPECT_EQ(symbols.size(), 256u);
  EXPECT_EQ(byte_symbol('a'), "a");
  EXPECT_EQ(byte_symbol(0x00), "\u0100");
  EXPECT_EQ(byte_symbol(' '), "\u0120");
  EXPECT_EQ(byte_symbol(0xAD), "\u0143");
  EXPECT_EQ(byte_symbol(0xFF), "\u00ff");
}

TEST(BytePairEncoder, LowestRankMergesFirstThenLeftmost) {
  const BytePairEncoder encoder(plain_alphabet(),
                                {{'b', 'c', 600, 0}, {'a', 'b', 601, 1}, {'x', 'x', 602, 2}});
  EXPECT_EQ(encode(encoder, "abcz"), (std::vector<int32_t>{'a', 600, 'z' + 256}));
  EXPECT_EQ(encode(encoder, "abz"), (std::vector<int32_t>{601, 'z' + 256}));
  EXPECT_EQ(encode(encoder, "xxxz"), (std::vector<int32_t>{602, 'x', 'z' + 256}));
}

TEST(BytePairEncoder, TheLastByteHasItsOwnSymbol) {
  const BytePairEncoder encoder(plain_alphabet(), {{'a', 'a', 600, 0}});
  EXPECT_EQ(encode(encoder, "a"), (std::vector<int32_t>{'a' + 256}));
  EXPECT_EQ(encode(encoder, "aa"), (std::vector<int32_t>{'a', 'a' + 256}));
  EXPECT_EQ(encode(encoder, "aaa"), (std::vector<int32_t>{600, 'a' + 256}));
}

TEST(BytePairEncoder, PairListedTwiceCountsWhereItIsListedLast) {
  const BytePairEncoder encoder(plain_alphabet(),
                                {{'a', 'b', 601, 0}, {'b', 'c', 600, 1}, {'a', 'b', 602, 2}});
  EXPECT_EQ(encode(encoder, "abcz"), (std::vector<int32_t>{'a', 600, 'z' + 256}));
  EXPECT_EQ(encode(encoder, "abz"), (std::vector<int32_t>{602, 'z' + 256}));
}

TEST(BytePairEncoder, MillionLetterWordThatMergesAtEveryStepFinishes) {
  // 2^20 letters fold in pairs to 2^20 / 1024; a quadratic merge would need 10^12 steps.
  std::vector<BpeMerge> merges = {{'a', 'a', 512, 0}};
  for (int32_t level = 1; level < 10; ++level) {
    merges.push_back({511 + level, 511 + level, 512 + level, static_cast<uint32_t>(level)});
  }
  const BytePairEncoder encoder(plain_alphabet(), merges);
  const std::vector<int32_t> ids = encode(encoder, std::string((1 << 20) + 1, 'a'));
  ASSERT_EQ(ids.size(), (1u << 10) + 1);
  EXPECT_EQ(ids.front(), 521);
  EXPECT_EQ(ids.back(), 'a' + 256);
}

}  // namespace
}  // namespace tintype
