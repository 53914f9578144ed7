#include "backend/cpu/machine_peak.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <string>

#include <hwy/aligned_allocator.h>

#include "backend/cpu/thread_team.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backend/cpu/machine_peak.cpp"
#include <hwy/foreach_target.h>
// After foreach_target.h:
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace tintype::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using Floats = hn::ScalableTag<float>;

double FloatSums(int64_t rounds) {
  const Floats d;
  const auto ones = hn::Set(d, 1.0f);
  hn::Vec<Floats> sums[kPeakSums];
  for (int i = 0; i < kPeakSums; ++i) sums[i] = hn::Zero(d);
  for (int64_t round = 0; round < rounds; ++round) {
#pragma GCC unroll 12
    for (int i = 0; i < kPeakSums; ++i) sums[i] = hn::MulAdd(ones, ones, sums[i]);
  }
  double total = 0;
  for (int i = 0; i < kPeakSums; ++i) total += hn::GetLane(hn::SumOfLanes(d, sums[i]));
  return total;
}

int64_t FloatOperations() { return 2 * kPeakSums * static_cast<int64_t>(hn::Lanes(Floats())); }

#if HWY_TARGET == HWY_SCALAR
double PairSums(int64_t) { return 0; }
int64_t PairOperations() { return 0; }
#else
// As int8_product.cpp multiplies 8-bit values where no instruction takes four at once: pairs of
// 16-bit values.
using Ints = hn::RebindToSigned<Floats>;
using Shorts = hn::Repartition<int16_t, Ints>;

double PairSums(int64_t rounds) {
  const Ints di;
  const Shorts dw;
  constexpr int kSums = kPeakSums / 2;  // on some machines two registers hold a sum
  HWY_ALIGN int16_t inputs[kSums * HWY_LANES(int16_t)];
  std::fill_n(inputs, kSums * HWY_LANES(int16_t), int16_t{1});
  const auto ones = hn::Set(dw, int16_t{1});
  hn::Vec<Ints> sums[kSums], others[kSums];
  for (int i = 0; i < kSums; ++i) sums[i] = others[i] = hn::Zero(di);
  for (int64_t round = 0; round < rounds; ++round) {
    // The inputs might have changed: otherwise their products would move out of the loop.
    __asm__ volatile("" : : "r"(inputs) : "memory");
#pragma GCC unroll 6
    for (int i = 0; i < kSums; ++i)
      sums[i] = hn::ReorderWidenMulAccumulate(
          di, hn::Load(dw, inputs + i * static_cast<int64_t>(hn::Lanes(dw))), ones, sums[i],
          others[i]);
  }
  double total = 0;
  for (int i = 0; i < kSums; ++i)
    total += hn::GetLane(hn::SumOfLanes(di, hn::RearrangeToOddPlusEven(sums[i], others[i])));
  return total;
}

int64_t PairOperations() { return 2 * (kPeakSums / 2) * static_cast<int64_t>(hn::Lanes(Shorts())); }
#endif

