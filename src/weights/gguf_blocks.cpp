#include "weights/gguf_blocks.h"

#include <array>
#include <utility>

#include "tensor/float16.h"

namespace tintype {

namespace {

float f16_at(const uint8_t* bytes) {
  return f16_to_f32(static_cast<uint16_t>(bytes[0] | bytes[1] << 8));
}

/// Blocks of 32: a scale, perhaps a minimum, perhaps the fifth bits, then two values a byte, the
/// first half of the block in the low nibbles.
template <int kBits, bool kMinimum>
void dequantize_small(const uint8_t* block, float* values) {
  const float scale = f16_at(block);
  const float minimum = kMinimum ? f16_at(block + 2) : 0.0f;
  const uint8_t* high = block + (kMinimum ? 4 : 2);
  const uint8_t* nibbles = high + (kBits == 5 ? 4 : 0);
  constexpr int kCentre = kMinimum ? 0 : 1 << (kBits - 1);
  for (int i = 0; i < 32; ++i) {
    int q = i < 16 ? nibbles[i] & 15 : nibbles[i - 16] >> 4;
    if (kBits == 5) q |= (high[i / 8] >> (i % 8) & 1) << 4;
    const float value = scale * static_cast<float>(q - kCentre);
    values[i] = kMinimum ? value + minimum : value;
  }
}

void dequantize_q8_0(const uint8_t* block, float* values) {
  const float scale = f16_at(block);
  for (int i = 0; i < 32; ++i)
    values[i] = scale * static_cast<float>(static_cast<int8_t>(block[2 + i]));
}

// The K formats: superblocks of 256 values in runs of 16 or 32, each run with a small integer
// scale.

/// Scales of 16 runs, 4 bits with a 4-bit minimum; then 2-bit values, a byte holding those at
/// distance 32 of one half.
void dequantize_q2_k(const uint8_t* block, float* values) {
  const uint8_t *scales = block, *quants = block + 16;
  const float scale = f16_at(block + 80), minimum = f16_at(block + 82);
  for (int i = 0; i < 256; ++i) {
    const int half = i / 128, shift = 2 * (i % 128 / 32), run = i / 16;
    const int q = quants[32 * half + i % 32] >> shift & 3;
    values[i] = scale * static_cast<float>(scales[run] & 15) * static_cast<float>(q) -
                minimum * static_cast<float>(scales[run] >> 4);
  }
}

/// As above with a third bit in a mask (bit i/32 of byte i%32; clear means minus 4) and 6-bit
/// scales about 32: low nibbles of runs 0-7, then of 8-15, then two upper bits of four runs in each
/// byte.
void dequantize_q3_k(const uint8_t* block, float* values) {
  const uint8_t *mask = block, *quants = block + 32, *scales = block + 96;
  const float scale = f16_at(block + 108);
  for (int i = 0; i < 256; ++i) {
    const int half = i / 128, shift = 2 * (i % 128 / 32), run = i / 16;
    const int low = run < 8 ? scales[run] & 15 : scales[run - 8] >> 4;
    const int high = scales[8 + run % 4] >> (2 * (run / 4)) & 3;
    const int bit = mask[i % 32] >> (i / 32) & 1;
    const int q = (quants[32 * half + i % 32] >> shift & 3) - (bit != 0 ? 0 : 4);
    values[i] = scale * static_cast<float>((low | high << 4) - 32) * static_cast<float>(q);
  }
}

/// Scale and minimum of run `run` of eight, 6 bits each in twelve bytes: four whole scales and four
/// whole minima, whose two upper bits serve the other four runs.
std::pair<int, int> scale_and_minimum(const uint8_t* packed, int run) {
  if (run < 4) return {packed[run] & 63, packed[run + 4] & 63};
  return {(packed[run + 4] & 15) | (packed[run - 4] >> 6) << 4,
          packed[run + 4] >> 4 | (packed[run] >> 6) << 4};
}

/// Runs of 32; a byte holds values of two neighbouring runs. Q5_K adds a fifth bit: bit `run` of
/// byte i%32.
template <int kBits>
void dequantize_q45_k(const uint8_t* block, float* values) {
  const float scale = f16_at(block), minimum = f16_at(block + 2);
  const uint8_t* packed = block + 4;
  const uint8_t* high = block + 16;
  const uint8_t* nibbles = high + (kBits == 5 ? 32 : 0);
  for (int run = 0; run < 8; ++run) {
    const auto [run_scale, run_minimum] = scale_and_minimum(packed, run);
    const float step = scale * static_cast<float>(run_scale);
    const float base = minimum * static_cast<float>(run_minimum);
    for (int i = 0; i < 32; ++i) {
      const uint8_t pair = nibbles[32 * (run / 2) + i];
      int q = run % 2 == 0 ? pair & 15 : pair >> 4;
      if (kBits == 5) q |= (high[i] >> run & 1) << 4;
      values[32 * run + i] = step * static_cast<float>(q) - base;
    }
  }
}

/// Low nibbles (two values at distance 64), two upper bits (four values at distance 32), signed
/// 8-bit scales of 16 runs.
void dequantize_q6_k(const uint8_t* block, float* values) {
  const uint8_t *low = block, *high = block + 128, *scales = block + 192;
  const float scale = f16_at(block + 208);
  for (int i = 0; i < 256; ++i) {
    const int half = i / 128, quarter = i % 128 / 32, at = i % 32;
    const uint8_t pair = low[64 * half + 32 * (quarter % 2) + at];
    const int nibble = quarter < 2 ? pair & 15 : pair >> 4;
    const int q = (nibble | (high[32 * half + at] >> (2 * quarter) & 3) << 4) - 32;
    values[i] =
        scale * static_cast<float>(static_cast<int8_t>(scales[i / 16])) * static_cast<float>(q);
  }
}

constexpr std::array kFormats = {GgufBlockFormat{2, "q4_0", 32, 18, dequantize_small<4, false>},
                                 GgufBlockFormat{3, "q4_1", 32, 20, dequantize_small<4, true>},
                                 GgufBlockFormat{6, "q5_0", 32, 22, dequantize_small<5, false>},
                                 GgufBlockFormat{7, "q5_1", 32, 24, dequantize_small<5, true>},
                                 GgufBlockFormat{8, "q8_0", 32, 34, dequantize_q8_0},
                                 GgufBlockFormat{10, "q2_k", 256, 84, dequantize_q2_k},
                                 GgufBlockFormat{11, "q3_k", 256, 110, dequantize_q3_k},
                                 GgufBlockFormat{12, "q4_k", 256, 144, dequantize_q45_k<4>},
                                 GgufBlockFormat{13, "q5_k", 256, 176, dequantize_q45_k<5>},
                                 GgufBlockFormat{14, "q6_k", 256, 210, dequantize_q6_k}};

struct ForeignType {
  uint32_t id;
  std::string_view name;
};
constexpr std::array kForeignTypes = {
    ForeignType{9, "q8_1"},    ForeignType{15, "q8_k"},    ForeignType{16, "iq2_xxs"},
    ForeignType{17, "iq2_xs"}, ForeignType{18, "iq3_xxs"}, ForeignType{19, "iq1_s"},
    ForeignType{20, "iq4_nl"}, ForeignType{21, "iq3_s"},   ForeignType{22, "iq2_s"},
    ForeignType{23, "iq4_xs"}, ForeignType{29, "iq1_m"},   ForeignType{34, "tq1_0"},
    ForeignType{35, "tq2_0"},  ForeignType{39, "mxfp4"},   ForeignType{40, "nvfp4"}};

}  // namespace

const GgufBlockFormat* find_gguf_block_format(uint32_t id) {
  for (const GgufBlockFormat& format : kFormats)
    if (format.id == id) return &format;
  return nullptr;
}

std::string_view foreign_gguf_type(uint32_t id) {
  for (const ForeignType& type : kForeignTypes)
    if (type.id == id) return type.name;
  return {};
}

}  // namespace tintype
