// The forward pass over one group of one image; the formulas and their names
// stand in ops/reference.py.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "similarity.h"

namespace sge {

// Up to so many channels a group, gates are so large a part of the work that
// it helps to fetch maps meanwhile.
constexpr int64_t kFewChannels = 8;

template <bool is_affine, class S, class A>
INLINE A mean_of(const Problem& p, const S* row, A scale, A shift) {
  const int64_t P = p.positions;
  const double mean =
      sum_of<A>(P, [&](int64_t i) ALWAYS_INLINE { return load(row[i]); }) / P;
  if (!is_affine) return A(mean);
  const A moved = A(scale * mean + shift);
  if (std::isfinite(moved)) return moved;
  // Infinity of both signs has no mean, which an infinite scale would.
  double sum = 0;
  for (int64_t i = 0; i < P; ++i) sum += scale * load(row[i]) + shift;
  return A(sum / P);
}

// Turns the similarity into the gate. `fetch` is told which positions the
// result is going to need: reading maps from memory and computing gates then
// go on at the same time.
template <class A, class F>
INLINE void find_gate(const Normalization<A>& norm, A w, A b, int64_t begin,
                      int64_t end, A* d, const F& fetch) {
  constexpr int64_t kLine = 64 / sizeof(A);
  const auto gate = [&](int64_t j) ALWAYS_INLINE {
    d[j] = sigmoid(w * ((d[j] - norm.level) * norm.slope) + b);
  };
  int64_t i = begin;
  for (; i + kLine <= end; i += kLine) {
    fetch(i);
#pragma omp simd
    for (int64_t j = 0; j < kLine; ++j) gate(i + j);
  }
  if (i < end) fetch(i);
#pragma omp simd
  for (int64_t j = i; j < end; ++j) gate(j);
}

// Writes z times the gate, and adds the identity before ReLU.
template <bool is_affine, class S, class A>
INLINE void write_result(const Problem& p, const S* x, const S* identity,
                         const Affine<A>& affine, const A* means,
                         int64_t begin, int64_t end, const A* gate, S* y) {
  for (int64_t c = 0; c < p.channels; ++c) {
    const Block<1, is_affine, S> z(p, x, affine, means, c);
    S* out = y + c * p.positions;
    if (identity) {
      const S* add = identity + c * p.positions;
#pragma omp simd
      for (int64_t i = begin; i < end; ++i) {
        const A v = z.z(0, i) * gate[i] + load(add[i]);
        store(out[i], v < 0 ? 0 : v);
      }
    } else {
#pragma omp simd
      for (int64_t i = begin; i < end; ++i)
        store(out[i], z.z(0, i) * gate[i]);
    }
  }
}

template <bool is_affine, class S, class A>
INLINE void forward_group(const Problem& p, int64_t task, A* buffer) {
  const int64_t P = p.positions, group = task % p.groups;
  A* d = buffer;
  const Affine<A> affine(p, group * p.channels, d + P);
  Rows<S> rows(p, task, reinterpret_cast<S*>(d + P + 2 * p.channels));
  const S* x = rows.in(p.x);
  const S* identity = rows.in(p.identity);
  S* y = rows.out(p.y);
  A* means = static_cast<A*>(p.mean) + task * p.channels;
  A* spread = static_cast<A*>(p.spread) + task * 2;
  for (int64_t c = 0; c < p.channels; ++c)
    means[c] = mean_of<is_affine>(p, x + c * P, affine.scale_of(c),
                                  affine.shift_of(c));

  // Relative to the first similarity, so that equal ones have no deviation,
  // however they are rounded.
  double sum = 0, squares = 0, start = 0;
  for_tiles(P, [&](int64_t begin, int64_t end) ALWAYS_INLINE {
    find_similarity<is_affine>(p, x, affine, means, begin, end, d);
    if (!p.normalize) return;
    if (begin == 0) start = d[0];
#pragma omp simd reduction(+ : sum, squares)
    for (int64_t i = begin; i < end; ++i) {
      const double v = d[i] - start;
      sum += v;
      squares += v * v;
    }
  });
  const double level = start + sum / P;
  spread[0] = spread[1] = 0;
  if (p.normalize) {
    double mu = 0;
    for (int64_t c = 0; c < p.channels; ++c) mu += double(means[c]) * means[c];
    const double rest = squares - sum / P * sum;
    spread[0] = mu > 0 && std::isfinite(A(mu)) ? A(level / mu) : A(0);
    // Written so that NaN stays NaN.
    spread[1] = without_noise(A(std::sqrt((rest < 0 ? 0 : rest) /
                                          std::max<int64_t>(P - 1, 1))),
                              A(mu));
  }

  const Normalization<A> norm(p, A(level), spread[1]);
  const A w = static_cast<const A*>(p.weight)[group];
  const A b = static_cast<const A*>(p.bias)[group];
  for_tiles(P, [&](int64_t begin, int64_t end) ALWAYS_INLINE {
    find_gate(norm, w, b, begin, end, d, [&](int64_t i) ALWAYS_INLINE {
      if (!identity || p.channels > kFewChannels) return;
      for (int64_t c = 0; c < p.channels; ++c)
        __builtin_prefetch(identity + c * P + i);
    });
    write_result<is_affine>(p, x, identity, affine, means, begin, end, d, y);
  });
  rows.finish(y, p.y);
}

}  // namespace sge
