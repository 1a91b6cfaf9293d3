// The loops of product quantisation; a part of loops.inl.

typedef std::int32_t Ints __attribute__((vector_size(PYHYBRID_VECTOR_BYTES)));

void turn(float* points, const float* vectors, std::int64_t stride, std::int64_t count,
          const float* origin, std::int64_t dim) {
  std::int64_t first = 0;  // of kLanes dimensions that are turned at once
  for (; first + kLanes <= dim; first += kLanes) {
    for (std::int64_t left = 0; left < kPoints; left += kLanes) {
      Vec rows[kLanes];
      for (std::int64_t k = 0; k < kLanes; ++k) {
        rows[k] = load((left + k < count ? vectors + (left + k) * stride : origin) + first);
      }
      transpose_lanes(rows);
      for (std::int64_t d = 0; d < kLanes; ++d) {
        store(points + (first + d) * kPoints + left, origin[first + d] - rows[d]);
      }
    }
  }
  for (std::int64_t d = first; d < dim; ++d) {
    float* to = points + d * kPoints;
    for (std::int64_t k = 0; k < kPoints; ++k) {
      to[k] = k < count ? origin[d] - vectors[k * stride + d] : 0.0F;
    }
  }
}

/// GCC's own minimum of vectors takes a comparison and a choice where the mask is used again.
Ints lesser(Ints a, Ints b) {
#if PYHYBRID_VECTOR_BYTES == 64
  return (Ints)_mm512_maskz_min_epi32(0xFFFF, (__m512i)a, (__m512i)b);
#else
  return a < b ? a : b;
#endif
}

Ints greater(Ints a, Ints b) {
#if PYHYBRID_VECTOR_BYTES == 64
  return (Ints)_mm512_maskz_max_epi32(0xFFFF, (__m512i)a, (__m512i)b);
#else
  return a > b ? a : b;
#endif
}

constexpr std::int32_t kPlace = 0xFF;  // the bits of a number that make room for its place

/// GCC takes two operations where AVX-512 has one.
Ints joined(Ints value, Ints place) {
#if PYHYBRID_VECTOR_BYTES == 64
  constexpr int kFirstAndSecondOrThird = 0xEA;
  return (Ints)_mm512_ternarylogic_epi32((__m512i)value, _mm512_set1_epi32(~kPlace), (__m512i)place,
                                         kFirstAndSecondOrThird);
#else
  return (value & ~kPlace) | place;
#endif
}

void nearest(float* lowest, float* next, std::int32_t* place, float* halves_of_points,
             const float* points, const float* centroids, const float* halves, std::int64_t count,
             std::int64_t dim) {
  // Numbers that are not negative compare as the integers of their bits do, whose last 8 make room
  // for the place: the lowest then brings its place along.
  constexpr int kWide = 2;                              // vectors of points, whose sums
  constexpr int kRows = kLanes == 16 ? kCentroids : 4;  // for so many centroids fit the registers
  for (std::int64_t left = 0; left < kPoints; left += kWide * kLanes) {
    Ints low[kWide], above_low[kWide];
    Vec start[kWide];
    for (int w = 0; w < kWide; ++w) {
      low[w] = above_low[w] = Ints{} + 0x7FFFFFFF;
      start[w] = Vec{};
      for (std::int64_t d = 0; d < dim; ++d) {
        const Vec point = load(points + d * kPoints + left + w * kLanes);
        start[w] += 0.5F * point * point;
      }
      store(halves_of_points + left + w * kLanes, start[w]);
    }
    Ints here = {};  // the centroid, in each lane
    for (std::int64_t c = 0; c < count; c += kRows) {
      const float* from = centroids + c / kCentroids * kCentroids * dim + c % kCentroids;
      Vec value[kRows][kWide];
      for (int r = 0; r < kRows; ++r) {
        for (int w = 0; w < kWide; ++w) value[r][w] = start[w] + halves[c + r];
      }
      for (std::int64_t d = 0; d < dim; ++d) {
        Vec point[kWide];
        for (int w = 0; w < kWide; ++w) point[w] = load(points + d * kPoints + left + w * kLanes);
        for (int r = 0; r < kRows; ++r) {
          const float coordinate = from[d * kCentroids + r];
          for (int w = 0; w < kWide; ++w) value[r][w] += coordinate * point[w];
        }
      }
      for (int r = 0; r < kRows; ++r, here += 1) {
        for (int w = 0; w < kWide; ++w) {
          const Ints key = joined((Ints)value[r][w], here);
          above_low[w] = lesser(above_low[w], greater(low[w], key));
          low[w] = lesser(low[w], key);
        }
      }
    }
    for (int w = 0; w < kWide; ++w) {
      const std::int64_t to = left + w * kLanes;
      store(lowest + to, (Vec)(low[w] & ~kPlace));
      store(next + to, (Vec)(above_low[w] & ~kPlace));
      const Ints where = low[w] & kPlace;
      __builtin_memcpy(place + to, &where, sizeof where);
    }
  }
}

