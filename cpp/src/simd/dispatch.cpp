#include <cstdlib>
#include <string>

#include "pyhybrid/error.hpp"
#include "pyhybrid/simd.hpp"
#include "simd/loops.hpp"

namespace pyhybrid {
namespace simd {
namespace {

#if defined(PYHYBRID_X86)
bool has_avx2() {
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
         __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2") &&
         __builtin_cpu_supports("popcnt");
}

bool has_avx512() {
  return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
}

bool has_ice_lake() {
  return __builtin_cpu_supports("avx512vpopcntdq") && __builtin_cpu_supports("avx512vbmi");
}
#endif

const Loops& choose() {
  const char* named = std::getenv("PYHYBRID_SIMD");
  const std::string most = named == nullptr || *named == '\0' ? "avx512" : named;
  if (most != "baseline" && most != "avx2" && most != "avx512") {
    throw bad_value("pyhybrid", "PYHYBRID_SIMD", most, "baseline, avx2 or avx512",
                    "unset it to use the best that this processor has");
  }
#if defined(PYHYBRID_X86)
  if (most == "avx512" && has_avx512()) {
    return has_ice_lake() ? kAvx512IceLake : kAvx512;
  }
  if (most != "baseline" && has_avx2()) return kAvx2;
#endif
  return kBaseline;
}

}  // namespace

const Loops& loops() {
  static const Loops& chosen = choose();
  return chosen;
}

}  // namespace simd

const char* simd_level() { return simd::loops().name; }

}  // namespace pyhybrid
