/// `--grid steps=10,20 guidance=4,7`: one picture for each combination of settings, on one sheet.
/// Pure functions.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "tintype/text_to_image.h"

namespace tintype::cli {

/// One setting and the values it takes.
struct GridAxis {
  std::string key;
  std::vector<std::string> values;
};

/// "steps=10,20". throws kInvalidArgument: an unknown key, no values, over 100 of them
GridAxis parse_grid_axis(std::string_view text);

/// One cell: the request with both settings applied.
struct GridCell {
  TextToImageRequest request;
  size_t column = 0, row = 0;
};

/// Row by row: the first axis runs along the columns, the second (if any) down the rows. Cells
/// share one seed unless an axis sets it. throws kInvalidArgument: no axis or over two, one key
/// twice, a value that its flag would refuse
std::vector<GridCell> grid_cells(const TextToImageRequest& base, const std::vector<GridAxis>& axes);

/// "steps=10", "steps=20".
std::vector<std::string> axis_labels(const GridAxis& axis);

/// Keys that an axis may name, for the help text.
std::string grid_keys();

}  // namespace tintype::cli
