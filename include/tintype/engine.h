/// The engine: loads checkpoints and runs requests. Public entry point of the library.
/// Thread-safety: an Engine and a Model are immutable after construction; requests may run
/// concurrently and share the machine's cores.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "tintype/adapter.h"
#include "tintype/cache_counters.h"
#include "tintype/error.h"
#include "tintype/hires.h"
#include "tintype/image.h"
#include "tintype/image_to_image.h"
#include "tintype/inpaint.h"
#include "tintype/job.h"
#include "tintype/measure.h"
#include "tintype/run_context.h"
#include "tintype/text_to_image.h"
#include "tintype/upscale.h"

namespace tintype {

struct EngineOptions {
  int threads = 0;             ///< compute threads; 0 is one per core this process may use
  std::string device = "cpu";  ///< "cpu", or "reference" (slow, double precision, for checking)
  /// Most memory that the weights and activations of a request may take; pictures whose decoding
  /// would take more are decoded in bands. 0: what the machine has.
  uint64_t memory_limit_bytes = 0;
  /// Memory that each model may use to keep adapters; the least recently used go first. One adapter
  /// may not take more.
  uint64_t adapter_budget_bytes = uint64_t{2} << 30;
  /// What encoded prompts may take, over all models of this engine, the least recently used going
  /// first; 0 keeps none. A prompt of one window takes 0.2 MB (SD 1.x) to 0.6 MB (SDXL).
  uint64_t prompt_cache_bytes = 64'000'000;
  /// The same for what the autoencoder made of input pictures; one of 512 x 512 takes 3.3 MB with
  /// the pixels that it is found by.
  uint64_t encoding_cache_bytes = 64'000'000;
  /// Jobs of Engine::submit that may wait; further ones get kQueueFull.
  size_t max_queued_jobs = 64;
};

struct ModelCaches;
class SubmissionQueue;
class PartsInTurn;

/// What a checkpoint in a single file leaves open. Folders say it themselves and refuse all but the
/// last.
struct LoadOptions {
  /// Folders with vocab.json and merges.txt, one for each text encoder or one for all; none: CLIP's
  /// own vocabulary, which the library holds.
  std::vector<std::filesystem::path> tokenizers = {};
  std::filesystem::path vae = {};           ///< file whose autoencoder replaces the checkpoint's
  std::filesystem::path text_encoder = {};  ///< likewise for CLIP ViT-L or SD 2.x's only encoder
  std::string prediction_type = {};         ///< "epsilon" or "v_prediction" where names do not tell
  /// Use the averaged copy of the network that some training checkpoints also hold (model_ema.*)
  bool ema = false;
  /// "leading", "trailing" or "linspace": which timesteps a run of few steps visits, instead of the
  /// checkpoint's own spacing. For folders, too. Models distilled to few steps need "trailing".
  std::string timestep_spacing = {};
  /// Precision against speed and memory, for folders, too: "exact" (or ""), "balanced", "fast" or
  /// "low-memory"; parts may have another: "exact,unet=balanced", "fast,vae=exact" (unet, vae,
  /// text_encoder). docs/profiles.md says what each changes.
  std::string profile = {};
  /// "none" keeps every part in memory; "sequential" loads text encoders, denoising network and
  /// autoencoder when each is called and gives up the one before: less memory, and weights are read
  /// for every request. "": sequential where the memory limit leaves no room for all.
  std::string offload = {};
  /// Added into the weights as they are read, at most 32, for folders and single files: requests
  /// then cost what they cost without, and draw with them for good. docs/adapters.md. Files that
  /// are packed models hold their weights ready and take none; pack() may merge before it packs.
  std::vector<AdapterUse> merged_adapters = {};
  std::filesystem::path adapter_folder = {};  ///< where their names are looked up
};

/// One network of a checkpoint.
struct ComponentInfo {
  std::string name;          ///< folder: "unet", "vae", "text_encoder"
  std::string architecture;  ///< class in the checkpoint's config: "UNet2DConditionModel"
  uint64_t parameters = 0;
  uint64_t file_bytes = 0;
  std::string storage;  ///< dtype in the file: "f16", or "f16+f32" when mixed
  std::string profile;  ///< "exact", "balanced", ...
  /// What the profile keeps as 8-bit integers and what as stored: layers and their weights.
  uint64_t int8_layers = 0, int8_parameters = 0, stored_layers = 0, stored_parameters = 0;
  uint64_t weight_bytes = 0;  ///< memory its packed weights will take
};

/// What a checkpoint is, found without loading its weights.
struct ModelInfo {
  std::string name;      ///< folder name, or the file's without its suffix
  std::string kind;      ///< "folder", "packed", or a single file's family: "SD 2.x"
  std::string note;      ///< what was guessed or is not used; empty when nothing was
  std::string pipeline;  ///< "StableDiffusionPipeline"
  std::vector<ComponentInfo> components;
  int default_width_px = 0, default_height_px = 0;
  int size_multiple_px = 8;     ///< width and height must be multiples of this
  std::string default_sampler;  ///< "" when the checkpoint's own is not one of ours
  int default_steps = 20;
  int max_steps = 1000;  ///< its training timesteps
  float default_guidance_scale = 7.5f;
  /// Its network has channels for a mask: for inpainting, refused by text to image and image to
  /// image.
  bool takes_mask = false;
  std::string prediction_type;
  std::string profile;  ///< "exact", "balanced,vae=exact"
  /// In the weights of a loaded or packed model; of one that is inspected only a packed one's.
  std::vector<AdapterSetting> merged_adapters = {};
  uint64_t weight_bytes = 0;  ///< memory the packed weights will take
  /// "none" or "sequential", as the model was loaded; "none" of one that is inspected.
  std::string offload = "none";
  uint64_t peak_bytes =
      0;  ///< weights, all in memory, plus activations of one default picture with guidance
};

/// A checkpoint in memory, shared by any number of requests. Made by Engine::load.
class Model {
 public:
  virtual ~Model() = default;
  virtual const ModelInfo& info() const = 0;
  /// The adapters that it keeps, and what asking for them did so far.
  virtual CacheCounters adapter_cache() const = 0;
};

class Engine {
 public:
  /// throws kInvalidArgument: thread count, device name
  explicit Engine(const EngineOptions& options = {});

