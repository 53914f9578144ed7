#include "models/in_turn.h"

#include <algorithm>
#include <utility>

#include "backend/registry.h"

namespace tintype {
namespace {

template <typename Role>
using Loader = std::unique_ptr<Role> (*)(const Component&, Device);

/// A network's place in the turns.
template <typename Role>
class Place final : public PartsInTurn::Part {
 public:
  Place(TurnOfPart turn, const Component& component, Loader<Role> load)
      : turn_(std::move(turn)), component_(component), load_(load) {
    turn_.turns->join(*turn_.group, *this);
  }
  ~Place() override { turn_.turns->leave(*turn_.group, *this); }
  Place(const Place&) = delete;
  Place& operator=(const Place&) = delete;

  void give_up() override { network_.reset(); }

  /// `use(network)` in the network's turn.
  template <typename Use>
  auto with(const Use& use) {
    const auto lock = turn_.turns->take(turn_.group, turn_.device);
    if (!network_) network_ = load_(component_, turn_.device);
    return use(std::as_const(*network_));
  }

 private:
  TurnOfPart turn_;
  Component component_;
  Loader<Role> load_;
  std::unique_ptr<Role> network_;
};

class TextEncoderInTurn final : public TextEncoder {
 public:
  TextEncoderInTurn(TurnOfPart turn, const Component& component, const TextEncoder& shapes)
      : traits_(shapes.traits()),
        slots_(shapes.slots()),
        place_(std::move(turn), component, load_text_encoder) {}
  const Traits& traits() const override { return traits_; }
  const std::vector<WeightSlot>& slots() const override { return slots_; }
  TextFeatures encode(const Tensor& ids, const TextOptions& options,
                      const nn::Trace* trace) const override {
    return place_.with([&](const TextEncoder& it) { return it.encode(ids, options, trace); });
  }

 private:
  Traits traits_;
  std::vector<WeightSlot> slots_;
  mutable Place<TextEncoder> place_;  // guarded by the turns' mutex
};

class DenoisingNetworkInTurn final : public DenoisingNetwork {
 public:
  DenoisingNetworkInTurn(TurnOfPart turn, const Component& component,
                         const DenoisingNetwork& shapes)
      : traits_(shapes.traits()),
        slots_(shapes.slots()),
        place_(std::move(turn), component, load_denoising_network) {}
  const Traits& traits() const override { return traits_; }
  const std::vector<WeightSlot>& slots() const override { return slots_; }
  Tensor forward(const Tensor& x, float timestep, const Conditioning& conditioning,
                 const nn::Trace* trace) const override {
    return place_.with(
        [&](const DenoisingNetwork& it) { return it.forward(x, timestep, conditioning, trace); });
  }
  Tensor forward_reusing(const Tensor& x, float timestep, const Conditioning& conditioning,
                         StepReuse& reuse) const override {
    return place_.with([&](const DenoisingNetwork& it) {
      return it.forward_reusing(x, timestep, conditioning, reuse);
    });
  }

 private:
  Traits traits_;
  std::vector<WeightSlot> slots_;
  mutable Place<DenoisingNetwork> place_;
};

class LatentCodecInTurn final : public LatentCodec {
 public:
  LatentCodecInTurn(TurnOfPart turn, const Component& component, const Traits& traits)
      : traits_(traits), place_(std::move(turn), component, load_latent_codec) {}
  const Traits& traits() const override { return traits_; }
  Tensor decode(const Tensor& latents, const nn::Trace* trace) const override {
    return place_.with([&](const LatentCodec& it) { return it.decode(latents, trace); });
  }
  Tensor decode_in_bands(const Tensor& latents, const CodecBands& bands) const override {
    return place_.with([&](const LatentCodec& it) { return it.decode_in_bands(latents, bands); });
  }
  Tensor encode_moments(const Tensor& picture, const nn::Trace* trace) const override {
    return place_.with([&](const LatentCodec& it) { return it.encode_moments(picture, trace); });
  }
  Tensor encode_in_bands(const Tensor& picture, const CodecBands& bands) const override {
    return place_.with([&](const LatentCodec& it) { return it.encode_in_bands(picture, bands); });
  }

 private:
  Traits traits_;
  mutable Place<LatentCodec> place_;
};

}  // namespace

std::unique_lock<std::mutex> PartsInTurn::take(const std::shared_ptr<Group>& group, Device device) {
  std::unique_lock lock(mutex_);
  if (present_ == group) return lock;
  if (present_) {
    for (Part* part : present_->parts) part->give_up();
    backend_for(device).trim();  // what follows has other sizes
    ++changes_;
  }
  present_ = group;
  return lock;
}

void PartsInTurn::join(Group& group, Part& part) {
  const std::lock_guard lock(mutex_);
  group.parts.push_back(&part);
}

void PartsInTurn::leave(Group& group, Part& part) {
  const std::lock_guard lock(mutex_);
  std::erase(group.parts, &part);
}

uint64_t PartsInTurn::changes() const {
  const std::lock_guard lock(mutex_);
  return changes_;
}

std::unique_ptr<TextEncoder> text_encoder_in_turn(TurnOfPart turn, const Component& component,
                                                  const TextEncoder& shapes) {
  return std::make_unique<TextEncoderInTurn>(std::move(turn), component, shapes);
}

std::unique_ptr<DenoisingNetwork> denoising_network_in_turn(TurnOfPart turn,
                                                            const Component& component,
                                                            const DenoisingNetwork& shapes) {
  return std::make_unique<DenoisingNetworkInTurn>(std::move(turn), component, shapes);
}

std::unique_ptr<LatentCodec> latent_codec_in_turn(TurnOfPart turn, const Component& component,
                                                  const LatentCodec& shapes) {
  return std::make_unique<LatentCodecInTurn>(std::move(turn), component, shapes.traits());
}

}  // namespace tintype