/// Looks up one code after the other.
template <int entries>
void scan_each(std::uint64_t* bits, const std::uint8_t* tables, const std::uint8_t* codes,
               std::int64_t parts, std::int64_t blocks, std::uint16_t limit) {
  for (std::int64_t b = 0; b < blocks; ++b) {
    std::uint16_t sums[kCodes] = {};
    for (std::int64_t p = 0; p < parts; ++p) {
      const std::uint8_t* table = tables + p * entries;
      const std::uint8_t* from = codes + (b * parts + p) * kCodes;
      for (std::int64_t k = 0; k < kCodes; ++k) {
        sums[k] = static_cast<std::uint16_t>(sums[k] + table[from[k]]);
      }
    }
    std::uint64_t found = 0;
    for (std::int64_t k = 0; k < kCodes; ++k) {
      found |= static_cast<std::uint64_t>(sums[k] <= limit) << k;
    }
    bits[b] = found;
  }
}

#if PYHYBRID_VECTOR_BYTES >= 32
// Bytes are looked up a vector at once, and added up as pairs of 16 bits: the even ones together
// with 256 times the odd ones, and the odd ones alone.
#if PYHYBRID_VECTOR_BYTES == 64
using Bytes = __m512i;
Bytes load_bytes(const std::uint8_t* from) { return _mm512_loadu_si512(from); }
Bytes add(Bytes a, Bytes b) { return _mm512_add_epi16(a, b); }
Bytes odd_bytes(Bytes a) { return _mm512_srli_epi16(a, 8); }

std::uint64_t at_most(Bytes both, Bytes odd, std::uint16_t limit) {
  const Bytes most = _mm512_set1_epi16(static_cast<short>(limit));
  const Bytes even = _mm512_sub_epi16(both, _mm512_slli_epi16(odd, 8));
  return _pdep_u64(_mm512_cmple_epu16_mask(even, most), 0x5555555555555555ULL) |
         _pdep_u64(_mm512_cmple_epu16_mask(odd, most), 0xAAAAAAAAAAAAAAAAULL);
}

struct Table16 {
  Bytes entries;
  explicit Table16(const std::uint8_t* from)
      : entries(_mm512_maskz_broadcast_i32x4(
            0xFFFF, _mm_loadu_si128(reinterpret_cast<const __m128i*>(from)))) {}
  Bytes of(Bytes codes) const { return _mm512_shuffle_epi8(entries, codes); }
};
#else
using Bytes = __m256i;
Bytes load_bytes(const std::uint8_t* from) {
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
}
Bytes add(Bytes a, Bytes b) { return _mm256_add_epi16(a, b); }
Bytes odd_bytes(Bytes a) { return _mm256_srli_epi16(a, 8); }