/// The sum of `count` floats, a multiple of 8 vectors.
float ReadAll(const float* HWY_RESTRICT from, int64_t count) {
  const Floats d;
  constexpr int kVectors = 8;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  hn::Vec<Floats> sums[kVectors];
  for (int v = 0; v < kVectors; ++v) sums[v] = hn::Zero(d);
  for (int64_t i = 0; i < count; i += kVectors * lanes) {
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v)
      sums[v] = hn::Add(sums[v], hn::Load(d, from + i + v * lanes));
  }
  for (int v = 1; v < kVectors; ++v) sums[0] = hn::Add(sums[0], sums[v]);
  return hn::GetLane(hn::SumOfLanes(d, sums[0]));
}

}  // namespace tintype::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tintype::cpu {
namespace {

HWY_EXPORT(FloatSums);
HWY_EXPORT(FloatOperations);
HWY_EXPORT(PairSums);
HWY_EXPORT(PairOperations);
HWY_EXPORT(ReadAll);

using Clock = std::chrono::steady_clock;

constexpr double kWindowS = 0.004;
constexpr int kWindows = 20;
// On a busy machine a window takes far longer; a few must do.
constexpr int kLeastWindows = 3;
constexpr double kMostS = 0.15, kMostReadingS = 0.4;
constexpr int64_t kReadTaskBytes = 1 << 20;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

/// Keeps a result that nobody reads.
void keep(double value) { [[maybe_unused]] const volatile double kept = value; }

/// Rounds that take one thread about a window.
int64_t rounds_of_window(const PeakKernel& kernel) {
  for (int64_t rounds = 1024;; rounds *= 2) {
    const auto start = Clock::now();
    keep(kernel.run(rounds));
    const double seconds = seconds_since(start);
    if (seconds > kWindowS / 8)
      return std::max<int64_t>(
          static_cast<int64_t>(static_cast<double>(rounds) * kWindowS / seconds), 1);
  }
}

double best_operations_per_s(const PeakKernel& kernel, int64_t rounds, int threads) {
  double best = 0;
  const auto began = Clock::now();
  for (int window = 0; window < kWindows; ++window) {
    if (window >= kLeastWindows && seconds_since(began) > kMostS) break;
    const auto start = Clock::now();
    parallel_for(threads, [&](int64_t, int) { keep(kernel.run(rounds)); });
    const double operations =
        static_cast<double>(kernel.operations_per_round) * static_cast<double>(rounds) * threads;
    best = std::max(best, operations / seconds_since(start));
  }
  return best;
}

/// Far more than the caches hold, so that every pass reads memory.
int64_t read_bytes() {
  int64_t cache = 0;
#ifdef _SC_LEVEL3_CACHE_SIZE
  cache = std::max<int64_t>(sysconf(_SC_LEVEL3_CACHE_SIZE), 0);
#endif
  return std::clamp<int64_t>(4 * cache, int64_t{128} << 20, int64_t{512} << 20) / kReadTaskBytes *
         kReadTaskBytes;
}

void measure_reading(MachineSpeed& speed) {
  const int64_t bytes = read_bytes(), tasks = bytes / kReadTaskBytes,
                floats = kReadTaskBytes / static_cast<int64_t>(sizeof(float));
  const auto memory = hwy::AllocateAligned<float>(static_cast<size_t>(tasks * floats));
  if (!memory) return;
  float* const all = memory.get();
  parallel_for(tasks, [&](int64_t task, int) { std::fill_n(all + task * floats, floats, 0.0f); });
  const auto best = [&](int threads, int passes) {
    set_thread_count(threads);
    double most = 0;
    const auto began = Clock::now();
    for (int pass = 0; pass < passes; ++pass) {
      if (pass > 0 && seconds_since(began) > kMostReadingS) break;
      const auto start = Clock::now();
      parallel_for(tasks, [&](int64_t task, int) {
        keep(HWY_DYNAMIC_DISPATCH(ReadAll)(all + task * floats, floats));
      });
      most = std::max(most, static_cast<double>(bytes) / seconds_since(start));
    }
    return most;
  };
  speed.one_thread_read_bytes_per_s = best(1, 5);
  speed.read_bytes_per_s = std::max(best(speed.threads, 8), speed.one_thread_read_bytes_per_s);
}

double float_sums(int64_t rounds) { return HWY_DYNAMIC_DISPATCH(FloatSums)(rounds); }
double pair_sums(int64_t rounds) { return HWY_DYNAMIC_DISPATCH(PairSums)(rounds); }

}  // namespace

std::vector<PeakKernel> peak_kernels() {
  std::vector<PeakKernel> kernels = {
      {"f32", "fused multiply-add", HWY_DYNAMIC_DISPATCH(FloatOperations)(), float_sums},
      {"int8", "16-bit pairs", HWY_DYNAMIC_DISPATCH(PairOperations)(), pair_sums}};
  if (kernels.back().operations_per_round == 0) kernels.pop_back();
  add_x86_peak_kernels(kernels);
  return kernels;
}

MachineSpeed measure_machine(int threads) {
  const int before = thread_count();
  MachineSpeed speed{.threads = threads, .peaks = {{"f32"}, {"bf16"}, {"f16"}, {"int8"}}};
  set_thread_count(threads);
  for (const PeakKernel& kernel : peak_kernels()) {
    const int64_t rounds = rounds_of_window(kernel);
    const double one = best_operations_per_s(kernel, rounds, 1);
    // A second thread that got no core must not make two slower than one.
    const double all =
        threads > 1 ? std::max(best_operations_per_s(kernel, rounds, threads), one) : one;
    for (ArithmeticPeak& peak : speed.peaks) {
      if (peak.arithmetic != kernel.arithmetic || all <= peak.operations_per_s) continue;
      peak.instruction = kernel.instruction;
      peak.operations_per_s = all;
      peak.one_thread_operations_per_s = one;
    }
  }
  measure_reading(speed);
  set_thread_count(before);
  return speed;
}

}  // namespace tintype::cpu
#endif  // HWY_ONCE
