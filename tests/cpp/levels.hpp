// What tests of the innermost loops share.
#pragma once

#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "pyhybrid/simd.hpp"
#include "simd/loops.hpp"

using Floats = std::vector<float>;
using Items = std::vector<std::int32_t>;

/// The levels that this processor has, lowest first.
inline std::vector<const pyhybrid::simd::Loops*> levels() {
  namespace simd = pyhybrid::simd;
  std::vector<const simd::Loops*> all{&simd::kBaseline};
#if defined(__x86_64__)
  const std::string best = pyhybrid::simd_level();
  if (best != "baseline") all.push_back(&simd::kAvx2);
  if (best == "avx512") all.push_back(&simd::kAvx512);
  if (best == "avx512" && __builtin_cpu_supports("avx512vpopcntdq") &&
      __builtin_cpu_supports("avx512vbmi")) {
    all.push_back(&simd::kAvx512IceLake);
  }
#endif
  return all;
}

inline Floats numbers(std::int64_t count, int distinct, unsigned seed = 1) {
  std::mt19937 random(seed);
  Floats values(count);
  for (float& value : values) value = static_cast<float>(static_cast<int>(random() % distinct) - 3);
  return values;
}