std::uint64_t at_most(Bytes both, Bytes odd, std::uint16_t limit) {
  const Bytes most = _mm256_set1_epi16(static_cast<short>(limit));
  const Bytes even = _mm256_sub_epi16(both, _mm256_slli_epi16(odd, 8));
  const Bytes even_in = _mm256_cmpeq_epi16(_mm256_max_epu16(even, most), most);
  const Bytes odd_in = _mm256_cmpeq_epi16(_mm256_max_epu16(odd, most), most);
  const Bytes lower = _mm256_set1_epi16(0xFF);
  const Bytes in = _mm256_blendv_epi8(odd_in, even_in, lower);
  return static_cast<std::uint32_t>(_mm256_movemask_epi8(in));
}

struct Table16 {
  Bytes entries;
  explicit Table16(const std::uint8_t* from)
      : entries(
            _mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from)))) {}
  Bytes of(Bytes codes) const { return _mm256_shuffle_epi8(entries, codes); }
};
#endif

/// Looks up 4 vectors of codes at once in each part's table, which has so many entries.
template <class Table, int entries>
void scan_together(std::uint64_t* bits, const std::uint8_t* tables, const std::uint8_t* codes,
                   std::int64_t parts, std::int64_t blocks, std::uint16_t limit) {
  constexpr int kTogether = 4;
  constexpr int kSize = PYHYBRID_VECTOR_BYTES;
  constexpr int kHalves = kCodes / kSize;  // vectors a block
  const std::int64_t vectors = blocks * kHalves;
  for (std::int64_t first = 0; first < vectors; first += kTogether) {
    Bytes both[kTogether] = {}, odd[kTogether] = {};
    const std::uint8_t* from[kTogether];  // beyond the last vector that one again
    for (int v = 0; v < kTogether; ++v) {
      const std::int64_t place = first + v < vectors ? first + v : vectors - 1;
      from[v] = codes + place / kHalves * parts * kCodes + place % kHalves * kSize;
    }
    for (std::int64_t p = 0; p < parts; ++p) {
      const Table table(tables + p * entries);
      for (int v = 0; v < kTogether; ++v) {
        const Bytes found = table.of(load_bytes(from[v] + p * kCodes));
        both[v] = add(both[v], found);
        odd[v] = add(odd[v], odd_bytes(found));
      }
    }
    for (int v = 0; v < kTogether && first + v < vectors; ++v) {
      const std::int64_t half = (first + v) % kHalves;
      std::uint64_t& word = bits[(first + v) / kHalves];
      word = (half == 0 ? 0 : word) | at_most(both[v], odd[v], limit) << (half * kSize);
    }
  }
}

void scan16(std::uint64_t* bits, const std::uint8_t* tables, const std::uint8_t* codes,
            std::int64_t parts, std::int64_t blocks, std::uint16_t limit) {
  scan_together<Table16, 16>(bits, tables, codes, parts, blocks, limit);
}
#else
void scan16(std::uint64_t* bits, const std::uint8_t* tables, const std::uint8_t* codes,
            std::int64_t parts, std::int64_t blocks, std::uint16_t limit) {
  scan_each<16>(bits, tables, codes, parts, blocks, limit);
}
#endif

#if defined(__AVX512VBMI__)
struct Table256 {
  Bytes quarters[4];
  explicit Table256(const std::uint8_t* from) {
    for (int q = 0; q < 4; ++q) quarters[q] = load_bytes(from + q * 64);
  }
  Bytes of(Bytes codes) const {
    const Bytes low = _mm512_permutex2var_epi8(quarters[0], codes, quarters[1]);
    const Bytes high = _mm512_permutex2var_epi8(quarters[2], codes, quarters[3]);
    return _mm512_mask_blend_epi8(_mm512_movepi8_mask(codes), low, high);
  }
};

void scan(std::uint64_t* bits, const std::uint8_t* tables, const std::uint8_t* codes,
          std::int64_t parts, std::int64_t blocks, std::uint16_t limit) {
  scan_together<Table256, 256>(bits, tables, codes, parts, blocks, limit);
}
#else
void scan(std::uint64_t* bits, const std::uint8_t* tables, const std::uint8_t* codes,
          std::int64_t parts, std::int64_t blocks, std::uint16_t limit) {
  scan_each<256>(bits, tables, codes, parts, blocks, limit);
}
#endif

