/// One layer's tensors of an adapter, of whatever kind, as what the layer multiplies. Pure
/// functions.
/// paper  Hu et al. 2021, arXiv:2106.09685 (LoRA); Yeh et al. 2023, arXiv:2309.14859 (LoCon, LoHa,
///        LoKr); Liu et al. 2024, arXiv:2402.09353 (DoRA)
#pragma once

#include <array>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "adapters/adapter_keys.h"
#include "nn/adapter_view.h"

namespace tintype {

/// The tensors of one layer; undefined where the file has none.
struct LayerTensors {
  std::array<Tensor, kAdapterTensorKinds> tensors;
  std::optional<double> alpha = {};
  std::optional<double> scale = {};  ///< instead of alpha / rank: what PEFT's config makes of both
  const Tensor& operator[](AdapterTensor kind) const { return tensors[static_cast<size_t>(kind)]; }
  Tensor& operator[](AdapterTensor kind) { return tensors[static_cast<size_t>(kind)]; }
  bool has(AdapterTensor kind) const { return (*this)[kind].defined(); }
};

/// Why the tensors do not make a change of a layer of shape `slot` ([N,K] or [O,I,kh,kw]), with the
/// shapes; "" where they do.
std::string layer_fault(const LayerTensors& layer, const Shape& slot);

/// "LoRA", "LoHa", "LoKr", "full"; a "DoRA" says so.
std::string layer_kind(const LayerTensors& layer);
int64_t layer_rank(const LayerTensors& layer);  ///< 0: no rank

/// Bytes of the packed form, at most; known before anything is computed.
size_t layer_bytes(const LayerTensors& layer, const Shape& slot);

/// The packed form on `device`, beside a weight of `format`. `weight` reads the layer's own weight,
/// which only DoRA needs. Call it for layers without fault.
std::shared_ptr<const nn::LayerDelta> pack_layer(const LayerTensors& layer, const Shape& slot,
                                                 WeightFormat format, Device device,
                                                 const std::function<Tensor()>& weight);

/// Adds to `sum` what the layer changes of `weight` at a request's `strength`: the numbers that the
/// packed form adds to the layer's product. Call it for layers without fault.
/// weight, sum  f32, the slot's shape, on the host; `sum` is written
void add_change(const LayerTensors& layer, float strength, const Tensor& weight, Tensor& sum);

}  // namespace tintype
