// Which instruction set the kernels' innermost loops use.
#pragma once

namespace pyhybrid {

/// "baseline", "avx2" or "avx512": the best that this processor has, unless the environment
/// variable PYHYBRID_SIMD names a lower one when this, or a kernel that asks, is first called.
/// Throws std::invalid_argument if it names none of the three.
const char* simd_level();

}  // namespace pyhybrid
