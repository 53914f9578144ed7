/// Making pictures larger with networks of the ESRGAN family. Public. Plain values, and the handle
/// of a network in memory.
#pragma once

#include <cstdint>
#include <string>

namespace tintype {

struct UpscaleOptions {
  /// The picture is worked on in tiles of at most so many pixels each way, at least 16; memory
  /// grows with their area. 0: all at once.
  int tile_px = 512;
  /// How far tiles look beyond their edge, at least 0. The networks could see 350 pixels, but what
  /// lies beyond 32 hardly reaches the eighth bit (docs/upscaling.md); with the whole receptive
  /// field (UpscalerInfo) tiles give the untiled picture bit for bit.
  int overlap_px = 32;
  /// 1..8, of the picture's sides: where it is not the network's own, the network's result is
  /// resized to it (Lanczos). 0: the network's own.
  double scale = 0;
};

struct UpscalerInfo {
  std::string name;  ///< the file's, without its suffix
  int scale = 4;
  int receptive_field_px = 0;  ///< that a pixel of the result sees each way
  uint64_t parameters = 0;
};

/// Made by Engine::load_upscaler, shared by any number of requests.
class Upscaler {
 public:
  virtual ~Upscaler() = default;
  virtual const UpscalerInfo& info() const = 0;
};

}  // namespace tintype
