// Times the cases of tests/ops/op_cases on every backend but the reference: `ops_timing [filter]`.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <string>

#include "backend/registry.h"
#include "ops/op_cases.h"

int main(int argc, char** argv) {
  using namespace tintype;
  using Clock = std::chrono::steady_clock;
  const std::string filter = argc > 1 ? argv[1] : "";
  std::printf("%-18s %-56s %10s %10s\n", "op", "case (packing of weights included)", "us", "Gop/s");
  for (const testing::OpCase& c : testing::op_cases()) {
    if (c.operations == 0 || c.op.find(filter) == std::string::npos) continue;
    double best = 1e9;
    for (int repeat = 0; repeat < 5; ++repeat) {
      const auto start = Clock::now();
      c.run(Device::kCpu);
      best = std::min(best, std::chrono::duration<double>(Clock::now() - start).count());
    }
    std::printf("%-18s %-56s %10.1f %10.2f\n", c.op.c_str(), c.name.c_str(), best * 1e6,
                c.operations / best * 1e-9);
  }
}
