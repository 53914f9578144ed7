#include "backend/cpu/isa.h"

#include <hwy/highway.h>

#include <array>
#include <cstdlib>
#include <string_view>

#include "backend/cpu/int8_tile.h"
#include "base/check.h"
#include "base/text.h"

namespace tintype::cpu {
namespace {

struct Isa {
  std::string_view name;
  int64_t target;
  bool vnni;
};

// Highway orders its targets: a better one has a lower bit.
constexpr std::array kIsas = {Isa{"sse4", HWY_SSE4, false}, Isa{"avx2", HWY_AVX2, false},
                              Isa{"avx512", HWY_AVX3, false}, Isa{"avx512-vnni", HWY_AVX3, true}};

const Isa* forced = nullptr;

}  // namespace

void choose_isa() {
  const char* wanted = std::getenv("TT_CPU_ISA");
  if (!wanted || !*wanted) return;
  for (const Isa& isa : kIsas) {
    if (isa.name != wanted) continue;
    if (!(hwy::SupportedTargets() & isa.target) || (isa.vnni && !int8_tile_avx512_vnni().rows))
      fail(ErrorKind::kInvalidArgument, "TT_CPU_ISA", "this processor has no ", isa.name);
    hwy::DisableTargets(isa.target - 1);
    forced = &isa;
    return;
  }
  fail(ErrorKind::kInvalidArgument, "TT_CPU_ISA",
       "must be sse4, avx2, avx512 or avx512-vnni, got \"", printable(wanted), "\"");
}

bool vnni_allowed() { return !forced || forced->vnni; }

}  // namespace tintype::cpu
