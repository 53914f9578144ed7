/// What a pipeline sees of a model: roles and plain traits, never a family. Implementations live in
/// one folder per model. Immutable after load; all state of a request is passed in.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <vector>

#include "nn/adapter_view.h"
#include "nn/trace.h"
#include "tensor/tensor.h"
#include "weights/weights.h"

namespace tintype {

/// What a text encoder shall use at one position in place of a token's own embedding (textual
/// inversion).
struct TokenOverride {
  int64_t row = 0, position = 0;       ///< in the ids [B,S]
  std::span<const float> vector = {};  ///< [E], borrowed for the call
};

/// Which of a text encoder's layers to read.
struct TextOptions {
  /// Layers at the end that the features do not pass through: 0 reads the last one's output, 1 the
  /// penultimate's, Traits::layers the embeddings'.
  int64_t skipped_layers = 0;
  bool final_layer_norm = true;  ///< normalise the features; the pooled ones always are
  /// The ids at these positions need not be in the vocabulary; pooling compares them all the same.
  std::span<const TokenOverride> overrides = {};
  const nn::AdapterView* adapters = nullptr;  ///< resolved to this encoder's slots; null: none
};

struct TextFeatures {
  Tensor hidden;  ///< [B,S,E]
  /// [B,P], of the whole tower whatever was skipped; undefined when it has no projection.
  Tensor pooled = {};
};

/// Token ids to the features that condition the denoising network.
class TextEncoder {
 public:
  struct Traits {
    int64_t window = 0;      ///< S, positions the model knows
    int64_t vocabulary = 0;  ///< V
    int64_t width = 0;       ///< E
    int64_t layers = 0;
    int64_t pooled_width = 0;  ///< P; 0: no pooled features
  };
  virtual ~TextEncoder() = default;
  /// Where adapters may add to it.
  virtual const std::vector<WeightSlot>& slots() const = 0;
  virtual const Traits& traits() const = 0;
  /// ids [B,S] i32. throws kInvalidArgument: ids, more layers skipped than there are, an override
  /// outside of the ids or of another width
  virtual TextFeatures encode(const Tensor& ids, const TextOptions& options = {},
                              const nn::Trace* trace = nullptr) const = 0;
};

/// Keys and values that cross-attention layers made of a context, by the slot of the layer's to_k:
/// text does not change from step to step. Belongs to one Conditioning of one request;
/// single-thread.
struct ContextProjections {
  struct KeysValues {
    Tensor keys, values;
  };
  std::map<int64_t, KeysValues> of_layer = {};
};

/// What a denoising network is told beside the noisy latents and the timestep. One row
/// for each image, or for guidance the negative ones of all images and then the positive ones.
struct Conditioning {
  Tensor context;        ///< [R,S,E] text features
  Tensor pooled = {};    ///< [R,P], for a network with added conditioning; else undefined
  Tensor time_ids = {};  ///< [R,N] f32 on the host, likewise: sizes, crops, scores
  /// The request's adapters, resolved to this network's slots; null: none.
  std::shared_ptr<const nn::AdapterView> adapters = nullptr;
  /// Filled at the first call and used by those after it; null: nothing is kept.
  std::shared_ptr<ContextProjections> projections = nullptr;
};

/// What one image's network calls carry from one to the next when steps may be reused: a network
/// computes its first block, and where that changed little since the last call computed whole, the
/// features of the deeper blocks stand for themselves once more. Belongs to a request; networks
/// stay const. source  first-block caching (ParaAttention; TeaCache, arXiv:2411.19108), and
/// DeepCache, arXiv:2312.00858, for which features to keep
struct StepReuse {
  float threshold = 0;   ///< reuse below this mean |change| / mean |first block's residual|
  Tensor residual = {};  ///< of the first block at the last call computed whole
  Tensor deep = {};      ///< what the last block took from the deeper ones then
  bool reused = false;   ///< whether the last call was
};

/// Predicts noise (or velocity, or the sample) from noisy latents.
class DenoisingNetwork {
 public:
  struct Traits {
    int64_t in_channels = 0, out_channels = 0;
    int64_t context_width = 0;                      ///< E of the text features it expects
    int64_t default_height = 0, default_width = 0;  ///< latent size it was trained at
    /// Added conditioning: P pooled features and N numbers of `time_id_width` each, so that
    /// P + N * time_id_width = added_width. 0: the network takes none.
    int64_t added_width = 0, time_id_width = 0;
  };
  virtual ~DenoisingNetwork() = default;
  /// Where adapters may add to it.
  virtual const std::vector<WeightSlot>& slots() const = 0;
  virtual const Traits& traits() const = 0;
  /// x [B,H,W,Cin], one timestep for the whole batch -> [rows of the conditioning,H,W,Cout]. The
  /// conditioning has B rows or a multiple: its row i is for image i mod B. So the halves of
  /// guidance share what no text has touched yet.
  virtual Tensor forward(const Tensor& x, float timestep, const Conditioning& conditioning,
                         const nn::Trace* trace = nullptr) const = 0;
  /// As forward(), but may reuse what `reuse` holds of the calls before, which were for the same
  /// rows. Networks without a first block of their own compute everything.
  virtual Tensor forward_reusing(const Tensor& x, float timestep, const Conditioning& conditioning,
                                 StepReuse& reuse) const {
    reuse.reused = false;
    return forward(x, timestep, conditioning);
  }
};

/// How a picture is decoded or encoded in bands of rows. The bands overlap by as much as the
/// filters see and the norms' moments are those of the whole picture, so there are no seams; the
/// price is one pass over the bands for every norm in them (nn::BandMoments).
struct CodecBands {
  /// Levels on the latents' side of those in bands, computed whole; below Traits::levels.
  int64_t whole_levels = 0;
  int64_t rows = 0;  ///< rows of a band at the size where whole and banded levels meet; 0: no bands
  bool operator==(const CodecBands&) const = default;
};
/// Those of a run.
struct PictureBands {
  CodecBands decode = {}, encode = {};
  bool any() const { return decode.rows || encode.rows; }
  bool operator==(const PictureBands&) const = default;
};

/// Pictures to latents and back. Pictures [B,H,W,3] in -1..1.
class LatentCodec {
 public:
  struct Traits {
    int64_t latent_channels = 4;
    int64_t factor = 8;           ///< pixels per latent, each way
    float scaling_factor = 1.0f;  ///< the denoising network's latents are the codec's times this
    int64_t levels = 1;           ///< sizes that a picture goes through, each twice the last
  };
  virtual ~LatentCodec() = default;
  virtual const Traits& traits() const = 0;
  /// Unscaled latents [B,h,w,C] -> picture [B,h*factor,w*factor,3]
  virtual Tensor decode(const Tensor& latents, const nn::Trace* trace = nullptr) const = 0;
  /// The same picture with less memory and more time; see CodecBands. Latents of one picture.
  virtual Tensor decode_in_bands(const Tensor& latents, const CodecBands& bands) const = 0;
  /// Picture -> mean and log-variance of the unscaled latents, [B,h,w,2C]
  virtual Tensor encode_moments(const Tensor& picture, const nn::Trace* trace = nullptr) const = 0;
  /// The same of one picture with less memory and more time; see CodecBands.
  virtual Tensor encode_in_bands(const Tensor& picture, const CodecBands& bands) const = 0;
};

}  // namespace tintype
