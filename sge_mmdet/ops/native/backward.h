// The backward pass over one group of one image; the formulas and their names
// stand in ops/eager.py.
#pragma once

#include <algorithm>
#include <cstdint>

#include "similarity.h"

namespace sge {

// Gradients of the parameters from one image, to be summed over the images:
// those of w and b for each group, and those of the norm for each channel.
struct Parts {
  double *weight, *bias, *scale, *shift;
};

// Fills where ReLU let the gradient pass: that of the identity, and of z times
// the gate.
template <class S>
INLINE void find_passed(const Problem& p, const S* y, const S* grad_y,
                        int64_t begin, int64_t end, S* passed) {
  for (int64_t c = 0; c < p.channels; ++c) {
    const int64_t row = c * p.positions;
#pragma omp simd
    for (int64_t i = row + begin; i < row + end; ++i) {
      // Read in any case: what is read on a condition makes no vectors.
      const Sum<S> g = load(grad_y[i]);
      store(passed[i], load(y[i]) <= 0 ? 0 : g);
    }
  }
}

// Fills d, as find_similarity does, and the gradient of the gate, the sum of
// g * z over channels; in one loop, so that x is read once.
template <bool is_affine, class S, class A>
INLINE void find_gradient_of_gate(const Problem& p, const S* x, const S* g,
                                  const Affine<A>& affine, const A* means,
                                  int64_t begin, int64_t end, A* d,
                                  A* of_gate) {
  for (int64_t i = begin; i < end; ++i) d[i] = of_gate[i] = 0;
  for_blocks(p.channels, [&](auto size, int64_t c) ALWAYS_INLINE {
    constexpr int K = decltype(size)::value;
    const Block<K, is_affine, S> b(p, x, affine, means, c);
    const S* rows = g + c * p.positions;
#pragma omp simd
    for (int64_t i = begin; i < end; ++i) {
      A more_d = 0, more = 0;
      for (int k = 0; k < K; ++k) {
        more_d += b.mean[k] * b.centred(k, i);
        more += load(rows[k * p.positions + i]) * b.z(k, i);
      }
      d[i] += more_d;
      of_gate[i] += more;
    }
  });
}

// What the gradient of x is made of, a number for each position.
template <class A>
struct Signals {
  const A *gate, *delta;  // delta: the gradient of d
  double sum_delta;
};

// Fills the gradient of x in channel c of a group, and those of its norm where
// they are wanted; `share` is the mean of z * delta.
template <class S, class A>
INLINE void fill_channel(const Problem& p, const S* x, const S* g, int64_t c,
                         int64_t first, const Signals<A>& at, A m, A scale,
                         A share, const Parts& parts, S* grad_x) {
  const int64_t P = p.positions;
  const S *row = x + c * P, *grad = g + c * P;
  S* out = grad_x + c * P;
  const auto of_z = [&](int64_t i) ALWAYS_INLINE {
    return load(grad[i]) * at.gate[i] + m * at.delta[i] + share;
  };
  if (!parts.scale) {
#pragma omp simd
    for (int64_t i = 0; i < P; ++i) store(out[i], scale * of_z(i));
    return;
  }
  const A mean = A(Affine<A>::mean_of(p, first + c));
  double sum_shift = 0, sum_scale = 0;
  for_tiles(P, [&](int64_t begin, int64_t end) ALWAYS_INLINE {
    A part_shift = 0, part_scale = 0;
#pragma omp simd reduction(+ : part_shift, part_scale)
    for (int64_t i = begin; i < end; ++i) {
      const A v = of_z(i);
      part_shift += v;
      part_scale += v * (load(row[i]) - mean);
      store(out[i], scale * v);
    }
    sum_shift += part_shift;
    sum_scale += part_scale;
  });
  parts.shift[c] = sum_shift;
  parts.scale[c] = sum_scale * Affine<A>::inverse_deviation(p, first + c);
}

// Fills the gradient of x, and those of the norm.
template <bool is_affine, class S, class A>
INLINE void find_grad_x(const Problem& p, const S* x, const S* g,
                        const Affine<A>& affine, const A* means,
                        int64_t first, const Signals<A>& at,
                        const Parts& parts, S* grad_x) {
  const int64_t P = p.positions;
  for_blocks(p.channels, [&](auto size, int64_t c) ALWAYS_INLINE {
    constexpr int K = decltype(size)::value;
    const Block<K, is_affine, S> b(p, x, affine, means, c);
    double totals[K] = {};
    for_tiles(P, [&](int64_t begin, int64_t end) ALWAYS_INLINE {
      add_sums<K, A>(begin, end, totals, [&](int k, int64_t i) ALWAYS_INLINE {
        return b.centred(k, i) * at.delta[i];
      });
    });
    for (int k = 0; k < K; ++k)
      fill_channel(p, x, g, c + k, first, at, b.mean[k], b.scale[k],
                   A((totals[k] + b.centre[k] * at.sum_delta) / P), parts,
                   grad_x);
  });
}

template <bool is_affine, class S, class A>
INLINE void backward_group(const Problem& p, int64_t task, A* buffer,
                           const Parts& parts) {
  const int64_t P = p.positions, group = task % p.groups;
  const int64_t first = group * p.channels;
  A *t = buffer, *gate = t + P, *delta = gate + P;
  const Affine<A> affine(p, first, delta + P);
  Rows<S> rows(p, task, reinterpret_cast<S*>(delta + P + 2 * p.channels));
  const S* x = rows.in(p.x);
  const S* grad_y = rows.in(p.grad_y);
  const S* y = p.relu ? rows.in(p.y) : nullptr;
  S* grad_x = rows.out(p.grad_x);
  S* grad_identity = rows.out(p.grad_identity);
  const S* g = y ? grad_identity : grad_y;
  const A* means = static_cast<const A*>(p.mean) + task * p.channels;
  const A* spread = static_cast<const A*>(p.spread) + task * 2;

  // delta: first the gradient of the gate.
  double sum = 0;
  for_tiles(P, [&](int64_t begin, int64_t end) ALWAYS_INLINE {
    if (y) find_passed(p, y, grad_y, begin, end, grad_identity);
    find_gradient_of_gate<is_affine>(p, x, g, affine, means, begin, end, t,
                                     delta);
#pragma omp simd reduction(+ : sum)
    for (int64_t i = begin; i < end; ++i) sum += t[i];
  });

  // Then the gradient of the sigmoid's argument.
  const Normalization<A> norm(p, A(sum / P), spread[1]);
  const A w = static_cast<const A*>(p.weight)[group];
  const A b = static_cast<const A*>(p.bias)[group];
  double sum_e = 0, sum_et = 0;
  for_tiles(P, [&](int64_t begin, int64_t end) ALWAYS_INLINE {
    A part_e = 0, part_et = 0;
#pragma omp simd reduction(+ : part_e, part_et)
    for (int64_t i = begin; i < end; ++i) {
      t[i] = (t[i] - norm.level) * norm.slope;
      gate[i] = sigmoid(w * t[i] + b);
      delta[i] *= gate[i] * (1 - gate[i]);
      part_e += delta[i];
      part_et += delta[i] * t[i];
    }
    sum_e += part_e;
    sum_et += part_et;
  });
  *parts.weight = sum_et;
  *parts.bias = sum_e;

  // At last that of d.
  const A slope = w * norm.slope;
  const A level = p.normalize ? A(sum_e / P) : A(0);
  const A tilt = p.normalize && norm.slope != 0
                     ? A(sum_et / (std::max<int64_t>(P - 1, 1) *
                                   double(norm.deviation) * norm.slope))
                     : A(0);
  double sum_delta = 0;
  for_tiles(P, [&](int64_t begin, int64_t end) ALWAYS_INLINE {
    A part = 0;
#pragma omp simd reduction(+ : part)
    for (int64_t i = begin; i < end; ++i) {
      delta[i] = slope * (delta[i] - level - tilt * t[i]);
      part += delta[i];
    }
    sum_delta += part;
  });
  find_grad_x<is_affine>(p, x, g, affine, means, first,
                         Signals<A>{gate, delta, sum_delta}, parts, grad_x);
  rows.finish(grad_x, p.grad_x);
  rows.finish(grad_identity, p.grad_identity);
}

}  // namespace sge
