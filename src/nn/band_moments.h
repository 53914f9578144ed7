/// Group norms over a picture that is computed in bands of rows, one band in memory at a time. Each
/// norm needs the moments of the whole picture, which no band knows; so the bands are gone through
/// once for every norm, and each pass learns the moments of one more. The pass after the last gives
/// what the whole picture at once would give. Single-thread.
#pragma once

#include <vector>

#include "tensor/tensor.h"

namespace tintype::nn {

class BandMoments {
 public:
  /// The next band: `rows` rows at the resolution where bands are cut, of which
  /// [first_own, last_own) belong to no other band; the others are there for the filters to see.
  void begin_band(int64_t rows, int64_t first_own, int64_t last_own);
  /// Called by each norm in the order of the network: the moments [1,groups,2] to normalise
  /// x [1,k*rows,W,C] with, once they are known.
  Tensor next(const Tensor& x, int groups);
  /// This band has given what the pass learns: the rest of the network need not be computed.
  bool enough() const { return norm_ > known_.size(); }
  /// Every band was seen. False: the pass learnt nothing, since all moments were known.
  bool end_pass();

 private:
  int64_t rows_ = 1, first_own_ = 0, last_own_ = 1;
  size_t norm_ = 0;            ///< norms met in this band
  std::vector<Tensor> known_;  ///< [1,groups,2] of each norm
  double count_ = 0;           ///< what this pass has seen of the norm that it learns
  std::vector<double> sums_;   ///< [groups,2]: of x and of x squared
};

}  // namespace tintype::nn
