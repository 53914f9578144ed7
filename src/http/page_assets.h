/// The page's files (apps/web), held in the program. Immutable; thread-safe.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace tintype::http {

struct PageAsset {
  std::string_view name;  ///< "index.html"
  std::string_view bytes;
};

/// Of every file in apps/web at build time; a table that CMake writes.
const std::vector<PageAsset>& page_assets();

/// "text/html; charset=utf-8" of "index.html"; "application/octet-stream" of unknown suffixes.
std::string_view asset_media_type(std::string_view name);

}  // namespace tintype::http
