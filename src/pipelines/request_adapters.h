/// The adapters of a request: from names, files and tags in the prompt to handles. Thread-safe.
#pragma once

#include <memory>
#include <vector>

#include "adapters/adapter.h"
#include "adapters/adapter_registry.h"
#include "pipelines/diffusion_model.h"
#include "tintype/text_to_image.h"

namespace tintype {

/// The registry of a model that was loaded from `layout`, whose networks it outlives nothing of:
/// `model` must outlive it.
std::shared_ptr<AdapterRegistry> make_adapter_registry(const DiffusionModel& model,
                                                       const CheckpointLayout& layout,
                                                       size_t budget_bytes);

/// What a weight of an adapter may be, either sign.
inline constexpr float kMaxAdapterWeight = 100;

/// The layout whose networks' weights come with `options.merged_adapters` in them, and the same for
/// loading to Device::kMeta. throws as DiffusionModel::load, adapters_of and AdapterMerge::add;
/// kInvalidArgument: a packed model
struct MergedLayout {
  CheckpointLayout layout, shapes;
};
MergedLayout with_merged_adapters(const CheckpointLayout& layout, const LoadOptions& options,
                                  size_t max_bytes);

/// The request with the tags of its prompt as further adapters. throws kInvalidArgument
TextToImageRequest with_tagged_adapters(TextToImageRequest request);

/// The handles, read where they are not resident. throws as AdapterRegistry::get and find_adapter;
/// kInvalidArgument: a name without a folder, a weight out of bounds, too many adapters
AdapterSet adapters_of(AdapterRegistry& registry, const TextToImageRequest& request);

/// The same for each picture of a batch. throws also kInvalidArgument: lists that are not as many
/// as pictures
PictureAdapters picture_adapters_of(AdapterRegistry& registry, const TextToImageRequest& request);

/// What settings say about them.
std::vector<AdapterSetting> adapter_settings(const AdapterSet& set);

}  // namespace tintype
