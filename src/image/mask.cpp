#include "image/mask.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>

#include "base/check.h"

namespace tintype {
namespace {

/// Copies rows between pictures of `channels` bytes a pixel.
void copy_rows(const std::vector<uint8_t>& from, int from_width, int left, int top,
               std::vector<uint8_t>& to, int to_width, int to_left, int to_top, int width,
               int height, size_t channels) {
  const auto at = [channels](int x, int y, int row_width) {
    return (static_cast<size_t>(y) * static_cast<size_t>(row_width) + static_cast<size_t>(x)) *
           channels;
  };
  for (int y = 0; y < height; ++y)
    std::copy_n(from.data() + at(left, top + y, from_width), static_cast<size_t>(width) * channels,
                to.data() + at(to_left, to_top + y, to_width));
}

/// Largest value within `radius` along a line of `count` values `stride` apart.
void spread_line(uint8_t* line, size_t count, size_t stride, size_t radius,
                 std::vector<uint8_t>& scratch) {
  // Binary: the distance to the last marked value on either side decides.
  scratch.assign(count, 0);
  size_t since = radius + 1;
  for (size_t i = 0; i < count; ++i) {
    since = line[i * stride] ? 0 : since + 1;
    if (since <= radius) scratch[i] = 255;
  }
  since = radius + 1;
  for (size_t i = count; i-- > 0;) {
    since = line[i * stride] ? 0 : since + 1;
    if (since <= radius) scratch[i] = 255;
  }
  for (size_t i = 0; i < count; ++i) line[i * stride] = scratch[i];
}

/// One level of the pyramid that fills holes: colours and how much of each is known.
struct Level {
  int width = 0, height = 0;
  std::vector<float> rgb, known;
  size_t at(int x, int y) const {
    return static_cast<size_t>(y) * static_cast<size_t>(width) + static_cast<size_t>(x);
  }
};

Level halved(const Level& fine) {
  Level coarse{(fine.width + 1) / 2, (fine.height + 1) / 2, {}, {}};
  coarse.known.assign(static_cast<size_t>(coarse.width) * static_cast<size_t>(coarse.height), 0);
  coarse.rgb.assign(coarse.known.size() * 3, 0);
  for (int y = 0; y < fine.height; ++y) {
    for (int x = 0; x < fine.width; ++x) {
      const size_t from = fine.at(x, y), to = coarse.at(x / 2, y / 2);
      coarse.known[to] += fine.known[from];
      for (size_t c = 0; c < 3; ++c)
        coarse.rgb[to * 3 + c] += fine.known[from] * fine.rgb[from * 3 + c];
    }
  }
  for (size_t i = 0; i < coarse.known.size(); ++i) {
    if (coarse.known[i] == 0) continue;
    for (size_t c = 0; c < 3; ++c) coarse.rgb[i * 3 + c] /= coarse.known[i];
    coarse.known[i] = std::min(coarse.known[i], 1.0f);
  }
  return coarse;
}

/// Unknown values from the coarser level, between its four nearest.
void fill_from(const Level& coarse, Level& fine) {
  for (int y = 0; y < fine.height; ++y) {
    for (int x = 0; x < fine.width; ++x) {
      const size_t to = fine.at(x, y);
      if (fine.known[to] >= 1) continue;
      const float u = std::clamp((static_cast<float>(x) + 0.5f) / 2 - 0.5f, 0.0f,
                                 static_cast<float>(coarse.width - 1));
      const float v = std::clamp((static_cast<float>(y) + 0.5f) / 2 - 0.5f, 0.0f,
                                 static_cast<float>(coarse.height - 1));
      const int x0 = static_cast<int>(u), y0 = static_cast<int>(v);
      const int x1 = std::min(x0 + 1, coarse.width - 1), y1 = std::min(y0 + 1, coarse.height - 1);
      const float a = u - static_cast<float>(x0), b = v - static_cast<float>(y0);
      for (size_t c = 0; c < 3; ++c) {
        const auto value = [&](int i, int k) { return coarse.rgb[coarse.at(i, k) * 3 + c]; };
        const float above = (1 - a) * value(x0, y0) + a * value(x1, y0);
        const float below = (1 - a) * value(x0, y1) + a * value(x1, y1);
        float& out = fine.rgb[to * 3 + c];
        const float smooth = (1 - b) * above + b * below;
        out = fine.known[to] * out + (1 - fine.known[to]) * smooth;
      }
    }
  }
}

}  // namespace

Mask binary(Mask mask) {
  for (uint8_t& value : mask.grey) value = value >= 128 ? 255 : 0;
  return mask;
}

Mask inverted(Mask mask) {
  for (uint8_t& value : mask.grey) value = static_cast<uint8_t>(255 - value);
  return mask;
}

Mask grown(const Mask& mask, int px) {
  Mask out = mask;
  if (px == 0) return out;
  const auto width = static_cast<size_t>(mask.width_px),
             height = static_cast<size_t>(mask.height_px);
  std::vector<uint8_t> scratch;
  for (size_t y = 0; y < height; ++y)
    spread_line(out.grey.data() + y * width, width, 1, static_cast<size_t>(px), scratch);
  for (size_t x = 0; x < width; ++x)
    spread_line(out.grey.data() + x, height, width, static_cast<size_t>(px), scratch);
  return out;
}

bool marks_nothing(const Mask& mask) {
  return std::all_of(mask.grey.begin(), mask.grey.end(), [](uint8_t v) { return v == 0; });
}

std::vector<float> feathered(const Mask& mask, int px) {
  // Distance to the nearest pixel outside, by two sweeps with steps of 1 and sqrt(2): at most 8 %
  // above the Euclidean one, which no eye sees in a blend.
  constexpr float kDiagonal = 1.41421356f, kFar = 1e9f;
  const int width = mask.width_px, height = mask.height_px;
  std::vector<float> distance(mask.grey.size());
  const auto at = [&](int x, int y) {
    return static_cast<size_t>(y) * static_cast<size_t>(width) + static_cast<size_t>(x);
  };
  for (size_t i = 0; i < distance.size(); ++i) distance[i] = mask.grey[i] ? kFar : 0;
  const auto sweep = [&](int x, int y, int back) {
    float& here = distance[at(x, y)];
    const auto through = [&](int dx, int dy, float step) {
      const int i = x + dx, k = y + dy;
      if (i >= 0 && i < width && k >= 0 && k < height)
        here = std::min(here, distance[at(i, k)] + step);
    };
    through(-back, 0, 1);
    through(0, -back, 1);
    through(-1, -back, kDiagonal);
    through(1, -back, kDiagonal);
  };
  for (int y = 0; y < height; ++y)
    for (int x = 0; x < width; ++x) sweep(x, y, 1);
  for (int y = height; y-- > 0;)
    for (int x = width; x-- > 0;) sweep(x, y, -1);
  for (float& value : distance) {
    const float t = std::min(value / static_cast<float>(px + 1), 1.0f);
    value = t * t * (3 - 2 * t);
  }
  return distance;
}

Image composite(const Image& base, const Image& drawn, const std::vector<float>& weight) {
  TT_REQUIRE(base.rgb.size() == drawn.rgb.size() && base.rgb.size() == 3 * weight.size(),
             "composite", "pictures and weights must have one size, got ", base.rgb.size(), ", ",
             drawn.rgb.size(), " and ", weight.size());
  Image out = base;
  for (size_t i = 0; i < out.rgb.size(); ++i) {
    const float w = weight[i / 3];
    if (w <= 0) continue;
    const auto kept = static_cast<float>(out.rgb[i]), fresh = static_cast<float>(drawn.rgb[i]);
    out.rgb[i] = static_cast<uint8_t>(std::lround(kept + w * (fresh - kept)));
  }
  return out;
}

Region region_around(const Mask& mask, int width_px, int height_px, int padding_px) {
  const int w = mask.width_px, h = mask.height_px;
  Region r{w, h, 0, 0};
  for (int y = 0; y < h; ++y) {
    for (int x = 0; x < w; ++x) {
      if (!mask.grey[static_cast<size_t>(y) * static_cast<size_t>(w) + static_cast<size_t>(x)])
        continue;
      r = {std::min(r.left, x), std::min(r.top, y), std::max(r.right, x + 1),
           std::max(r.bottom, y + 1)};
    }
  }
  TT_REQUIRE(r.right > r.left, "mask", "must mark something, got nothing marked");
  r = {std::max(r.left - padding_px, 0), std::max(r.top - padding_px, 0),
       std::min(r.right + padding_px, w), std::min(r.bottom + padding_px, h)};
  // Widens [low, high) to `wanted` within `size`: evenly, then away from the border.
  const auto widen = [](int& low, int& high, double wanted, int size) {
    const int more = static_cast<int>(wanted - (high - low));
    low -= more / 2;
    high += more - more / 2;
    if (high >= size) {
      low -= high - size;
      high = size;
    }
    if (low < 0) {
      high -= low;
      low = 0;
    }
    high = std::min(high, size);
  };
  const double own = static_cast<double>(r.width_px()) / r.height_px();
  const double wanted = static_cast<double>(width_px) / height_px;
  if (own > wanted)
    widen(r.top, r.bottom, r.width_px() / wanted, h);
  else
    widen(r.left, r.right, r.height_px() * wanted, w);
  return r;
}

Image cropped(const Image& image, const Region& r) {
  Image out{r.width_px(), r.height_px(), {}};
  out.rgb.resize(static_cast<size_t>(r.width_px()) * static_cast<size_t>(r.height_px()) * 3);
  copy_rows(image.rgb, image.width_px, r.left, r.top, out.rgb, out.width_px, 0, 0, r.width_px(),
            r.height_px(), 3);
  return out;
}

Mask cropped(const Mask& mask, const Region& r) {
  Mask out{r.width_px(), r.height_px(), {}};
  out.grey.resize(static_cast<size_t>(r.width_px()) * static_cast<size_t>(r.height_px()));
  copy_rows(mask.grey, mask.width_px, r.left, r.top, out.grey, out.width_px, 0, 0, r.width_px(),
            r.height_px(), 1);
  return out;
}

Image with_patch(Image base, const Image& patch, const Region& r) {
  TT_REQUIRE(patch.width_px == r.width_px() && patch.height_px == r.height_px(), "composite",
             "a patch must have its region's size");
  copy_rows(patch.rgb, patch.width_px, 0, 0, base.rgb, base.width_px, r.left, r.top, r.width_px(),
            r.height_px(), 3);
  return base;
}

Image filled_by_blur(const Image& image, const Mask& mask) {
  std::vector<Level> levels(1);
  levels[0] = {image.width_px, image.height_px, {image.rgb.begin(), image.rgb.end()}, {}};
  for (const uint8_t value : mask.grey) levels[0].known.push_back(value ? 0.0f : 1.0f);
  while (levels.back().width > 1 || levels.back().height > 1)
    levels.push_back(halved(levels.back()));
  for (size_t i = levels.size() - 1; i-- > 0;) fill_from(levels[i + 1], levels[i]);
  Image out = image;
  for (size_t i = 0; i < out.rgb.size(); ++i)
    if (mask.grey[i / 3])
      out.rgb[i] = static_cast<uint8_t>(std::clamp(std::lround(levels[0].rgb[i]), 0L, 255L));
  return out;
}

Image padded(const Image& image, const Padding& padding) {
  Image out{image.width_px + padding.left + padding.right,
            image.height_px + padding.top + padding.bottom,
            {}};
  out.rgb.resize(static_cast<size_t>(out.width_px) * static_cast<size_t>(out.height_px) * 3);
  uint8_t* next = out.rgb.data();
  for (int y = 0; y < out.height_px; ++y) {
    const int from_y = std::clamp(y - padding.top, 0, image.height_px - 1);
    for (int x = 0; x < out.width_px; ++x, next += 3) {
      const int from_x = std::clamp(x - padding.left, 0, image.width_px - 1);
      const size_t from = (static_cast<size_t>(from_y) * static_cast<size_t>(image.width_px) +
                           static_cast<size_t>(from_x)) *
                          3;
      std::copy_n(&image.rgb[from], 3, next);
    }
  }
  return out;
}

Mask padded_mask(const Image& image, const Mask* mask, const Padding& padding) {
  Mask out{image.width_px + padding.left + padding.right,
           image.height_px + padding.top + padding.bottom,
           {}};
  out.grey.assign(static_cast<size_t>(out.width_px) * static_cast<size_t>(out.height_px), 255);
  const std::vector<uint8_t> inner =
      mask ? mask->grey : std::vector<uint8_t>(image.rgb.size() / 3, 0);
  copy_rows(inner, image.width_px, 0, 0, out.grey, out.width_px, padding.left, padding.top,
            image.width_px, image.height_px, 1);
  return out;
}

}  // namespace tintype
