// Integers between the core's signed counts and the standard library's unsigned ones.
#pragma once

#include <cstddef>
#include <cstdint>

namespace pyhybrid {

inline std::size_t size(std::int64_t n) { return static_cast<std::size_t>(n); }

/// a / b, rounded up; both at least 0, b at least 1.
inline std::int64_t ceil_div(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

}  // namespace pyhybrid
