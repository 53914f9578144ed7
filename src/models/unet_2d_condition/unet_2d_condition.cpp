#include "models/unet_2d_condition/unet_2d_condition.h"

#include "models/unet_2d_condition/keys.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>

namespace tintype {
namespace {

using Config = Unet2dConditionConfig;

nn::ResnetBlock2D::Options resnet_options(const Config& c, int64_t in, int64_t out) {
  return {.in_channels = in,
          .out_channels = out,
          .temb_channels = c.time_embedding_dim,
          .groups = c.norm_num_groups,
          .eps = c.norm_eps,
          .activation = c.act_fn};
}

Transformer2DModel::Options transformer_options(const Config& c, const Config::Level& level,
                                                int64_t layers) {
  return {.channels = level.channels,
          .context_width = level.cross_attention_dim,
          .heads = level.heads,
          .layers = layers,
          .groups = c.norm_num_groups};
}

nn::Conv2d same_conv(const WeightScope& w, int64_t in, int64_t out, int64_t kernel) {
  return nn::Conv2d(w, in, out, kernel, nn::same_padding(static_cast<int>((kernel - 1) / 2)));
}

/// Mean |residual - kept| / mean |kept|. On the host and in one order: the same on any number of
/// threads. A few milliseconds against the hundreds that a call takes.
double relative_change(const Tensor& residual, const Tensor& kept) {
  const Tensor now_host = ops::to_host(residual), kept_host = ops::to_host(kept);
  const std::span<const float> now = now_host.span<float>(), then = kept_host.span<float>();
  constexpr size_t kLanes = 16;
  double change = 0, size = 0;
  for (size_t begin = 0; begin < now.size(); begin += 256 * kLanes) {
    const size_t end = std::min(begin + 256 * kLanes, now.size());
    std::array<float, kLanes> changes{}, sizes{};
    for (size_t i = begin; i < end; ++i) {
      changes[i % kLanes] += std::fabs(now[i] - then[i]);
      sizes[i % kLanes] += std::fabs(then[i]);
    }
    for (size_t lane = 0; lane < kLanes; ++lane) {
      change += changes[lane];
      size += sizes[lane];
    }
  }
  return change / size;
}

/// Whether the first block's residual is close enough to the one kept; if not, it is kept instead
/// and what it replaces is freed.
bool may_reuse(const Tensor& residual, StepReuse& reuse) {
  const bool comparable = reuse.deep.defined() && reuse.residual.shape() == residual.shape();
  reuse.reused = comparable && relative_change(residual, reuse.residual) < reuse.threshold;
  if (!reuse.reused) {
    reuse.residual = residual;
    reuse.deep = {};
  }
  return reuse.reused;
}

}  // namespace

Unet2dConditionModel::Unet2dConditionModel(const WeightScope& w, const Config& c)
    : config_(c),
      traits_{.in_channels = c.in_channels,
              .out_channels = c.out_channels,
              .context_width = c.levels.front().cross_attention_dim,
              .default_height = c.sample_height,
              .default_width = c.sample_width,
              .added_width = c.added_width,
              .time_id_width = c.addition_time_embed_dim},
      conv_in_(
          same_conv(w / "conv_in", c.in_channels, c.levels.front().channels, c.conv_in_kernel)),
      time_linear_1_(w / "time_embedding.linear_1", c.levels.front().channels,
                     c.time_embedding_dim),
      time_linear_2_(w / "time_embedding.linear_2", c.time_embedding_dim, c.time_embedding_dim),
      conv_norm_out_(w / "conv_norm_out", c.norm_num_groups, c.levels.front().channels, c.norm_eps),
      conv_out_(
          same_conv(w / "conv_out", c.levels.front().channels, c.out_channels, c.conv_out_kernel)) {
  if (c.added_width) {
    add_linear_1_.emplace(w / "add_embedding.linear_1", c.added_width, c.time_embedding_dim);
    add_linear_2_.emplace(w / "add_embedding.linear_2", c.time_embedding_dim, c.time_embedding_dim);
  }
  add_down_blocks(w / "down_blocks", c);
  if (c.mid_block != Config::MidBlock::kNone) add_mid_block(w / "mid_block", c);
  add_up_blocks(w / "up_blocks", c);
  slots_ = w.slots();
  for (WeightSlot& slot : slots_) {
    size_t level = 0;
    if (std::sscanf(slot.path.c_str(), "up_blocks.%zu", &level) != 1 || level >= c.levels.size())
      level = 0;
    slot.original_path = original_unet_path(slot.path, c.levels.front().resnets,
                                            c.levels[c.levels.size() - 1 - level].up_attention);
  }
}

void Unet2dConditionModel::add_mid_block(const WeightScope& w, const Config& c) {
  const Config::Level& deepest = c.levels.back();
  const auto resnet = resnet_options(c, deepest.channels, deepest.channels);
  mid_block_.emplace(MidBlock{nn::ResnetBlock2D(w / "resnets.0", resnet), {}, {}});
  if (c.mid_block != Config::MidBlock::kAttention) return;
  mid_block_->attention.emplace(w / "attentions.0",
                                transformer_options(c, deepest, deepest.mid_layers));
  mid_block_->resnet1.emplace(w / "resnets.1", resnet);
}

void Unet2dConditionModel::add_down_blocks(const WeightScope& w, const Config& c) {
  int64_t in = c.levels.front().channels;
  for (size_t i = 0; i < c.levels.size(); ++i) {
    const Config::Level& level = c.levels[i];
    const WeightScope block = w / static_cast<int64_t>(i);
    DownBlock& down = down_blocks_.emplace_back();
    for (int64_t layer = 0; layer < level.resnets; ++layer, in = level.channels) {
      down.resnets.emplace_back(block / "resnets" / layer, resnet_options(c, in, level.channels));
      if (level.down_attention)
        down.attentions.emplace_back(
            block / "attentions" / layer,
            transformer_options(c, level, level.down_layers[static_cast<size_t>(layer)]));
    }
    if (i + 1 < c.levels.size())
      down.downsampler.emplace(block / "downsamplers.0", level.channels, c.downsample_padding);
  }
}

void Unet2dConditionModel::add_up_blocks(const WeightScope& w, const Config& c) {
  const size_t count = c.levels.size();
  int64_t in = c.levels.back().channels;
  for (size_t i = 0; i < count; ++i) {
    const Config::Level& level = c.levels[count - 1 - i];
    // The last resnet takes the skip that the finer level's downsampler (or conv_in) left.
    const int64_t finer = c.levels[count - 1 - std::min(i + 1, count - 1)].channels;
    const WeightScope block = w / static_cast<int64_t>(i);
    UpBlock& up = up_blocks_.emplace_back();
    for (int64_t layer = 0; layer <= level.resnets; ++layer, in = level.channels) {
      const int64_t skip = layer == level.resnets ? finer : level.channels;
      up.resnets.emplace_back(block / "resnets" / layer,
                              resnet_options(c, in + skip, level.channels));
      if (level.up_attention)
        up.attentions.emplace_back(
            block / "attentions" / layer,
            transformer_options(c, level, level.up_layers[static_cast<size_t>(layer)]));
    }
    if (i + 1 < count) up.upsampler.emplace(block / "upsamplers.0", level.channels);
  }
}

Tensor Unet2dConditionModel::DownBlock::layer(size_t i, const Tensor& x, const BlockInputs& in,
                                              std::vector<Tensor>& skips) const {
  Tensor h = resnets[i].forward(x, &in.temb, nullptr, in.adapters);
  if (!attentions.empty()) h = attentions[i].forward(h, in.context, in.adapters, in.projections);
  skips.push_back(h);
  return h;
}

Tensor Unet2dConditionModel::DownBlock::forward(Tensor x, const BlockInputs& in,
                                                std::vector<Tensor>& skips, size_t first) const {
  for (size_t i = first; i < resnets.size(); ++i) x = layer(i, x, in, skips);
  if (downsampler) {
    x = downsampler->forward(x, in.adapters);
    skips.push_back(x);
  }
  return x;
}

Tensor Unet2dConditionModel::MidBlock::forward(const Tensor& x, const BlockInputs& in) const {
  const Tensor h = resnet0.forward(x, &in.temb, nullptr, in.adapters);
  if (!attention) return h;
  return resnet1->forward(attention->forward(h, in.context, in.adapters, in.projections), &in.temb,
                          nullptr, in.adapters);
}

Tensor Unet2dConditionModel::UpBlock::layers(size_t first, size_t last, Tensor x,
                                             const BlockInputs& in,
                                             std::vector<Tensor>& skips) const {
  for (size_t i = first; i < last; ++i) {
    x = resnets[i].forward(ops::concat_last(x, skips.back()), &in.temb, nullptr, in.adapters);
    skips.pop_back();
    if (!attentions.empty()) x = attentions[i].forward(x, in.context, in.adapters, in.projections);
  }
  return x;
}

Tensor Unet2dConditionModel::UpBlock::forward(Tensor x, const BlockInputs& in,
                                              std::vector<Tensor>& skips) const {
  x = layers(0, resnets.size(), std::move(x), in, skips);
  // To the next skip's size: twice ours, or one less where a side was odd on the way down.
  if (upsampler) x = upsampler->forward(x, skips.back().dim(1), skips.back().dim(2), in.adapters);
  return x;
}

Tensor Unet2dConditionModel::sinusoids(const Tensor& numbers, int64_t width) const {
  const int64_t rows = numbers.dim(0), count = numbers.dim(1), half = width / 2;
  // An odd width ends in a zero.
  std::vector<float> values(static_cast<size_t>(rows * count * width), 0.0f);
  for (int64_t i = 0; i < half; ++i) {
    // In float, as the reference: at t = 999 the rounding of the phase is part of the picture.
    const float exponent = static_cast<float>(-std::log(10000.0)) * static_cast<float>(i) /
                           static_cast<float>(static_cast<double>(half) - config_.freq_shift);
    const float frequency = std::exp(exponent);
    const int64_t sine = config_.flip_sin_to_cos ? half + i : i;
    for (int64_t n = 0; n < rows * count; ++n) {
      const float phase = numbers.data<float>()[n] * frequency;
      values[static_cast<size_t>(n * width + sine)] = std::sin(phase);
      values[static_cast<size_t>(n * width + (sine + half) % (2 * half))] = std::cos(phase);
    }
  }
  return host_tensor(Shape{rows, count * width}, std::span<const float>(values));
}

void Unet2dConditionModel::require_fit(const Tensor& x, const Conditioning& conditioning) const {
  TT_REQUIRE(x.rank() == 4 && x.dim(3) == traits_.in_channels, "unet", "x must be [B,H,W,",
             traits_.in_channels, "], got ", x.shape());
  const Tensor &context = conditioning.context, &pooled = conditioning.pooled,
               &time_ids = conditioning.time_ids;
  TT_REQUIRE(context.rank() == 3 && context.dim(2) == traits_.context_width &&
                 (context.dim(0) == x.dim(0) || (x.dim(0) && context.dim(0) % x.dim(0) == 0)),
             "unet", "context must be [rows,S,", traits_.context_width, "] with ", x.dim(0),
             " rows or a multiple, got ", context.shape());
  if (!traits_.added_width) return;
  TT_REQUIRE(pooled.defined() && time_ids.defined(), "unet",
             "this network needs pooled text features and time ids, got none");
  TT_REQUIRE(pooled.rank() == 2 && time_ids.rank() == 2 && pooled.dim(0) == context.dim(0) &&
                 time_ids.dim(0) == context.dim(0) &&
                 pooled.dim(1) + time_ids.dim(1) * traits_.time_id_width == traits_.added_width,
             "unet", "pooled [R,P] and time_ids [R,N] must have ", context.dim(0), " rows and P + ",
             traits_.time_id_width, " N = ", traits_.added_width, ", got ", pooled.shape(), " and ",
             time_ids.shape());
}

Tensor Unet2dConditionModel::time_embedding(const Tensor& x, float timestep,
                                            const Conditioning& conditioning,
                                            const nn::Trace* trace) const {
  const nn::AdapterView* adapters = conditioning.adapters.get();
  // One timestep serves the batch: embed it once, then give every image its copy; but where images
  // have adapters of their own, embed it for each.
  const int64_t rows = adapters && adapters->mixed() ? x.dim(0) : 1;
  const std::vector<float> steps(static_cast<size_t>(rows), timestep);
  const Tensor step = host_tensor(Shape{rows, 1}, std::span<const float>(steps));
  Tensor temb = ops::to_device(sinusoids(step, config_.levels.front().channels), x.device());
  temb = time_linear_1_.forward(temb, {.activation = config_.act_fn, .adapters = adapters});
  temb = time_linear_2_.forward(temb, {.adapters = adapters});
  const Tensor one = temb;
  for (int64_t i = rows; i < x.dim(0); ++i) temb = ops::concat_first(temb, one);
  nn::trace(trace, "time_embedding", temb);
  if (!traits_.added_width) return temb;
  const Tensor ids = sinusoids(conditioning.time_ids, traits_.time_id_width);
  const Tensor added = ops::concat_last(conditioning.pooled, ops::to_device(ids, x.device()));
  // The reference builds this embedding with SiLU whatever act_fn says.
  const Tensor wide =
      add_linear_1_->forward(added, {.activation = Activation::kSilu, .adapters = adapters});
  const Tensor embedded = add_linear_2_->forward(wide, {.adapters = adapters});
  nn::trace(trace, "add_embedding", embedded);
  return ops::add(temb, embedded);
}

Tensor Unet2dConditionModel::forward(const Tensor& x, float timestep,
                                     const Conditioning& conditioning,
                                     const nn::Trace* trace) const {
  return run(x, timestep, conditioning, trace, nullptr);
}

Tensor Unet2dConditionModel::forward_reusing(const Tensor& x, float timestep,
                                             const Conditioning& conditioning,
                                             StepReuse& reuse) const {
  return run(x, timestep, conditioning, nullptr, &reuse);
}

Tensor Unet2dConditionModel::run(const Tensor& images, float timestep,
                                 const Conditioning& conditioning, const nn::Trace* trace,
                                 StepReuse* reuse) const {
  require_fit(images, conditioning);
  const nn::AdapterView* adapters = conditioning.adapters.get();
  const int64_t rows = conditioning.context.dim(0);
  // The halves of guidance are one picture until text, or an adapter of one of them, comes in.
  const bool apart = traits_.added_width || (adapters && adapters->mixed());
  const Tensor x = apart ? ops::repeat_first(images, rows) : images;
  const Tensor first_temb =
      ops::activation(time_embedding(x, timestep, conditioning, trace), config_.act_fn);
  const Tensor temb = ops::repeat_first(first_temb, rows);
  ContextProjections* projections = conditioning.projections.get();
  const BlockInputs in{temb, conditioning.context, adapters, projections};

  Tensor h = conv_in_.forward(x, {.adapters = adapters});
  nn::trace(trace, "conv_in", h);

  std::vector<Tensor> skips;
  Tensor first =
      down_blocks_[0].layer(0, h, {first_temb, conditioning.context, adapters, projections}, skips);
  h = ops::repeat_first(h, rows);
  first = ops::repeat_first(first, rows);
  skips = {h, first};
  const UpBlock& last = up_blocks_.back();
  const size_t fresh = last.resnets.size() - 2;  // its layers from here on take conv_in and `first`
  if (reuse && may_reuse(ops::weighted_sum({{1.0f, &first}, {-1.0f, &h}}), *reuse)) {
    h = reuse->deep;
  } else {
    h = first;
    for (size_t i = 0; i < down_blocks_.size(); ++i) {
      h = down_blocks_[i].forward(std::move(h), in, skips, i == 0 ? 1 : 0);
      nn::trace(trace, cat("down_blocks.", i), h);
    }
    if (mid_block_) {
      h = mid_block_->forward(h, in);
      nn::trace(trace, "mid_block", h);
    }
    for (size_t i = 0; i + 1 < up_blocks_.size(); ++i) {
      h = up_blocks_[i].forward(std::move(h), in, skips);
      nn::trace(trace, cat("up_blocks.", i), h);
    }
    h = last.layers(0, fresh, std::move(h), in, skips);
    if (reuse) reuse->deep = h;
  }
  h = last.layers(fresh, last.resnets.size(), std::move(h), in, skips);
  nn::trace(trace, cat("up_blocks.", up_blocks_.size() - 1), h);
  h = conv_norm_out_.forward(
      h, {.activation = config_.act_fn, .consumer = conv_out_.input_format(in.adapters)});
  return conv_out_.forward(h, {.adapters = in.adapters});
}

}  // namespace tintype
