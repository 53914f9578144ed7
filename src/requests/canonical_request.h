/// The reverse of make_job, for workers: a canonical request and its pictures become requests of
/// the public API. Thread-safe: no state.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <variant>

#include "requests/catalogue.h"
#include "serving/job.h"
#include "tintype/engine.h"

namespace tintype {

/// A picture to enlarge by the network named in JobRequest::upscaler.
struct UpscaleRequest {
  std::shared_ptr<const Image> image;
  UpscaleOptions options = {};
};

/// What one job asks for. Models and upscalers are names; whoever runs it loads them.
struct JobRequest {
  std::variant<TextToImageRequest, ImageToImageRequest, InpaintRequest, HiresRequest,
               UpscaleRequest>
      request;
  std::string model, refiner;  ///< "": none
  std::string upscaler;        ///< "": none
  std::string preset;          ///< whose options of loading apply; the rest is carried out
  int count = 1;               ///< pictures, of drawing; seeds count up
  ImageFormat format = ImageFormat::kPng;
  int quality = 90;
  int preview_every = 0;  ///< 0: none
  int preview_size_px = 0;

  /// What is drawn; null of upscaling.
  TextToImageRequest* drawing();
  const TextToImageRequest* drawing() const;
};

/// Decodes the pictures. Adapters are looked up in `catalogue`'s folder.
/// throws kCorruptFile: what make_job did not write, pictures
JobRequest parse_canonical(std::string_view request, std::span<const SharedBlob> inputs,
                           const CatalogueOptions& catalogue);

}  // namespace tintype
