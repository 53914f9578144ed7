/// A weight in the form in which some backend multiplies it, taken apart into plain tensors that a
/// file can hold. Only that backend knows what they mean. Values.
#pragma once

#include <string>
#include <vector>

#include "tensor/tensor.h"

namespace tintype {

struct PackedParts {
  std::string name;           ///< "down_blocks.0.resnets.0.conv1.weight", for messages
  Shape shape;                ///< the checkpoint's: [N,K] or [O,I,kh,kw]; of a plain tensor its own
  std::string layout;         ///< "cpu int8 panels of 32"; empty: parts[0] is a plain tensor
  std::string element;        ///< what the weight is kept in, for people: "int8", "f16"
  std::vector<Tensor> parts;  ///< in host memory
};

}  // namespace tintype
