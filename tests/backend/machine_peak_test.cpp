#include "backend/cpu/machine_peak.h"

#include <gtest/gtest.h>

#include <set>
#include <string>

#include "backend/cpu/int8_tile.h"
#include "backend/cpu/isa.h"

namespace tintype::cpu {
namespace {

TEST(MachinePeak, KernelsDoTheOperationsThatTheyClaim) {
  std::set<std::string> arithmetic;
  for (const PeakKernel& kernel : peak_kernels()) {
    arithmetic.insert(kernel.arithmetic);
    EXPECT_GT(kernel.operations_per_round, 0) << kernel.instruction;
    for (const int64_t rounds : {0, 1, 1000}) {
      // One times one, added up: the sum is the multiplications, half of the operations.
      EXPECT_EQ(2 * kernel.run(rounds), static_cast<double>(rounds * kernel.operations_per_round))
          << kernel.arithmetic << " " << kernel.instruction << " " << rounds;
    }
  }
  EXPECT_TRUE(arithmetic.count("f32"));
  EXPECT_TRUE(arithmetic.count("int8"));
}

TEST(MachinePeak, HasTheInstructionThatTheProductsUse) {
  bool dot = false;
  for (const PeakKernel& kernel : peak_kernels())
    dot = dot || std::string(kernel.instruction) == "vpdpbusd (512 bit)";
  EXPECT_EQ(dot, vnni_allowed() && int8_tile_avx512_vnni().rows > 0);
}

TEST(MachinePeak, MeasuresEveryUnitThatThereIs) {
  const MachineSpeed speed = measure_machine(2);
  EXPECT_EQ(speed.threads, 2);
  ASSERT_EQ(speed.peaks.size(), 4u);
  for (const PeakKernel& kernel : peak_kernels()) {
    const ArithmeticPeak* peak = speed.peak(kernel.arithmetic);
    ASSERT_TRUE(peak) << kernel.arithmetic;
    // Any machine of today; a kernel that the compiler folded away would be far above.
    EXPECT_GT(peak->one_thread_operations_per_s, 1e7) << kernel.arithmetic;
    EXPECT_LT(peak->one_thread_operations_per_s, 2e13) << kernel.arithmetic;
  }
  EXPECT_GT(speed.one_thread_read_bytes_per_s, 1e7);
  EXPECT_GE(speed.read_bytes_per_s, speed.one_thread_read_bytes_per_s);
  EXPECT_EQ(speed.peak("f64"), nullptr);
}

}  // namespace
}  // namespace tintype::cpu
