/// What the arithmetic units and the memory of this machine reach at best: kernels that do nothing
/// but multiply and add in registers, and one that only reads. Thread-safe, but measurements that
/// run at once share the cores and so measure less.
#pragma once

#include <cstdint>
#include <vector>

#include "tintype/measure.h"

namespace tintype::cpu {

/// Independent sums in a kernel: enough to hide the latency of any of the instructions (six cycles
/// at two a cycle), few enough for 16 registers.
inline constexpr int kPeakSums = 12;

struct PeakKernel {
  const char* arithmetic = "";
  const char* instruction = "";
  int64_t operations_per_round = 0;
  /// Multiplies ones with ones and adds them up; returns the sum, which is the multiplications
  /// done as long as the element type counts that far (2048 a lane for f16).
  double (*run)(int64_t rounds) = nullptr;
};

/// Those that this processor has and TT_CPU_ISA allows.
std::vector<PeakKernel> peak_kernels();
/// The ones among them that need instructions outside of Highway's common ground.
void add_x86_peak_kernels(std::vector<PeakKernel>& kernels);

/// Takes one to two seconds: the best of many short windows, because machines are shared.
MachineSpeed measure_machine(int threads);

}  // namespace tintype::cpu
