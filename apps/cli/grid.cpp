#include "cli/grid.h"

#include <algorithm>
#include <array>
#include <limits>
#include <random>

#include "cli/adapter_flags.h"
#include "cli/arguments.h"
#include "tintype/error.h"

namespace tintype::cli {
namespace {

constexpr size_t kMaxValues = 100;

struct GridKey {
  const char* name;
  void (*apply)(TextToImageRequest& request, const std::string& value);
};

constexpr std::array kKeys = {
    GridKey{"steps", [](TextToImageRequest& r,
                        const std::string& v) { r.steps = parse_int("--grid steps", v, 1, 1000); }},
    GridKey{"guidance",
            [](TextToImageRequest& r, const std::string& v) {
              constexpr double kMax = std::numeric_limits<float>::max();
              r.guidance_scale =
                  static_cast<float>(parse_number("--grid guidance", v, -kMax, kMax));
            }},
    GridKey{"seed", [](TextToImageRequest& r,
                       const std::string& v) { r.seed = parse_seed("--grid seed", v); }},
    GridKey{"sampler", [](TextToImageRequest& r, const std::string& v) { r.sampler = v; }},
    GridKey{"scheduler", [](TextToImageRequest& r, const std::string& v) { r.scheduler = v; }},
    // Beside those of --lora; "none" adds nothing.
    GridKey{"lora",
            [](TextToImageRequest& r, const std::string& v) {
              if (v != "none") r.adapters.push_back(parse_adapter_use(v));
            }},
};

const GridKey* find_key(std::string_view name) {
  for (const GridKey& key : kKeys)
    if (name == key.name) return &key;
  return nullptr;
}

[[noreturn]] void refuse(const std::string& what) {
  throw Error(ErrorKind::kInvalidArgument, "--grid", what);
}

}  // namespace

std::string grid_keys() {
  std::string names;
  for (const GridKey& key : kKeys) names += std::string(names.empty() ? "" : ", ").append(key.name);
  return names;
}

GridAxis parse_grid_axis(std::string_view text) {
  const size_t equals = text.find('=');
  GridAxis axis{std::string(text.substr(0, equals)), {}};
  if (equals == std::string_view::npos || !find_key(axis.key))
    refuse("must be SETTING=VALUE,VALUE with a setting of " + grid_keys() + ", got \"" +
           std::string(text) + "\"");
  for (size_t start = equals + 1; start <= text.size();) {
    const size_t comma = std::min(text.find(',', start), text.size());
    if (comma > start) axis.values.emplace_back(text.substr(start, comma - start));
    start = comma + 1;
  }
  if (axis.values.empty() || axis.values.size() > kMaxValues)
    refuse(axis.key + " must have 1 to " + std::to_string(kMaxValues) + " values, got " +
           std::to_string(axis.values.size()));
  return axis;
}

std::vector<GridCell> grid_cells(const TextToImageRequest& base,
                                 const std::vector<GridAxis>& axes) {
  if (axes.empty() || axes.size() > 2)
    refuse("takes one or two settings, got " + std::to_string(axes.size()));
  if (axes.size() == 2 && axes[0].key == axes[1].key)
    refuse("takes two different settings, got " + axes[0].key + " twice");
  TextToImageRequest seeded = base;
  if (!seeded.seed) seeded.seed = std::random_device{}();
  const GridAxis none{"", {""}};
  const GridAxis& rows = axes.size() == 2 ? axes[1] : none;
  std::vector<GridCell> cells;
  for (size_t row = 0; row < rows.values.size(); ++row) {
    for (size_t column = 0; column < axes[0].values.size(); ++column) {
      GridCell& cell = cells.emplace_back(GridCell{seeded, column, row});
      find_key(axes[0].key)->apply(cell.request, axes[0].values[column]);
      if (axes.size() == 2) find_key(rows.key)->apply(cell.request, rows.values[row]);
    }
  }
  return cells;
}

std::vector<std::string> axis_labels(const GridAxis& axis) {
  std::vector<std::string> labels;
  for (const std::string& value : axis.values)
    labels.push_back(std::string(axis.key).append("=").append(value));
  return labels;
}

}  // namespace tintype::cli
