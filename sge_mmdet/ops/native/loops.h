// Loops over positions and channels.
#pragma once

#include <algorithm>
#include <cstdint>
#include <type_traits>

#include "maths.h"

namespace sge {

// Positions at a time, at most: what is computed of them stays in the first
// cache.
constexpr int64_t kTile = 2048;

// Runs a function for one tile of positions after the other, all as long.
template <class F>
INLINE void for_tiles(int64_t positions, const F& run) {
  int64_t length = positions;
  // A division takes as long as a row of a small map.
  if (positions > kTile) {
    const int64_t tiles = (positions + kTile - 1) / kTile;
    length = ((positions + tiles - 1) / tiles + 15) / 16 * 16;
  }
  for (int64_t i = 0; i < positions; i += length)
    run(i, std::min(i + length, positions));
}

// Returns the sum of term(i) over all positions: over a tile in type A, in
// many lanes that do not wait for each other, over the tiles in double. It
// reads a row from end to end, as what is not in the cache yet should be.
template <class A, class F>
INLINE double sum_of(int64_t positions, const F& term) {
  constexpr int kLanes = 32, kFew = 8;
  double total = 0;
  for_tiles(positions, [&](int64_t begin, int64_t end) ALWAYS_INLINE {
    A part[kLanes] = {};
    int64_t i = begin;
    for (; i + kLanes <= end; i += kLanes) {
#pragma omp simd
      for (int lane = 0; lane < kLanes; ++lane) part[lane] += term(i + lane);
    }
    for (; i + kFew <= end; i += kFew) {
#pragma omp simd
      for (int lane = 0; lane < kFew; ++lane) part[lane] += term(i + lane);
    }
    A rest = 0;
    for (; i < end; ++i) rest += term(i);
    for (int half = kLanes / 2; half; half /= 2)
      for (int lane = 0; lane < half; ++lane) part[lane] += part[lane + half];
    total += part[0] + rest;
  });
  return total;
}

// Adds the sums of term(0, i) to term(K - 1, i) over a tile to K totals; K is
// 1 or 4. They do not wait for each other, and share what they read. Single
// variables, since GCC makes no vectors of an array of sums.
template <int K, class A, class F>
INLINE void add_sums(int64_t begin, int64_t end, double* totals,
                     const F& term) {
  A sum0 = 0, sum1 = 0, sum2 = 0, sum3 = 0;
#pragma omp simd reduction(+ : sum0, sum1, sum2, sum3)
  for (int64_t i = begin; i < end; ++i) {
    sum0 += term(0, i);
    if (K == 1) continue;
    sum1 += term(1 % K, i);
    sum2 += term(2 % K, i);
    sum3 += term(3 % K, i);
  }
  const A sums[] = {sum0, sum1, sum2, sum3};
  for (int k = 0; k < K; ++k) totals[k] += sums[k];
}

// Runs a function for blocks of four channels, and of one at the end.
template <class F>
INLINE void for_blocks(int64_t channels, const F& run) {
  int64_t c = 0;
  for (; c + 4 <= channels; c += 4)
    run(std::integral_constant<int, 4>(), c);
  for (; c < channels; ++c) run(std::integral_constant<int, 1>(), c);
}

}  // namespace sge
