// Our f32 product beside oneDNN's (version 2) on the shapes of an SD 1.5 step, taking turns in one
// run: `onednn_products [repetitions]`. Prints medians and their ratio.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <dnnl.hpp>
#include <functional>
#include <unordered_map>
#include <vector>

#include "backend/cpu/product.h"
#include "backend/cpu/thread_team.h"

namespace {

using namespace tintype;
using Clock = std::chrono::steady_clock;

/// x [b,h,w,c] * weight [n,c,k,k], padding k/2; a linear layer is h = k = 1.
struct Case {
  const char* name;
  int64_t b, h, w, c, n, k;
  double operations() const { return 2.0 * static_cast<double>(b * h * w * c * n * k * k); }
};

constexpr Case kCases[] = {{"conv 64x64 320->320", 2, 64, 64, 320, 320, 3},
                           {"conv 64x64 960->320", 2, 64, 64, 960, 320, 3},
                           {"conv 32x32 640->640", 2, 32, 32, 640, 640, 3},
                           {"conv 16x16 1280->1280", 2, 16, 16, 1280, 1280, 3},
                           {"conv 8x8 2560->1280", 2, 8, 8, 2560, 1280, 3},
                           {"conv 64x64 320->4", 2, 64, 64, 320, 4, 3},
                           {"linear 8192x320->320", 1, 1, 8192, 320, 320, 1},
                           {"linear 8192x320->2560", 1, 1, 8192, 320, 2560, 1},
                           {"linear 8192x1280->320", 1, 1, 8192, 1280, 320, 1},
                           {"linear 2048x640->5120", 1, 1, 2048, 640, 5120, 1},
                           {"linear 512x1280->10240", 1, 1, 512, 1280, 10240, 1},
                           {"linear 154x768->1280", 1, 1, 154, 768, 1280, 1},
                           {"vae conv 256x256 256->256", 1, 256, 256, 256, 256, 3},
                           {"vae conv 512x512 128->128", 1, 512, 512, 128, 128, 3}};

std::vector<float> pattern(int64_t count, int64_t step) {
  std::vector<float> values(static_cast<size_t>(count));
  for (size_t i = 0; i < values.size(); ++i)
    values[i] = static_cast<float>(i * static_cast<size_t>(step) % 1000) / 1000.0f - 0.5f;
  return values;
}

/// A oneDNN primitive with its operands, weights reordered to what it asked for.
struct DnnlProduct {
  dnnl::engine engine{dnnl::engine::kind::cpu, 0};
  dnnl::stream stream{engine};
  dnnl::primitive primitive;
  std::unordered_map<int, dnnl::memory> arguments;

  DnnlProduct(const Case& s, std::vector<float>& x, std::vector<float>& w,
              std::vector<float>& out) {
    using desc = dnnl::memory::desc;
    using tag = dnnl::memory::format_tag;
    constexpr auto f32 = dnnl::memory::data_type::f32;
    if (s.k > 1) {
      const int64_t pad = s.k / 2;
      const dnnl::convolution_forward::primitive_desc pd(
          {dnnl::prop_kind::forward_inference,
           dnnl::algorithm::convolution_direct,
           desc({s.b, s.c, s.h, s.w}, f32, tag::nhwc),
           desc({s.n, s.c, s.k, s.k}, f32, tag::any),
           desc({s.b, s.n, s.h, s.w}, f32, tag::nhwc),
           {1, 1},
           {pad, pad},
           {pad, pad}},
          engine);
      bind(pd, desc({s.n, s.c, s.k, s.k}, f32, tag::oihw), x, w, out);
      primitive = dnnl::convolution_forward(pd);
    } else {
      const dnnl::matmul::primitive_desc pd(
          {desc({s.w, s.c}, f32, tag::ab), desc({s.c, s.n}, f32, tag::any),
           desc({s.w, s.n}, f32, tag::ab)},
          engine);
      bind(pd, desc({s.c, s.n}, f32, tag::ba), x, w, out);
      primitive = dnnl::matmul(pd);
    }
  }

  template <typename PrimitiveDesc>
  void bind(const PrimitiveDesc& pd, const dnnl::memory::desc& plain, std::vector<float>& x,
            std::vector<float>& w, std::vector<float>& out) {
    dnnl::memory from(plain, engine, w.data()), packed(pd.weights_desc(), engine);
    dnnl::reorder(from, packed).execute(stream, from, packed);
    arguments = {{DNNL_ARG_SRC, dnnl::memory(pd.src_desc(), engine, x.data())},
                 {DNNL_ARG_WEIGHTS, packed},
                 {DNNL_ARG_DST, dnnl::memory(pd.dst_desc(), engine, out.data())}};
  }

  void run() {
    primitive.execute(stream, arguments);
    stream.wait();
  }
};

double seconds(const std::function<void()>& work) {
  const auto start = Clock::now();
  work();
  return std::chrono::duration<double>(Clock::now() - start).count();
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

void compare(const Case& s, int repetitions) {
  std::vector<float> x = pattern(s.b * s.h * s.w * s.c, 7919),
                     w = pattern(s.n * s.c * s.k * s.k, 104729);
  std::vector<float> out(static_cast<size_t>(s.b * s.h * s.w * s.n)), theirs(out.size());
  const int64_t k = s.c * s.k * s.k;
  std::byte* panels = static_cast<std::byte*>(
      std::aligned_alloc(64, static_cast<size_t>(cpu::panels_size(k, s.n)) * sizeof(float)));
  cpu::pack_panels({.data = reinterpret_cast<const std::byte*>(w.data()),
                    .taps = s.k * s.k,
                    .depth = s.c,
                    .columns = s.n},
                   panels);
  const cpu::ProductArgs args{
      .rows = {s.b, s.h, s.w, s.c, s.h, s.w, s.h, s.w, s.k, s.k, 1, s.k / 2, s.k / 2},
      .x = x.data(),
      .panels = panels,
      .columns = s.n,
      .epilogue = {},
      .out = out.data()};
  DnnlProduct dnnl_product(s, x, w, theirs);
  std::vector<double> our_seconds, their_seconds;
  for (int i = -1; i < repetitions; ++i) {
    const double ours = seconds([&] { cpu::product(args); });
    const double other = seconds([&] { dnnl_product.run(); });
    if (i < 0) continue;  // warm-up
    our_seconds.push_back(ours);
    their_seconds.push_back(other);
  }
  double difference = 0;
  for (size_t i = 0; i < out.size(); ++i)
    difference = std::max<double>(difference, std::fabs(out[i] - theirs[i]));
  const double ours = median(our_seconds), other = median(their_seconds);
  std::printf("%-27s %8.2f ms %6.1f Gop/s | %8.2f ms %6.1f Gop/s | %5.2f | %.1e\n", s.name,
              ours * 1e3, s.operations() / ours * 1e-9, other * 1e3, s.operations() / other * 1e-9,
              other / ours, difference);
  std::free(panels);
}

}  // namespace

int main(int argc, char** argv) {
  const int repetitions = argc > 1 ? std::atoi(argv[1]) : 5;
  std::printf("instruction set %s, %d threads, oneDNN %d.%d\n", cpu::instruction_set(),
              cpu::thread_count(), DNNL_VERSION_MAJOR, DNNL_VERSION_MINOR);
  std::printf("%-27s %25s | %25s | ratio | largest difference\n", "", "ours", "oneDNN");
  for (const Case& c : kCases) compare(c, repetitions);
}