/// Sums `vecs` vectors of each row's entries from column `first` on, the last of them from column
/// `last` on: where that is less than a vector further, columns are summed twice.
template <int vecs>
void sum_columns(float* sums, const float* table, const std::uint8_t* codes, std::int64_t rows,
                 std::int64_t parts, std::int64_t entries, std::int64_t dim, std::int64_t first,
                 std::int64_t last, float scale) {
  constexpr std::int64_t kAhead = 6;  // entries that are fetched before they are read
  constexpr std::int64_t kLine = 16;  // floats of a cache line
  std::int64_t next = kAhead, next_part = kAhead % parts;
  for (std::int64_t i = 0; i < rows; ++i) {
    const float* from = table;
    Vec sum[vecs];
#pragma GCC unroll 24
    for (int v = 0; v < vecs; ++v) sum[v] = Vec{};
    for (std::int64_t p = 0; p < parts; ++p, from += entries * dim) {
      if (next < rows * parts) {
        const float* entry = table + (next_part * entries + codes[next++]) * dim;
        for (std::int64_t d = first; d < last + kLanes; d += kLine) {
          __builtin_prefetch(entry + d, 0, 2);
        }
        if (++next_part == parts) next_part = 0;
      }
      const float* row = from + codes[i * parts + p] * dim;
#pragma GCC unroll 24
      for (int v = 0; v < vecs - 1; ++v) sum[v] += load(row + first + v * kLanes);
      sum[vecs - 1] += load(row + last);
    }
    float* to = sums + i * dim;
#pragma GCC unroll 24
    for (int v = 0; v < vecs - 1; ++v) store(to + first + v * kLanes, scale * sum[v]);
    store(to + last, scale * sum[vecs - 1]);
  }
}

constexpr int kWidest = kLanes == 16 ? 24 : 12;  // vectors, whose sums fit the registers

template <int... less_one>
auto sum_of(std::int64_t vecs, std::integer_sequence<int, less_one...>) {
  constexpr decltype(&sum_columns<1>) kSums[] = {sum_columns<less_one + 1>...};
  return kSums[vecs - 1];
}

void sum_entries(float* sums, const float* table, const std::uint8_t* codes, std::int64_t rows,
                 std::int64_t parts, std::int64_t entries, std::int64_t dim, float scale) {
  if (dim < kLanes) {
    for (std::int64_t i = 0; i < rows * dim; ++i) {
      float sum = 0.0F;
      for (std::int64_t p = 0; p < parts; ++p) {
        sum += table[(p * entries + codes[i / dim * parts + p]) * dim + i % dim];
      }
      sums[i] = scale * sum;
    }
    return;
  }
  // Few and wide passes: a pass reads pieces of rows that lie anywhere.
  std::int64_t left = (dim + kLanes - 1) / kLanes;  // vectors
  for (std::int64_t passes = (left + kWidest - 1) / kWidest, first = 0; passes > 0; --passes) {
    const std::int64_t vecs = (left + passes - 1) / passes;
    const std::int64_t full = first + (vecs - 1) * kLanes;
    const std::int64_t last = full < dim - kLanes ? full : dim - kLanes;
    const auto sum = sum_of(vecs, std::make_integer_sequence<int, kWidest>());
    sum(sums, table, codes, rows, parts, entries, dim, first, last, scale);
    first += vecs * kLanes;
    left -= vecs;
  }
}

void add_entries(float* to, const float* from, const std::uint8_t* codes, std::int64_t rows,
                 std::int64_t parts, std::int64_t dim, std::int64_t first, std::int64_t end) {
  for (std::int64_t i = 0; i < rows; ++i) {
    float* entry = to + codes[i * parts] * dim;
    const float* row = from + i * dim;
    for (std::int64_t d = first; d < end; ++d) entry[d] += row[d];
  }
}
