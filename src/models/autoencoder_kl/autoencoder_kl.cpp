#include "models/autoencoder_kl/autoencoder_kl.h"

#include <algorithm>
#include <cmath>

#include "models/config_checks.h"

namespace tintype {
namespace {

constexpr float kEps = 1e-6f;  // fixed in the reference, not a config key

/// Rows [first, last) of a picture [1,H,W,C]: a view.
Tensor picture_rows(const Tensor& x, int64_t first, int64_t last) {
  const Tensor rows = x.reshape(Shape{x.dim(1), x.dim(2), x.dim(3)}).slice(first, last);
  return rows.reshape(Shape{1, last - first, x.dim(2), x.dim(3)});
}

/// What `compute` makes of a picture of `rows` rows, band by band: of rows [top, bottom), which are
/// the band's own and up to `halo` beside them, it makes `scale` rows each, or nothing while the
/// pass only learns moments. Passes are made until all moments are known.
template <typename Compute>
Tensor in_bands(int64_t rows, int64_t band_rows, int64_t halo, int64_t scale,
                const Compute& compute) {
  nn::BandMoments moments;
  Tensor joined;
  do {
    for (int64_t row = 0; row < rows; row += band_rows) {
      const int64_t end = std::min(row + band_rows, rows);
      const int64_t top = std::max<int64_t>(row - halo, 0), bottom = std::min(end + halo, rows);
      moments.begin_band(bottom - top, row - top, end - top);
      const Tensor band = compute(top, bottom, moments);
      if (!band.defined()) continue;
      const Tensor own = picture_rows(band, (row - top) * scale, (end - top) * scale);
      const Tensor lines = own.reshape(Shape{own.dim(1), own.dim(2), own.dim(3)});
      joined = joined.defined() ? ops::concat_first(joined, lines) : lines;
    }
  } while (moments.end_pass());
  return joined.reshape(Shape{1, joined.dim(0), joined.dim(1), joined.dim(2)});
}

nn::ResnetBlock2D::Options resnet_options(const AutoencoderKlConfig& c, int64_t in, int64_t out) {
  return {.in_channels = in,
          .out_channels = out,
          .groups = c.norm_num_groups,
          .eps = kEps,
          .activation = c.act_fn};
}

/// Every entry of the list must be the plain block of its kind; there must be one per level.
void require_plain_blocks(const JsonObject& json, std::string_view key, std::string_view name,
                          size_t levels) {
  if (!json.has(key)) return;
  const std::vector<std::string> types = json.texts(key);
  if (types.size() != levels)
    fail(ErrorKind::kCorruptFile, json.origin(), key, " must have one entry for each of ", levels,
         " block_out_channels, got ", types.size());
  for (const std::string& type : types)
    if (type != name)
      fail(ErrorKind::kUnsupported, json.origin(), key, " must list ", name, " only, got \"", type,
           "\"");
}

nn::Linear attention_linear(const WeightScope& w, const char* name, const char* old_name,
                            int64_t channels) {
  const bool old = w.has(cat(old_name, ".weight"));
  return nn::Linear(w / (old ? old_name : name), channels, channels, {.from_conv1x1 = true});
}

}  // namespace

AutoencoderKlConfig AutoencoderKlConfig::from_json(const JsonObject& json) {
  AutoencoderKlConfig c;
  c.in_channels = json.integer("in_channels", 1, 64, 3);
  c.out_channels = json.integer("out_channels", 1, 64, 3);
  c.latent_channels = json.integer("latent_channels", 1, 256, 4);
  c.block_out_channels = json.has("block_out_channels")
                             ? json.integers("block_out_channels", 1, kMaxWidth, 10)
                             : std::vector<int64_t>{64};
  c.layers_per_block = json.integer("layers_per_block", 1, kMaxLayers, 1);
  c.norm_num_groups = static_cast<int>(json.integer("norm_num_groups", 1, kMaxWidth, 32));
  c.act_fn = parse_activation(json, "act_fn", "silu");
  c.scaling_factor = static_cast<float>(json.number("scaling_factor", 1e-6, 1e6, 0.18215));
  // shift_factor is left alone on purpose: the reference's Stable Diffusion pipeline ignores it.
  c.use_quant_conv = json.boolean("use_quant_conv", true);
  c.use_post_quant_conv = json.boolean("use_post_quant_conv", true);
  c.mid_block_add_attention = json.boolean("mid_block_add_attention", true);
  require_only(json, "latents_mean", nullptr);
  require_only(json, "latents_std", nullptr);
  if (c.block_out_channels.empty())
    fail(ErrorKind::kCorruptFile, json.origin(), "block_out_channels must not be empty");
  for (const int64_t channels : c.block_out_channels)
    if (channels % c.norm_num_groups != 0)
      fail(ErrorKind::kCorruptFile, json.origin(), "block_out_channels must be multiples of ",
           "norm_num_groups ", c.norm_num_groups, ", got ", channels);
  require_plain_blocks(json, "down_block_types", "DownEncoderBlock2D", c.block_out_channels.size());
  require_plain_blocks(json, "up_block_types", "UpDecoderBlock2D", c.block_out_channels.size());
  return c;
}

AutoencoderAttention::AutoencoderAttention(const WeightScope& w, int64_t channels, int groups)
    : group_norm_(w / "group_norm", groups, channels, kEps),
      to_q_(attention_linear(w, "to_q", "query", channels)),
      to_k_(attention_linear(w, "to_k", "key", channels)),
      to_v_(attention_linear(w, "to_v", "value", channels)),
      to_out_(attention_linear(w, "to_out.0", "proj_attn", channels)) {}

Tensor AutoencoderAttention::forward(const Tensor& x) const {
  const Shape tokens{x.dim(0), x.dim(1) * x.dim(2), x.dim(3)};
  const Tensor residual = x.reshape(tokens);
  const Tensor n = group_norm_.forward(
      residual, {.consumer = nn::input_format({&to_q_, &to_k_, &to_v_}, nullptr)});
  const Tensor mixed =
      ops::attention(to_q_.forward(n), to_k_.forward(n), to_v_.forward(n),
                     {.heads = 1, .scale = 1.0f / std::sqrt(static_cast<float>(x.dim(3)))});
  return to_out_.forward(mixed, {.residual = &residual}).reshape(x.shape());
}

AutoencoderKl::MidBlock::MidBlock(const WeightScope& w, const AutoencoderKlConfig& c)
    : resnet0(w / "resnets.0",
              resnet_options(c, c.block_out_channels.back(), c.block_out_channels.back())),
      resnet1(w / "resnets.1",
              resnet_options(c, c.block_out_channels.back(), c.block_out_channels.back())) {
  if (c.mid_block_add_attention)
    attention.emplace(w / "attentions.0", c.block_out_channels.back(), c.norm_num_groups);
}

Tensor AutoencoderKl::MidBlock::forward(const Tensor& x) const {
  Tensor h = resnet0.forward(x);
  if (attention) h = attention->forward(h);
  return resnet1.forward(h);
}

AutoencoderKl::Encoder::Encoder(const WeightScope& w, const AutoencoderKlConfig& c)
    : conv_in(w / "conv_in", c.in_channels, c.block_out_channels.front(), 3, nn::same_padding(1)),
      mid_block(w / "mid_block", c),
      conv_norm_out(w / "conv_norm_out", c.norm_num_groups, c.block_out_channels.back(), kEps),
      conv_out(w / "conv_out", c.block_out_channels.back(), 2 * c.latent_channels, 3,
               nn::same_padding(1)) {
  int64_t in = c.block_out_channels.front();
  for (size_t i = 0; i < c.block_out_channels.size(); ++i) {
    const WeightScope block = w / "down_blocks" / static_cast<int64_t>(i);
    const int64_t out = c.block_out_channels[i];
    down_blocks.emplace_back();
    for (int64_t layer = 0; layer < c.layers_per_block; ++layer, in = out)
      down_blocks.back().resnets.emplace_back(block / "resnets" / layer,
                                              resnet_options(c, in, out));
    if (i + 1 < c.block_out_channels.size())
      down_blocks.back().downsampler.emplace(block / "downsamplers.0", out, 0);
  }
}

AutoencoderKl::Decoder::Decoder(const WeightScope& w, const AutoencoderKlConfig& c)
    : conv_in(w / "conv_in", c.latent_channels, c.block_out_channels.back(), 3,
              nn::same_padding(1)),
      mid_block(w / "mid_block", c),
      conv_norm_out(w / "conv_norm_out", c.norm_num_groups, c.block_out_channels.front(), kEps),
      conv_out(w / "conv_out", c.block_out_channels.front(), c.out_channels, 3,
               nn::same_padding(1)) {
  int64_t in = c.block_out_channels.back();
  const size_t levels = c.block_out_channels.size();
  for (size_t i = 0; i < levels; ++i) {
    const WeightScope block = w / "up_blocks" / static_cast<int64_t>(i);
    const int64_t out = c.block_out_channels[levels - 1 - i];
    up_blocks.emplace_back();
    for (int64_t layer = 0; layer <= c.layers_per_block; ++layer, in = out)
      up_blocks.back().resnets.emplace_back(block / "resnets" / layer, resnet_options(c, in, out));
    if (i + 1 < levels) up_blocks.back().upsampler.emplace(block / "upsamplers.0", out);
  }
}

AutoencoderKl::AutoencoderKl(const WeightScope& w, const AutoencoderKlConfig& c)
    : traits_{.latent_channels = c.latent_channels,
              .factor = int64_t{1} << (c.block_out_channels.size() - 1),
              .scaling_factor = c.scaling_factor,
              .levels = static_cast<int64_t>(c.block_out_channels.size())},
      picture_channels_(c.in_channels),
      encoder_(w / "encoder", c),
      decoder_(w / "decoder", c) {
  if (c.use_quant_conv)
    quant_conv_.emplace(w / "quant_conv", 2 * c.latent_channels, 2 * c.latent_channels, 1,
                        nn::same_padding(0));
  if (c.use_post_quant_conv)
    post_quant_conv_.emplace(w / "post_quant_conv", c.latent_channels, c.latent_channels, 1,
                             nn::same_padding(0));
}

Tensor AutoencoderKl::Decoder::begin(const Tensor& latents, const nn::Trace* trace) const {
  Tensor h = conv_in.forward(latents);
  nn::trace(trace, "decoder.conv_in", h);
  h = mid_block.forward(h);
  nn::trace(trace, "decoder.mid_block", h);
  return h;
}

Tensor AutoencoderKl::Decoder::level(size_t i, Tensor h, nn::BandMoments* bands,
                                     const nn::Trace* trace) const {
  if (i > 0) {
    h = up_blocks[i - 1].upsampler->forward(h, 2 * h.dim(1), 2 * h.dim(2));
    nn::trace(trace, cat("decoder.up_blocks.", i - 1), h);
  }
  for (const nn::ResnetBlock2D& resnet : up_blocks[i].resnets) {
    h = resnet.forward(std::move(h), nullptr, bands);
    if (bands && bands->enough()) return {};
  }
  if (i + 1 == up_blocks.size()) nn::trace(trace, cat("decoder.up_blocks.", i), h);
  return h;
}

Tensor AutoencoderKl::Decoder::end(const Tensor& h, nn::BandMoments* bands) const {
  return conv_out.forward(conv_norm_out.forward(h, {.activation = Activation::kSilu,
                                                    .bands = bands,
                                                    .consumer = conv_out.input_format(nullptr)}));
}

int64_t AutoencoderKl::Decoder::halo(size_t first) const {
  int64_t rows = 1;  // conv_out
  for (size_t i = up_blocks.size(); i-- > first;) {
    rows += 2 * static_cast<int64_t>(up_blocks[i].resnets.size());
    if (i > 0) rows = (rows + 2) / 2;  // the upsampler sees one more, at half the size
  }
  return rows;
}

void AutoencoderKl::require_latents(const Tensor& latents) const {
  TT_REQUIRE(latents.rank() == 4 && latents.dim(3) == traits_.latent_channels, "vae",
             "latents must be [B,H,W,", traits_.latent_channels, "], got ", latents.shape());
}

void AutoencoderKl::require_bands(const Tensor& x, const CodecBands& bands) const {
  TT_REQUIRE(x.dim(0) == 1 && bands.rows >= 1 && bands.whole_levels >= 0 &&
                 bands.whole_levels < traits_.levels,
             "vae", "bands are of one picture, have rows, and begin at one of ", traits_.levels,
             " levels; got ", x.shape(), ", ", bands.rows, " rows, level ", bands.whole_levels);
}

Tensor AutoencoderKl::decode(const Tensor& latents, const nn::Trace* trace) const {
  require_latents(latents);
  Tensor h = decoder_.begin(post_quant_conv_ ? post_quant_conv_->forward(latents) : latents, trace);
  for (size_t i = 0; i < decoder_.up_blocks.size(); ++i)
    h = decoder_.level(i, std::move(h), nullptr, trace);
  return decoder_.end(h, nullptr);
}

Tensor AutoencoderKl::decode_in_bands(const Tensor& latents, const CodecBands& bands) const {
  require_latents(latents);
  require_bands(latents, bands);
  const size_t first = static_cast<size_t>(bands.whole_levels), levels = decoder_.up_blocks.size();
  Tensor whole =
      decoder_.begin(post_quant_conv_ ? post_quant_conv_->forward(latents) : latents, nullptr);
  for (size_t i = 0; i < first; ++i) whole = decoder_.level(i, std::move(whole), nullptr, nullptr);

  const int64_t rows = whole.dim(1), halo = decoder_.halo(first);
  const int64_t pixels = latents.dim(1) * traits_.factor / rows;  // per row of `whole`
  return in_bands(rows, bands.rows, halo, pixels,
                  [&](int64_t top, int64_t bottom, nn::BandMoments& moments) {
                    Tensor band = picture_rows(whole, top, bottom);
                    for (size_t i = first; i < levels && band.defined(); ++i)
                      band = decoder_.level(i, std::move(band), &moments, nullptr);
                    if (band.defined()) band = decoder_.end(band, &moments);
                    return moments.enough() ? Tensor() : band;
                  });
}

Tensor AutoencoderKl::Encoder::level(size_t i, Tensor h, nn::BandMoments* bands,
                                     const nn::Trace* trace) const {
  for (const nn::ResnetBlock2D& resnet : down_blocks[i].resnets) {
    h = resnet.forward(std::move(h), nullptr, bands);
    if (bands && bands->enough()) return {};
  }
  if (down_blocks[i].downsampler) h = down_blocks[i].downsampler->forward(h);
  nn::trace(trace, cat("encoder.down_blocks.", i), h);
  return h;
}

Tensor AutoencoderKl::Encoder::end(Tensor h, const nn::Trace* trace) const {
  h = mid_block.forward(h);
  nn::trace(trace, "encoder.mid_block", h);
  return conv_out.forward(conv_norm_out.forward(
      h, {.activation = Activation::kSilu, .consumer = conv_out.input_format(nullptr)}));
}

int64_t AutoencoderKl::Encoder::halo(size_t banded) const {
  int64_t rows = 0, scale = 1;
  for (size_t i = banded; i-- > 0;) {
    if (down_blocks[i].downsampler) {
      rows = 2 * rows + 1;
      scale *= 2;
    }
    rows += 2 * static_cast<int64_t>(down_blocks[i].resnets.size());
  }
  return (rows + 1 + scale - 1) / scale;  // conv_in sees one more
}

void AutoencoderKl::require_picture(const Tensor& picture) const {
  TT_REQUIRE(picture.rank() == 4 && picture.dim(3) == picture_channels_ &&
                 picture.dim(1) % traits_.factor == 0 && picture.dim(2) % traits_.factor == 0,
             "vae", "picture must be [B,H,W,", picture_channels_, "] with H and W multiples of ",
             traits_.factor, ", got ", picture.shape());
}

Tensor AutoencoderKl::encode_moments(const Tensor& picture, const nn::Trace* trace) const {
  require_picture(picture);
  Tensor h = encoder_.conv_in.forward(picture);
  nn::trace(trace, "encoder.conv_in", h);
  for (size_t i = 0; i < encoder_.down_blocks.size(); ++i)
    h = encoder_.level(i, std::move(h), nullptr, trace);
  h = encoder_.end(std::move(h), trace);
  return quant_conv_ ? quant_conv_->forward(h) : h;
}

Tensor AutoencoderKl::encode_in_bands(const Tensor& picture, const CodecBands& bands) const {
  require_picture(picture);
  require_bands(picture, bands);
  const size_t levels = encoder_.down_blocks.size();
  const size_t banded = levels - static_cast<size_t>(bands.whole_levels);
  const int64_t pixels = int64_t{1} << std::min(banded, levels - 1);  // per row where bands end
  const int64_t rows = picture.dim(1) / pixels, halo = encoder_.halo(banded);
  Tensor features = in_bands(
      rows, bands.rows, halo, 1, [&](int64_t top, int64_t bottom, nn::BandMoments& moments) {
        Tensor band =
            encoder_.conv_in.forward(picture_rows(picture, top * pixels, bottom * pixels));
        for (size_t i = 0; i < banded && band.defined(); ++i)
          band = encoder_.level(i, std::move(band), &moments, nullptr);
        return band;
      });
  for (size_t i = banded; i < levels; ++i)
    features = encoder_.level(i, std::move(features), nullptr, nullptr);
  const Tensor h = encoder_.end(std::move(features), nullptr);
  return quant_conv_ ? quant_conv_->forward(h) : h;
}

}  // namespace tintype
