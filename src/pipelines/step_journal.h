/// What a denoising run saves after each network call, and how a later run of the same request goes
/// on from there: it gets the network's answers from the records and computes all else again (the
/// sampler's steps, every draw of noise), so that samplers need no way to save their state and the
/// picture is bit for bit that of a run without interruption. Single-thread; belongs to the run.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "tensor/tensor.h"
#include "tintype/run_context.h"

namespace tintype {

/// One network call.
struct SavedCall {
  uint64_t question = 0;  ///< checksum of what the network was asked: latents, timestep, prompts
  std::vector<bool> reused = {};  ///< of each image; none where steps are never reused (StepReuse)
  Tensor prediction = {};         ///< [B,h,w,C] f32 in host memory
};

class StepJournal {
 public:
  /// Takes those of RunContext::saved_steps that bear this `name` (of one network's part of one
  /// run), as far as they follow each other; damaged ones and all after them are left out, with
  /// nothing lost but time. `context` outlives this.
  StepJournal(const RunContext& context, uint64_t name);

  /// The next call's record if it answers `question`; none from the first that does not, and, where
  /// steps may be reused, from the last call that computed every image whole: what the next might
  /// reuse is not saved.
  std::optional<SavedCall> replay(uint64_t question);
  /// The next call was computed: tells RunContext::on_step_saved.
  void record(const SavedCall& call);

  /// Whether calls are worth asking and telling about.
  bool active() const { return next_ < calls_.size() || context_.on_step_saved; }

 private:
  const RunContext& context_;
  uint64_t name_;
  std::vector<SavedCall> calls_;
  size_t next_ = 0;
};

/// Bytes of a record, and back; none: damaged, or another's.
std::string encode_saved_call(uint64_t name, uint32_t index, const SavedCall& call);
std::optional<SavedCall> decode_saved_call(std::string_view bytes, uint64_t name, uint32_t index);

}  // namespace tintype