  /// Reads a checkpoint: a folder in diffusers layout, or a single safetensors, GGUF or packed
  /// file. throws kNotFound, kCorruptFile, kUnsupported, kOutOfMemory, kCancelled
  std::shared_ptr<const Model> load(const std::filesystem::path& path,
                                    const RunContext& context = {},
                                    const LoadOptions& options = {}) const;

  /// With a `refiner`, that model removes the last of the noise (TextToImageRequest::refiner_start)
  /// and decodes; null: no refiner.
  /// throws kInvalidArgument naming the field, before any work; kCancelled, kDeadlineExceeded
  TextToImageResult text_to_image(const Model& model, const TextToImageRequest& request,
                                  const RunContext& context = {},
                                  const Model* refiner = nullptr) const;

  /// The pictures of a batch, in order: TextToImageRequest::batch_size of them, while text_to_image
  /// draws one. throws as text_to_image
  std::vector<TextToImageResult> text_to_images(const Model& model,
                                                const TextToImageRequest& request,
                                                const RunContext& context = {},
                                                const Model* refiner = nullptr) const;

  /// Pictures from a picture and a prompt, or a part of a picture drawn anew;
  /// drawing.batch_size of them. throws as text_to_image
  std::vector<TextToImageResult> image_to_images(const Model& model,
                                                 const ImageToImageRequest& request,
                                                 const RunContext& context = {},
                                                 const Model* refiner = nullptr) const;
  std::vector<TextToImageResult> inpaint(const Model& model, const InpaintRequest& request,
                                         const RunContext& context = {},
                                         const Model* refiner = nullptr) const;

