// What a call is about, and one group of channels of one image of it.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "maths.h"
#include "threads.h"

namespace sge {

// Pointers are null where there is no such tensor. Maps have one type and one
// layout; all else has the type of sums over them.
struct Problem {
  int64_t images, groups, channels, positions;  // channels: of one group
  const void *x, *identity, *weight, *bias;
  const void *norm_scale, *norm_shift, *norm_mean, *norm_variance;
  void *y, *mean, *spread;  // mean: (images, channels); spread: (., 2)
  Team team;  // or null
  double eps, norm_eps;
  int32_t normalize, relu, threads, channels_last;
  // Of the backward pass alone; those of parameters are sums over images.
  const void* grad_y;
  void *grad_x;
  void *grad_weight, *grad_bias, *grad_scale, *grad_shift;
  void *grad_identity;
};

// One group of channels of one image as rows of positions. In channels-last
// layout it is copied from and to a buffer, which stays in the cache.
template <class S>
class Rows {
 public:
  // `memory`: of channels * positions values for each map, for channels-last
  // alone.
  Rows(const Problem& problem, int64_t task, S* memory)
      : p(problem),
        offset(problem.channels_last
                   ? (task / p.groups * p.positions * p.groups +
                      task % p.groups) * p.channels
                   : task * p.channels * p.positions),
        buffer(memory) {}

  INLINE const S* in(const void* tensor) {
    if (!tensor) return nullptr;
    const S* from = static_cast<const S*>(tensor) + offset;
    if (!p.channels_last) return from;
    S* to = next();
    const int64_t step = p.groups * p.channels;
    for (int64_t i = 0; i < p.positions; ++i)
      for (int64_t c = 0; c < p.channels; ++c)
        to[c * p.positions + i] = from[i * step + c];
    return to;
  }
  INLINE S* out(void* tensor) {
    if (!tensor) return nullptr;
    return p.channels_last ? next() : static_cast<S*>(tensor) + offset;
  }
  INLINE void finish(const S* rows, void* tensor) const {
    if (!tensor || !p.channels_last) return;
    S* to = static_cast<S*>(tensor) + offset;
    const int64_t step = p.groups * p.channels;
    for (int64_t i = 0; i < p.positions; ++i)
      for (int64_t c = 0; c < p.channels; ++c)
        to[i * step + c] = rows[c * p.positions + i];
  }

 private:
  INLINE S* next() {
    S* rows = buffer;
    buffer += p.channels * p.positions;
    return rows;
  }

  const Problem& p;
  const int64_t offset;  // of the group's first value
  S* buffer;
};

// The norm of a group's channels as z = scale * x + shift.
template <class A>
class Affine {
 public:
  // `memory`: of 2 * channels numbers.
  INLINE Affine(const Problem& p, int64_t first, A* memory)
      : scale(p.norm_scale ? memory : nullptr), shift(memory + p.channels) {
    if (!scale) return;
    const A* of_scale = static_cast<const A*>(p.norm_scale) + first;
    const A* of_shift = static_cast<const A*>(p.norm_shift) + first;
    A* to_shift = memory + p.channels;
    if (!p.norm_mean) {
      std::copy(of_scale, of_scale + p.channels, memory);
      std::copy(of_shift, of_shift + p.channels, to_shift);
      return;
    }
    const A* mean = static_cast<const A*>(p.norm_mean) + first;
    const A* variance = static_cast<const A*>(p.norm_variance) + first;
    const double eps = p.norm_eps;
#pragma omp simd
    for (int64_t c = 0; c < p.channels; ++c) {
      const double factor = of_scale[c] * (1 / std::sqrt(variance[c] + eps));
      memory[c] = A(factor);
      to_shift[c] = A(of_shift[c] - mean[c] * factor);
    }
  }
  INLINE A scale_of(int64_t c) const { return scale ? scale[c] : A(1); }
  INLINE A shift_of(int64_t c) const { return scale ? shift[c] : A(0); }
  // Of the norm; without statistics what leaves x as it is.
  static INLINE double mean_of(const Problem& p, int64_t c) {
    return p.norm_mean ? static_cast<const A*>(p.norm_mean)[c] : 0;
  }
  static INLINE double inverse_deviation(const Problem& p, int64_t c) {
    if (!p.norm_mean) return 1;
    return 1 / std::sqrt(static_cast<const A*>(p.norm_variance)[c] +
                         p.norm_eps);
  }

 private:
  const A *scale, *shift;
};

// K channels from channel c of a group on, side by side in one loop, so that
// what they share is read once.
template <int K, bool is_affine, class S>
struct Block {
  using A = Sum<S>;
  const S* x[K];
  A scale[K], shift[K], mean[K];
  A centre[K];  // What `centred` leaves out: the mean, or nothing.

  INLINE Block(const Problem& p, const S* rows, const Affine<A>& affine,
               const A* means, int64_t c) {
    for (int k = 0; k < K; ++k) {
      x[k] = rows + (c + k) * p.positions;
      scale[k] = affine.scale_of(c + k);
      shift[k] = affine.shift_of(c + k);
      mean[k] = means[c + k];
      centre[k] = p.normalize ? mean[k] : A(0);
    }
  }
  INLINE A z(int k, int64_t i) const {
    return is_affine ? scale[k] * load(x[k][i]) + shift[k] : load(x[k][i]);
  }
  INLINE A centred(int k, int64_t i) const {
    return is_affine ? scale[k] * load(x[k][i]) + (shift[k] - centre[k])
                     : load(x[k][i]) - centre[k];
  }
};

}  // namespace sge
