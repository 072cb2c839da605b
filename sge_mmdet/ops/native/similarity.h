// What both passes compute of a group: the similarity, and its normalisation.
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>

#include "group.h"
#include "loops.h"

namespace sge {

// Fills d = m . (x - m), or without normalisation d = m . x.
template <bool is_affine, class S, class A>
INLINE void find_similarity(const Problem& p, const S* x,
                            const Affine<A>& affine, const A* means,
                            int64_t begin, int64_t end, A* d) {
  for (int64_t i = begin; i < end; ++i) d[i] = 0;
  for_blocks(p.channels, [&](auto size, int64_t c) ALWAYS_INLINE {
    constexpr int K = decltype(size)::value;
    const Block<K, is_affine, S> b(p, x, affine, means, c);
#pragma omp simd
    for (int64_t i = begin; i < end; ++i) {
      A more = 0;
      for (int k = 0; k < K; ++k) more += b.mean[k] * b.centred(k, i);
      d[i] += more;
    }
  });
}

// Returns the deviation of d, or 0 where it is no more than what rounding
// leaves of a constant map; see noise_level in ops/reference.py.
template <class A>
INLINE A without_noise(A deviation, double mu) {
  const double epsilon = std::numeric_limits<A>::epsilon();
  // Not ">": with NaN there is spread, and NaN comes out.
  return deviation <= epsilon * std::sqrt(epsilon) * mu ? A(0) : deviation;
}

// t = (d - level) * slope; slope 0 where t is 0. The level is the mean of d,
// which is what rounding of m left of it.
template <class A>
struct Normalization {
  A level, slope, deviation;

  INLINE Normalization(const Problem& p, A level, A deviation)
      : level(p.normalize ? level : A(0)), slope(1), deviation(deviation) {
    if (!p.normalize) return;
    // Not ">": of NaN comes NaN.
    slope = deviation <= 0 ? 0 : 1 / (deviation + A(p.eps));
  }
};

}  // namespace sge
