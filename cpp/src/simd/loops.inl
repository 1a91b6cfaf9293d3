// The loops of one instruction set. The file that includes it says which, and is compiled for it.
//
// Whatever this file instantiates is compiled for that instruction set, and the linker may pick its
// copy for the whole library: hence no function of the standard library, and everything of its own
// in an unnamed namespace.
#include <cstdint>
#include <utility>

#if defined(__AVX2__) || defined(__SSE2__)
#include <immintrin.h>
#endif

#include "simd/loops.hpp"

namespace pyhybrid::simd {
namespace {

typedef float Vec __attribute__((vector_size(PYHYBRID_VECTOR_BYTES)));
typedef float LooseVec __attribute__((vector_size(PYHYBRID_VECTOR_BYTES), aligned(4), may_alias));

constexpr int kLanes = PYHYBRID_VECTOR_BYTES / 4;

// Vectors of items whose sums stay in registers: of 32 registers with AVX-512, else of 16.
constexpr int kProductVecs = kLanes == 16 ? 4 : 2;

Vec load(const float* from) { return *reinterpret_cast<const LooseVec*>(from); }
void store(float* to, Vec value) { *reinterpret_cast<LooseVec*>(to) = value; }

void add_rows(float* sums, const float* rows, const std::int32_t* places, const float* weights,
              std::int64_t count) {
  constexpr int kVecs = kPanel / kLanes;
  Vec sum[kVecs] = {};
  for (std::int64_t k = 0; k < count; ++k) {
    const float* row = rows + places[k] * kPanel;
    const float weight = weights[k];
    for (int v = 0; v < kVecs; ++v) sum[v] += weight * load(row + v * kLanes);
  }
  for (int v = 0; v < kVecs; ++v) store(sums + v * kLanes, sum[v]);
}

void multiply(float* scores, const float* const* users, const float* items, std::int64_t dim) {
  constexpr int kWidth = kProductVecs * kLanes;
  for (int left = 0; left < kTile; left += kWidth) {
    Vec sum[kUsers][kProductVecs] = {};
    for (std::int64_t k = 0; k < dim; ++k) {
      Vec item[kProductVecs];
      for (int v = 0; v < kProductVecs; ++v) item[v] = load(items + k * kTile + left + v * kLanes);
      for (int u = 0; u < kUsers; ++u) {
        const float user = users[u][k];
        for (int v = 0; v < kProductVecs; ++v) sum[u][v] += user * item[v];
      }
    }
    for (int u = 0; u < kUsers; ++u) {
      for (int v = 0; v < kProductVecs; ++v) {
        store(scores + u * kTile + left + v * kLanes, sum[u][v]);
      }
    }
  }
}

std::uint64_t above(const float* scores, float threshold) {
  std::uint64_t bits = 0;
#if PYHYBRID_VECTOR_BYTES == 64
  const __m512 limit = _mm512_set1_ps(threshold);
  for (int c = 0; c < kTile; c += 16) {
    const __mmask16 mask = _mm512_cmp_ps_mask(_mm512_loadu_ps(scores + c), limit, _CMP_NLE_UQ);
    bits |= static_cast<std::uint64_t>(mask) << c;
  }
#elif PYHYBRID_VECTOR_BYTES == 32
  const __m256 limit = _mm256_set1_ps(threshold);
  for (int c = 0; c < kTile; c += 8) {
    const __m256 mask = _mm256_cmp_ps(_mm256_loadu_ps(scores + c), limit, _CMP_NLE_UQ);
    bits |= static_cast<std::uint64_t>(static_cast<unsigned>(_mm256_movemask_ps(mask))) << c;
  }
#elif defined(__SSE2__)
  const __m128 limit = _mm_set1_ps(threshold);
  for (int c = 0; c < kTile; c += 4) {
    const __m128 mask = _mm_cmpnle_ps(_mm_loadu_ps(scores + c), limit);
    bits |= static_cast<std::uint64_t>(static_cast<unsigned>(_mm_movemask_ps(mask))) << c;
  }
#else
  for (int c = 0; c < kTile; ++c) {
    bits |= static_cast<std::uint64_t>(!(scores[c] <= threshold)) << c;
  }
#endif
  return bits;
}

std::int64_t append(float* kept, std::int32_t* items, const float* scores, std::uint64_t bits,
                    std::int32_t first) {
  std::int64_t count = 0;
#if PYHYBRID_VECTOR_BYTES == 64
  const __m512i lanes = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
  for (int c = 0; c < kTile; c += 16) {
    const auto mask = static_cast<__mmask16>(bits >> c);
    if (mask == 0) continue;
    const __m512i item = _mm512_add_epi32(lanes, _mm512_set1_epi32(first + c));
    // Compressed in a register and stored whole: a compressing store is slow on some processors.
    _mm512_storeu_ps(kept + count, _mm512_maskz_compress_ps(mask, _mm512_loadu_ps(scores + c)));
    _mm512_storeu_si512(items + count, _mm512_maskz_compress_epi32(mask, item));
    count += __builtin_popcount(mask);
  }
#else
  for (; bits != 0; bits &= bits - 1, ++count) {
    const int c = __builtin_ctzll(bits);
    kept[count] = scores[c];
    items[count] = first + c;
  }
#endif
  return count;
}

/// An integer that orders as the score does; -0 and 0 are the same score.
std::int32_t key_of(float score) {
  const float sum = score + 0.0F;
  std::int32_t key;
  __builtin_memcpy(&key, &sum, sizeof key);
  return key ^ static_cast<std::int32_t>(static_cast<std::uint32_t>(key >> 31) >> 1);
}

float score_of(std::int32_t key) {
  key ^= static_cast<std::int32_t>(static_cast<std::uint32_t>(key >> 31) >> 1);
  float score;
  __builtin_memcpy(&score, &key, sizeof score);
  return score;
}

/// How many scores are at least `limit`.
std::int64_t count_from(const float* scores, std::int64_t count, float limit) {
  std::int32_t found = 0;
  for (std::int64_t k = 0; k < count; ++k) found += scores[k] >= limit ? 1 : 0;
  return found;
}

/// A score that n candidates reach and at most `most` do; or, where more than that tie, the n-th
/// best. Halves the interval of keys that it lies in.
float find_threshold(const float* scores, std::int64_t count, std::int64_t n, std::int64_t most) {
  std::int32_t lowest = key_of(scores[0]);
  std::int32_t highest = lowest;
  for (std::int64_t k = 1; k < count; ++k) {
    const std::int32_t key = key_of(scores[k]);
    lowest = key < lowest ? key : lowest;
    highest = key > highest ? key : highest;
  }
  std::int64_t low = lowest;    // reached by `reached` candidates, n or more
  std::int64_t high = highest;  // above it there are fewer than n
  for (std::int64_t reached = count; low < high && reached > most;) {
    const std::int64_t middle = low + (high - low + 1) / 2;
    const std::int64_t found =
        count_from(scores, count, score_of(static_cast<std::int32_t>(middle)));
    if (found >= n) {
      low = middle;
      reached = found;
    } else {
      high = middle - 1;
    }
  }
  return score_of(static_cast<std::int32_t>(low));
}

/// Keeps, in their order, the candidates that reach the threshold.
std::int64_t keep_from(float* scores, std::int32_t* items, std::int64_t count, float threshold) {
  std::int64_t kept = 0;
#if PYHYBRID_VECTOR_BYTES == 64
  const __m512 limit = _mm512_set1_ps(threshold);
  for (std::int64_t k = 0; k < count; k += 16) {
    const auto inside = static_cast<__mmask16>(count - k < 16 ? (1 << (count - k)) - 1 : 0xFFFF);
    const __m512 score = _mm512_maskz_loadu_ps(inside, scores + k);
    const __m512i item = _mm512_maskz_loadu_epi32(inside, items + k);
    const __mmask16 mask = _mm512_mask_cmp_ps_mask(inside, score, limit, _CMP_GE_OQ);
    const int found = __builtin_popcount(mask);
    const auto filled = static_cast<__mmask16>((1 << found) - 1);
    _mm512_mask_storeu_ps(scores + kept, filled, _mm512_maskz_compress_ps(mask, score));
    _mm512_mask_storeu_epi32(items + kept, filled, _mm512_maskz_compress_epi32(mask, item));
    kept += found;
  }
#else
  for (std::int64_t k = 0; k < count; ++k) {
    scores[kept] = scores[k];
    items[kept] = items[k];
    kept += scores[k] >= threshold ? 1 : 0;
  }
#endif
  return kept;
}

/// Drops the last `surplus` candidates whose score is the threshold.
std::int64_t drop_ties(float* scores, std::int32_t* items, std::int64_t count, float threshold,
                       std::int64_t surplus) {
  std::int64_t ties = count_from(scores, count, threshold);
  for (std::int64_t k = 0; k < count; ++k) ties -= scores[k] > threshold ? 1 : 0;
  std::int64_t stay = ties - surplus;
  std::int64_t kept = 0;
  for (std::int64_t k = 0; k < count; ++k) {
    const bool tie = scores[k] == threshold;
    scores[kept] = scores[k];
    items[kept] = items[k];
    kept += !tie || stay > 0 ? 1 : 0;
    stay -= tie ? 1 : 0;
  }
  return kept;
}

std::int64_t keep_best(float* scores, std::int32_t* items, std::int64_t count, std::int64_t n,
                       float* threshold) {
  const std::int64_t most = n + n / 8;
  *threshold = find_threshold(scores, count, n, most);
  const std::int64_t kept = keep_from(scores, items, count, *threshold);
  return kept <= most ? kept : drop_ties(scores, items, kept, *threshold, kept - n);
}

void rank(std::int32_t* places, const float* scores, std::int64_t count) {
  for (std::int64_t k = 0; k < count; ++k) {
    const float score = scores[k];
    std::int32_t better = 0;
    for (std::int64_t j = 0; j < k; ++j) better += scores[j] >= score ? 1 : 0;
    for (std::int64_t j = k; j < count; ++j) better += scores[j] > score ? 1 : 0;
    places[k] = better;
  }
}

/// Lane l of the result: where bit `step` of l is clear that of a, else that of b; a's lanes taken
/// `step` further up and b's further down if `upper`.
template <int step, bool upper, int... l>
Vec exchange(Vec a, Vec b, std::integer_sequence<int, l...>) {
  return __builtin_shufflevector(
      a, b, ((l & step) == 0 ? l + (upper ? step : 0) : kLanes + l - (upper ? 0 : step))...);
}

/// Transposes kLanes rows by swapping their off-diagonal blocks: of one lane, of two, of four, ...
template <int step = 1>
void transpose_lanes(Vec* rows) {
  if constexpr (step < kLanes) {
    constexpr auto lanes = std::make_integer_sequence<int, kLanes>();
    for (int r = 0; r < kLanes; ++r) {
      if ((r & step) != 0) continue;
      const Vec a = rows[r];
      const Vec b = rows[r + step];
      rows[r] = exchange<step, false>(a, b, lanes);
      rows[r + step] = exchange<step, true>(a, b, lanes);
    }
    transpose_lanes<2 * step>(rows);
  }
}

/// Stores the lanes whose bit is set.
void store_some(float* to, Vec value, std::uint32_t lanes) {
#if PYHYBRID_VECTOR_BYTES == 64
  _mm512_mask_storeu_ps(to, static_cast<__mmask16>(lanes), (__m512)value);
#else
  for (int l = 0; l < kLanes; ++l) {
    if ((lanes >> l & 1) != 0) to[l] = value[l];
  }
#endif
}

void transpose(const float* from, std::int64_t from_stride, float* to, std::int64_t to_stride,
               std::uint32_t wanted) {
  constexpr std::uint32_t kAll = (1U << kLanes) - 1;
  for (int r = 0; r < kSquare; r += kLanes) {
    const std::uint32_t lanes = wanted >> r & kAll;
    for (int c = 0; c < kSquare; c += kLanes) {
      Vec rows[kLanes];
      for (int k = 0; k < kLanes; ++k) {
        rows[k] = (lanes >> k & 1) != 0 ? load(from + (r + k) * from_stride + c) : Vec{};
      }
      transpose_lanes(rows);
      for (int k = 0; k < kLanes; ++k) {
        if (lanes == kAll) {
          store(to + (c + k) * to_stride + r, rows[k]);
        } else {
          store_some(to + (c + k) * to_stride + r, rows[k], lanes);
        }
      }
    }
  }
}

#if defined(__SSE4_1__)
/// Puts marks[items[lane]] into each lane and sets it to `named`, one lane after the other.
template <int... lane>
__m128i swap_marks(std::uint8_t* marks, const std::int32_t* items, std::uint8_t named,
                   std::integer_sequence<int, lane...>) {
  __m128i before = _mm_setzero_si128();
  ((before = _mm_insert_epi8(before, marks[items[lane]], lane), marks[items[lane]] = named), ...);
  return before;
}
#endif

bool mark(std::uint64_t* found, std::uint8_t* marks, const std::int32_t* items, std::int64_t count,
          std::uint8_t target, std::uint8_t named) {
  std::uint64_t repeated = 0;
  for (std::int64_t first = 0; first < count; first += 64, ++found) {
    const std::int64_t width = count - first < 64 ? count - first : 64;
    std::uint64_t bits = 0;
    std::int64_t k = 0;
#if defined(__SSE4_1__)
    // Collected in registers: a store an item for the marks themselves is what bounds the loop.
    const __m128i targets = _mm_set1_epi8(static_cast<char>(target));
    const __m128i names = _mm_set1_epi8(static_cast<char>(named));
    for (; k + 16 <= width; k += 16) {
      constexpr auto lanes = std::make_integer_sequence<int, 16>();
      const __m128i before = swap_marks(marks, items + first + k, named, lanes);
      const int is_target = _mm_movemask_epi8(_mm_cmpeq_epi8(before, targets));
      bits |= static_cast<std::uint64_t>(static_cast<unsigned>(is_target)) << k;
      repeated |= static_cast<unsigned>(_mm_movemask_epi8(_mm_cmpeq_epi8(before, names)));
    }
#endif
    for (; k < width; ++k) {
      std::uint8_t& place = marks[items[first + k]];
      bits |= static_cast<std::uint64_t>(place == target) << k;
      repeated |= place == named ? 1U : 0U;
      place = named;
    }
    *found = bits;
  }
  return repeated != 0;
}

#if defined(__AVX512VPOPCNTDQ__)
constexpr double kWordCost = 0.06;

void count_common(std::uint64_t* counts, const std::uint64_t* a, const std::uint64_t* b,
                  std::int64_t words) {
  __m512i sums[kWordItems];
  for (int i = 0; i < kWordItems; ++i) sums[i] = _mm512_loadu_si512(counts + i * kWordItems);
  for (std::int64_t w = 0; w < words; ++w) {
    const __m512i others = _mm512_loadu_si512(b + w * kWordItems);
    for (int i = 0; i < kWordItems; ++i) {
      const auto word = static_cast<long long>(a[w * kWordItems + i]);
      const __m512i common = _mm512_and_si512(_mm512_set1_epi64(word), others);
      sums[i] = _mm512_add_epi64(sums[i], _mm512_popcnt_epi64(common));
    }
  }
  for (int i = 0; i < kWordItems; ++i) _mm512_storeu_si512(counts + i * kWordItems, sums[i]);
}
#else
#if defined(__POPCNT__)
constexpr double kWordCost = 0.3;
#else
constexpr double kWordCost = 2.0;
#endif

void count_common(std::uint64_t* counts, const std::uint64_t* a, const std::uint64_t* b,
                  std::int64_t words) {
  for (int i = 0; i < kWordItems; ++i) {
    std::uint64_t sums[kWordItems] = {};
    for (std::int64_t w = 0; w < words; ++w) {
      const std::uint64_t word = a[w * kWordItems + i];
      for (int j = 0; j < kWordItems; ++j) {
        sums[j] += static_cast<std::uint64_t>(__builtin_popcountll(word & b[w * kWordItems + j]));
      }
    }
    for (int j = 0; j < kWordItems; ++j) counts[i * kWordItems + j] += sums[j];
  }
}
#endif

#include "simd/codes.inl"

}  // namespace

const Loops PYHYBRID_LEVEL{
    PYHYBRID_LEVEL_NAME, add_rows,    multiply,     above, append,  keep_best, rank,
    transpose,           mark,        count_common, turn,  nearest, scan,      scan16,
    sum_entries,         add_entries, kWordCost};

}  // namespace pyhybrid::simd
