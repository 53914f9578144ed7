/// Names intermediates of a forward pass, for comparison with a dump of the reference. Off (null)
/// in normal runs. Single-thread.
#pragma once

#include <functional>
#include <string>

#include "tensor/tensor.h"

namespace tintype::nn {

/// Called with the reference's name of a block ("down_blocks.0") and its output.
using Trace = std::function<void(const std::string& name, const Tensor& output)>;

inline void trace(const Trace* hook, const std::string& name, const Tensor& output) {
  if (hook) (*hook)(name, output);
}

}  // namespace tintype::nn
