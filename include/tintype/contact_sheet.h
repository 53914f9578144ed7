/// Several pictures on one sheet with labels: people look rather than read. Public. Pure function.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "tintype/image.h"

namespace tintype {

struct ContactSheetLabels {
  std::vector<std::string> columns;  ///< one above each column, or empty
  std::vector<std::string> rows;     ///< one left of each row, or empty
};

/// Row by row, `columns` pictures a row, all of one size; the last row may be short. Labels show
/// printable ASCII ("?" for anything else) and are cut to the space there is.
/// throws kInvalidArgument: no picture, sizes or label counts that disagree, a sheet over 2^28
/// pixels
Image contact_sheet(std::span<const Image> pictures, int columns,
                    const ContactSheetLabels& labels = {});

}  // namespace tintype
