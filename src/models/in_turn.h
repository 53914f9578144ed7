/// Networks that are loaded when they are called and given up when another one's turn comes: a
/// model whose parts do not fit into memory together still draws, one stage after the other, at the
/// price of reading its weights for every request. Pipelines see the roles and notice nothing.
#pragma once

#include <memory>
#include <mutex>
#include <vector>

#include "models/registry.h"

namespace tintype {

/// Who is in memory, of all models that share it. Guarded by its mutex, which whoever has the turn
/// holds for the call: requests that run at once wait for each other, and change places.
class PartsInTurn {
 public:
  /// A network in memory, or its place.
  struct Part {
    virtual ~Part() = default;
    virtual void give_up() = 0;
  };
  /// Parts that are needed together: a model's text encoders.
  struct Group {
    std::vector<Part*> parts;
  };

  /// Gives up whoever else is in memory. The turn lasts as long as the result.
  std::unique_lock<std::mutex> take(const std::shared_ptr<Group>& group, Device device);
  void join(Group& group, Part& part);
  void leave(Group& group, Part& part);

  uint64_t changes() const;  ///< how often a group gave way to another

 private:
  mutable std::mutex mutex_;
  std::shared_ptr<Group> present_;
  uint64_t changes_ = 0;
};

/// Where a part finds its turn.
struct TurnOfPart {
  std::shared_ptr<PartsInTurn> turns;
  std::shared_ptr<PartsInTurn::Group> group;
  Device device = Device::kCpu;
};

/// As load_text_encoder and so on, but loading happens at the first call, and again after giving
/// way: calls throw what loading throws. `shapes`: the same network on Device::kMeta, for its
/// traits.
std::unique_ptr<TextEncoder> text_encoder_in_turn(TurnOfPart turn, const Component& component,
                                                  const TextEncoder& shapes);
std::unique_ptr<DenoisingNetwork> denoising_network_in_turn(TurnOfPart turn,
                                                            const Component& component,
                                                            const DenoisingNetwork& shapes);
std::unique_ptr<LatentCodec> latent_codec_in_turn(TurnOfPart turn, const Component& component,
                                                  const LatentCodec& shapes);

}  // namespace tintype
