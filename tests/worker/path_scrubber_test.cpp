#include "worker/path_scrubber.h"

#include <gtest/gtest.h>

namespace tintype {
namespace {

TEST(PathScrubber, PutsNamesInPlaceOfPaths) {
  const PathScrubber paths({.models = {{.name = "fox", .path = "/srv/models/fox.safetensors"},
                                       {.name = "foxes", .path = "/srv/models/fox"}},
                            .model_folders = {},
                            .adapter_folder = "/srv/loras",
                            .upscaler_folder = "relative/ups"});
  EXPECT_EQ(paths.scrubbed("[/srv/models/fox.safetensors] must hold"), "[fox] must hold");
  EXPECT_EQ(paths.scrubbed("/srv/models/fox/unet and /srv/loras/ink"),
            "foxes/unet and adapters/ink");
  EXPECT_EQ(paths.scrubbed("[relative/ups/4x] twice relative/ups/4x"),
            "[upscalers/4x] twice upscalers/4x");
  const std::string absolute = std::filesystem::absolute("relative/ups").string();
  EXPECT_EQ(paths.scrubbed(absolute + "/4x"), "upscalers/4x");
}

}  // namespace
}  // namespace tintype
