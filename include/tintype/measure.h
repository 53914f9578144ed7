/// What this machine can do, and what a model's parts do with it, op by op: the numbers behind
/// `tintype bench`. Plain data; Engine::measure_machine and Engine::measure_part fill it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "tintype/adapter.h"

namespace tintype {

/// The most operations that a kind of arithmetic reaches from registers, without memory. A multiply
/// and an addition are two operations.
struct ArithmeticPeak {
  std::string arithmetic = {};  ///< "f32", "bf16", "f16", "int8"
  std::string instruction =
      {};                       ///< the one that reached it; "" when the machine has no unit for it
  double operations_per_s = 0;  ///< all threads
  double one_thread_operations_per_s = 0;  ///< one thread alone
};

struct MachineSpeed {
  int threads = 0;
  std::vector<ArithmeticPeak> peaks = {};  ///< the four kinds, always in the order above
  double read_bytes_per_s = 0;             ///< from memory, all threads
  double one_thread_read_bytes_per_s = 0;  ///< from memory, one thread alone

  /// Null where `arithmetic` is not listed or the machine has no unit for it.
  const ArithmeticPeak* peak(const std::string& arithmetic) const {
    for (const ArithmeticPeak& entry : peaks)
      if (entry.arithmetic == arithmetic && entry.operations_per_s > 0) return &entry;
    return nullptr;
  }
};

/// The parts of a run that can be measured alone.
enum class ModelPart {
  kEncode,  ///< prompts to conditioning, negative and positive
  kStep,    ///< one call of the denoising network with guidance, without the sampler's arithmetic
  kDecode   ///< latents to a picture
};

struct MeasureRequest {
  ModelPart part = ModelPart::kStep;
  int width_px = 0, height_px = 0;  ///< 0: the model's own
  int batch_size = 1;               ///< pictures; guidance takes two rows for each. Not of kDecode
  bool guidance = true;
  int repeat = 3;         ///< passes after one to warm up; the one of median time is told
  bool by_shape = false;  ///< a row for each shape, instead of one for each kind of op
};

/// Calls of one kind.
struct OpTime {
  std::string op = {};          ///< "conv2d 3x3", "attention 4096x4096x40" (queries, keys, width)
  std::string shape = {};       ///< of one call, where asked for; else ""
  std::string arithmetic = {};  ///< of its products; "" when it has none
  int64_t calls = 0;
  double seconds = 0;
  double operations = 0;  ///< of its products: two for each multiplication with a weight or key
  double bytes = 0;       ///< inputs, weights and outputs, each once
};

/// What adapters cost; see Engine::measure_adapters.
struct AdapterMeasureRequest {
  std::vector<std::filesystem::path> files;  ///< two or more; requests turn from one to the next
  int width_px = 0, height_px = 0;           ///< 0: the model's own
  int switches = 50;                         ///< 1..100000
  int repeat = 5;  ///< pairs of steps, one without adapters and one with the first of `files`
};

struct AdapterTimes {
  std::vector<AdapterInfo> adapters = {};
  std::vector<double> read_s = {};  ///< of each file: reading, matching and packing
  /// Each from the arrival of a request that names another resident adapter than the last one did
  /// to its first kernel.
  std::vector<double> switch_s = {};
  std::vector<double> plain_request_s = {};  ///< the same time of requests without adapters
  std::vector<double> plain_step_s = {}, adapted_step_s = {};  ///< in pairs, with guidance
  int width_px = 0, height_px = 0;
};

/// One pass through a part.
struct PartTimes {
  std::string part = {};  ///< "step"
  int64_t rows = 0;       ///< of the batch, with guidance two for each picture
  int width_px = 0, height_px = 0;
  double seconds = 0;                    ///< of the pass: the ops and what lies between them
  std::vector<double> all_seconds = {};  ///< of every pass, in order
  std::vector<OpTime> ops = {};          ///< longest first
};

}  // namespace tintype