  /// Reads an adapter ahead of the requests that will use it, and tells what it is.
  /// throws kNotFound, kIo, kCorruptFile; kUnsupported: it does not fit the model; kOutOfMemory
  AdapterInfo load_adapter(const Model& model, const std::filesystem::path& file) const;
  /// Reads an upscaler of the ESRGAN family: a safetensors file.
  /// throws kNotFound, kCorruptFile, kUnsupported
  std::shared_ptr<const Upscaler> load_upscaler(const std::filesystem::path& path) const;

  /// Pictures in two passes. throws as text_to_image
  std::vector<TextToImageResult> hires_images(const Model& model, const HiresRequest& request,
                                              const RunContext& context = {},
                                              const Model* refiner = nullptr) const;

  /// The picture, UpscalerInfo::scale times as large.
  /// throws kInvalidArgument: the options, a result too large; kCancelled, kDeadlineExceeded
  Image upscale(const Upscaler& upscaler, const Image& image, const UpscaleOptions& options = {},
                const RunContext& context = {}) const;

  /// The same as the calls above, by the engine's own thread, which takes jobs by priority and one
  /// at a time. They share this engine's memory and caches. When the last copy of the engine is
  /// destroyed, its jobs are cancelled; callbacks must not hold that copy.
  /// throws kQueueFull; what the request ends with is in the Job
  Job submit(std::shared_ptr<const Model> model, TextToImageRequest request,
             const JobOptions& options = {}) const;
  Job submit(std::shared_ptr<const Model> model, ImageToImageRequest request,
             const JobOptions& options = {}) const;
  Job submit(std::shared_ptr<const Model> model, InpaintRequest request,
             const JobOptions& options = {}) const;
  Job submit(std::shared_ptr<const Model> model, HiresRequest request,
             const JobOptions& options = {}) const;

  /// What the processor's arithmetic and the memory reach at best, with this engine's threads.
  /// Takes one to two seconds.
  MachineSpeed measure_machine() const;

  /// Times one part of a run, op by op.
  /// throws kInvalidArgument naming the field; kCancelled, kDeadlineExceeded between passes
  PartTimes measure_part(const Model& model, const MeasureRequest& request,
                         const RunContext& context = {}) const;

  /// Times switching between adapters, and what the first one adds to a denoising step.
  /// throws kInvalidArgument naming the field; as load_adapter; kCancelled, kDeadlineExceeded
  AdapterTimes measure_adapters(const Model& model, const AdapterMeasureRequest& request,
                                const RunContext& context = {}) const;
  /// What this engine's caches did so far.
  std::vector<CacheCounters> caches() const;

 private:
  /// For jobs, which must not keep alive the queue that they are in.
  Engine without_queue() const;

  EngineOptions options_;
  std::shared_ptr<ModelCaches> caches_;
  std::shared_ptr<PartsInTurn> turns_;
  std::shared_ptr<SubmissionQueue> queue_;
};

/// Reads configs and tensor headers only. throws as Engine::load
ModelInfo inspect(const std::filesystem::path& path, const LoadOptions& options = {});

/// The names that LoadOptions::offload accepts.
std::vector<std::string> offload_names();

/// The names that LoadOptions::profile accepts.
std::vector<std::string> profile_names();

/// Writes the checkpoint `model` to `file` in the form in which this machine multiplies its
/// weights: one file that Engine::load maps and uses in place. `file` appears when it is whole.
/// throws as Engine::load; kInvalidArgument: the profile, a model that is packed already; kIo
/// returns what the new file is
ModelInfo pack(const std::filesystem::path& model, const std::filesystem::path& file,
               const LoadOptions& options = {}, const RunContext& context = {});

/// "0.1.0"
std::string version();

/// Highest resident memory of this process so far, bytes; 0 where the system does not tell.
uint64_t peak_memory_bytes();

}  // namespace tintype
