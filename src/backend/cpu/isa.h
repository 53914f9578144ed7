/// Which instruction set the kernels use: the best that the processor has, or the one that the
/// environment variable TT_CPU_ISA names, to test and measure what other processors will run.
#pragma once

namespace tintype::cpu {

/// Reads TT_CPU_ISA: "sse4", "avx2", "avx512" or "avx512-vnni". Before any kernel runs; once.
/// throws kInvalidArgument: an unknown name, or one that this processor lacks
void choose_isa();

/// Whether the 8-bit dot products of AVX-512 may be used, if the processor has them.
bool vnni_allowed();

}  // namespace tintype::cpu
