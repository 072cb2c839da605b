// SGE on the CPU: each group of channels of an image is read from memory
// once, and what is computed of it stays in the cache.
//
// The formulas and their names stand in ops/reference.py. The functions at the
// end have a C interface and know nothing of PyTorch, so that one build serves
// all of its versions.
#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <exception>
#include <limits>
#include <memory>
#include <new>
#include <thread>
#include <type_traits>
#include <vector>

// One binary runs on any x86 and uses the widest vectors that it finds.
#if defined(__x86_64__) && defined(__GLIBC__) && defined(__GNUC__) && \
    !defined(__clang__)
#define FOR_EACH_CPU \
  __attribute__((target_clones("arch=skylake-avx512", "arch=haswell", \
                               "default")))
#else
#define FOR_EACH_CPU
#endif
// What is not inlined into a function above is not built for its CPU.
#define INLINE inline __attribute__((always_inline))

namespace {

// Positions at a time: what is computed of them stays in the first cache.
constexpr int64_t kTile = 2048;

struct bfloat16 {
  uint16_t bits;
};

template <class S>
struct Accumulator {
  using type = S;
};
template <>
struct Accumulator<bfloat16> {
  using type = float;
};

INLINE float load(float v) { return v; }
INLINE double load(double v) { return v; }
INLINE float load(bfloat16 v) {
  uint32_t bits = uint32_t(v.bits) << 16;
  float out;
  std::memcpy(&out, &bits, 4);
  return out;
}
INLINE void store(float& to, float v) { to = v; }
INLINE void store(double& to, double v) { to = v; }
INLINE void store(bfloat16& to, float v) {
  uint32_t bits;
  std::memcpy(&bits, &v, 4);
  // To nearest, ties to even; a NaN must not round to infinity.
  uint32_t rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
  to.bits = uint16_t(v != v ? (bits >> 16) | 0x40 : rounded);
}

INLINE double exponential(double v) { return std::exp(v); }
// e^v to 2 units in the last place for |v| <= 87, in steps that vectorise:
// 2^n e^r with |r| <= ln(2) / 2.
INLINE float exponential(float v) {
  int32_t n = int32_t(v * 1.44269504f + (v < 0 ? -0.5f : 0.5f));
  float r = v - float(n) * 0.693359375f;
  r = r + float(n) * 2.12194440e-4f;
  float p = 1.9875691500e-4f;
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * r * r + r + 1;
  int32_t bits = (n + 127) << 23;
  float power;
  std::memcpy(&power, &bits, 4);
  return p * power;
}
template <class A>
INLINE A sigmoid(A v) {
  const A most = std::is_same<A, float>::value ? 87 : 700;
  // Written so that NaN stays NaN.
  A low = v < -most ? -most : v;
  A both = low > most ? most : low;
  return 1 / (1 + exponential(-both));
}

// Runs all tasks, each thread with a buffer of its own; false where there is
// no memory for the first. Threads that do not start leave their work to the
// others.
template <class A, class F>
bool parallel(int64_t tasks, int threads, int64_t length, const F& run) {
  std::atomic<int64_t> next{0};
  auto work = [&] {
    std::unique_ptr<A[]> buffer(new (std::nothrow) A[length]);
    if (!buffer) return false;
    for (int64_t i; (i = next.fetch_add(1)) < tasks;) run(i, buffer.get());
    return true;
  };
  std::vector<std::thread> others;
  try {
    for (int64_t i = 1; i < std::min<int64_t>(threads, tasks); ++i)
      others.emplace_back(work);
  } catch (const std::exception&) {
  }
  const bool is_done = work();
  for (auto& other : others) other.join();
  return is_done;
}

// What one call is about. Pointers are null where there is no such tensor.
struct Problem {
  int64_t images, groups, channels, positions;  // channels: of one group
  const void *x, *weight, *bias, *scale, *shift, *identity;
  void *y, *mean, *spread;  // mean: (images, channels); spread: (., 2)
  double eps;
  int32_t normalize, relu, threads, channels_last;
  // Of the backward pass alone.
  const void* grad_y;
  void *grad_x, *grad_identity;
  void *grad_weight, *grad_bias;   // (images, groups)
  void *grad_scale, *grad_shift;   // (images, channels)
};

// One group of channels of one image as rows of positions. In channels-last
// layout it is copied from and to a buffer, which stays in the cache.
template <class S>
struct Rows {
  const Problem& p;
  int64_t offset;  // of the group's first value
  S* buffer;       // of channels * positions values, for channels-last alone

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
};

// z = scale * x + shift of one channel.
template <class A>
struct Affine {
  A scale, shift;
};
template <class S, class A>
INLINE Affine<A> affine(const Problem& p, int64_t channel) {
  if (!p.scale) return {1, 0};
  return {static_cast<const A*>(p.scale)[channel],
          static_cast<const A*>(p.shift)[channel]};
}

// d = sum over channels of mean * z, at n positions.
template <class S, class A>
INLINE void similarity(const Problem& p, const S* x, const A* mean,
                       int64_t first_channel, int64_t n, A* d) {
  for (int64_t i = 0; i < n; ++i) d[i] = 0;
  for (int64_t c = 0; c < p.channels; ++c) {
    const S* row = x + c * p.positions;
    const A m = mean[c];
    const auto a = affine<S, A>(p, first_channel + c);
    for (int64_t i = 0; i < n; ++i)
      d[i] += m * (a.scale * load(row[i]) + a.shift);
  }
}

// The normalisation t = (d - mu) * slope of a group; slope 0 where t is 0.
template <class A>
struct Normalization {
  A mu, slope, deviation;
};
template <class A>
INLINE Normalization<A> normalization(const Problem& p, A mu, A deviation) {
  if (!p.normalize) return {0, 1, 1};
  const A noise = 16 * std::numeric_limits<A>::epsilon() * mu;
  // Not "<=": with NaN there is spread, and NaN comes out.
  const bool is_flat = deviation <= noise;
  return {mu, is_flat ? 0 : 1 / (deviation + A(p.eps)), deviation};
}

template <class S, class A>
FOR_EACH_CPU void forward_group(const Problem& p, int64_t task, A* d) {
  const int64_t P = p.positions, group = task % p.groups;
  const int64_t first = group * p.channels;
  Rows<S> rows(p, task, reinterpret_cast<S*>(d + P));
  const S* x = rows.in(p.x);
  const S* identity = rows.in(p.identity);
  S* y = rows.out(p.y);
  A* mean = static_cast<A*>(p.mean) + task * p.channels;
  A* spread = static_cast<A*>(p.spread) + task * 2;

  for (int64_t c = 0; c < p.channels; ++c) {
    double total = 0;
    for (int64_t i = 0; i < P; i += kTile) {
      const S* row = x + c * P + i;
      const int64_t n = std::min(kTile, P - i);
      A part = 0;
#pragma omp simd reduction(+ : part)
      for (int64_t j = 0; j < n; ++j) part += load(row[j]);
      total += part;
    }
    const auto a = affine<S, A>(p, first + c);
    mean[c] = A(a.scale * (total / P) + a.shift);
  }
  double total = 0;
  for (int64_t i = 0; i < P; i += kTile) {
    const int64_t n = std::min(kTile, P - i);
    similarity<S, A>(p, x + i, mean, first, n, d + i);
    // Less the first, so that of a constant nothing is left.
    double part = 0;
#pragma omp simd reduction(+ : part)
    for (int64_t j = 0; j < n; ++j) part += d[i + j] - d[0];
    total += part;
  }
  const double mu = d[0] + total / P;
  double squares = 0;
#pragma omp simd reduction(+ : squares)
  for (int64_t i = 0; i < P; ++i) squares += (d[i] - mu) * (d[i] - mu);
  spread[0] = A(mu);
  spread[1] = A(std::sqrt(squares / std::max<int64_t>(P - 1, 1)));

  const auto norm = normalization(p, spread[0], spread[1]);
  const A w = static_cast<const A*>(p.weight)[group];
  const A b = static_cast<const A*>(p.bias)[group];
  for (int64_t i = 0; i < P; ++i)
    d[i] = sigmoid(w * ((d[i] - norm.mu) * norm.slope) + b);
  for (int64_t c = 0; c < p.channels; ++c) {
    const auto a = affine<S, A>(p, first + c);
    const S* row = x + c * P;
    S* out = y + c * P;
    if (identity) {
      const S* add = identity + c * P;
      for (int64_t i = 0; i < P; ++i) {
        const A v = (a.scale * load(row[i]) + a.shift) * d[i] + load(add[i]);
        store(out[i], p.relu && v < 0 ? 0 : v);
      }
    } else {
      for (int64_t i = 0; i < P; ++i) {
        const A v = (a.scale * load(row[i]) + a.shift) * d[i];
        store(out[i], p.relu && v < 0 ? 0 : v);
      }
    }
  }
  rows.finish(y, p.y);
}

template <class S, class A>
FOR_EACH_CPU void backward_group(const Problem& p, int64_t task, A* buffer) {
  const int64_t P = p.positions, group = task % p.groups;
  const int64_t first = group * p.channels;
  Rows<S> rows(p, task, reinterpret_cast<S*>(buffer + 3 * P));
  const S* x = rows.in(p.x);
  const S* grad_y = rows.in(p.grad_y);
  const S* y = p.relu ? rows.in(p.y) : nullptr;
  S* grad_x = rows.out(p.grad_x);
  S* grad_identity = rows.out(p.grad_identity);
  const A* mean = static_cast<const A*>(p.mean) + task * p.channels;
  const A* spread = static_cast<const A*>(p.spread) + task * 2;
  const auto norm = normalization(p, spread[0], spread[1]);
  const A w = static_cast<const A*>(p.weight)[group];
  const A b = static_cast<const A*>(p.bias)[group];
  A *t = buffer, *gate = buffer + P, *delta = buffer + 2 * P;

  // delta: first the gradient of the gate, then of the sigmoid's argument.
  double sum_e = 0, sum_et = 0;
  for (int64_t i = 0; i < P; i += kTile) {
    const int64_t n = std::min(kTile, P - i);
    similarity<S, A>(p, x + i, mean, first, n, t + i);
    for (int64_t j = i; j < i + n; ++j) delta[j] = 0;
    for (int64_t c = 0; c < p.channels; ++c) {
      const auto a = affine<S, A>(p, first + c);
      const S* row = x + c * P + i;
      const S* grad = grad_y + c * P + i;
      if (y) {
        const S* out = y + c * P + i;
        S* passed = grad_identity + c * P + i;
        for (int64_t j = 0; j < n; ++j) {
          const A g = load(out[j]) > 0 ? load(grad[j]) : 0;
          store(passed[j], g);
          delta[i + j] += g * (a.scale * load(row[j]) + a.shift);
        }
      } else {
        for (int64_t j = 0; j < n; ++j)
          delta[i + j] +=
              load(grad[j]) * (a.scale * load(row[j]) + a.shift);
      }
    }
    A part_e = 0, part_et = 0;
#pragma omp simd reduction(+ : part_e, part_et)
    for (int64_t j = i; j < i + n; ++j) {
      t[j] = (t[j] - norm.mu) * norm.slope;
      gate[j] = sigmoid(w * t[j] + b);
      delta[j] *= gate[j] * (1 - gate[j]);
      part_e += delta[j];
      part_et += delta[j] * t[j];
    }
    sum_e += part_e;
    sum_et += part_et;
  }
  static_cast<A*>(p.grad_weight)[task] = A(sum_et);
  static_cast<A*>(p.grad_bias)[task] = A(sum_e);

  // delta: now the gradient of d.
  const A slope = w * norm.slope;
  const A level = p.normalize ? A(sum_e / P) : 0;
  const A tilt = p.normalize && norm.slope != 0
                     ? A(sum_et / (std::max<int64_t>(P - 1, 1) *
                                   double(norm.deviation) * norm.slope))
                     : 0;
  double sum_delta = 0;
  for (int64_t i = 0; i < P; i += kTile) {
    const int64_t n = std::min(kTile, P - i);
    A part = 0;
#pragma omp simd reduction(+ : part)
    for (int64_t j = i; j < i + n; ++j) {
      delta[j] = slope * (delta[j] - level - tilt * t[j]);
      part += delta[j];
    }
    sum_delta += part;
  }
  const S* grad_z = y ? grad_identity : grad_y;
  for (int64_t c = 0; c < p.channels; ++c) {
    const auto a = affine<S, A>(p, first + c);
    const S* row = x + c * P;
    double total = 0;
    for (int64_t i = 0; i < P; i += kTile) {
      const int64_t end = std::min(i + kTile, P);
      A part = 0;
#pragma omp simd reduction(+ : part)
      for (int64_t j = i; j < end; ++j) part += load(row[j]) * delta[j];
      total += part;
    }
    const A m = mean[c];
    const A share = A((a.scale * total + a.shift * sum_delta) / P);
    const S* grad = grad_z + c * P;
    S* out = grad_x + c * P;
    if (!p.grad_scale) {
      for (int64_t i = 0; i < P; ++i)
        store(out[i],
              a.scale * (load(grad[i]) * gate[i] + m * delta[i] + share));
      continue;
    }
    double sum_shift = 0, sum_scale = 0;
    for (int64_t i = 0; i < P; i += kTile) {
      const int64_t end = std::min(i + kTile, P);
      A part_shift = 0, part_scale = 0;
#pragma omp simd reduction(+ : part_shift, part_scale)
      for (int64_t j = i; j < end; ++j) {
        const A g = load(grad[j]) * gate[j] + m * delta[j] + share;
        part_shift += g;
        part_scale += g * load(row[j]);
        store(out[j], a.scale * g);
      }
      sum_shift += part_shift;
      sum_scale += part_scale;
    }
    static_cast<A*>(p.grad_shift)[task * p.channels + c] = A(sum_shift);
    static_cast<A*>(p.grad_scale)[task * p.channels + c] = A(sum_scale);
  }
  rows.finish(grad_x, p.grad_x);
  rows.finish(grad_identity, p.grad_identity);
}

template <class S, bool is_backward>
bool run(const Problem& p) {
  using A = typename Accumulator<S>::type;
  const int64_t vectors = is_backward ? 3 : 1;
  const int64_t maps = !p.channels_last ? 0 : is_backward ? 5 : 3;
  return parallel<A>(p.images * p.groups, p.threads,
                     (vectors + maps * p.channels) * p.positions,
                     [&](int64_t task, A* buffer) {
                       if (is_backward)
                         backward_group<S, A>(p, task, buffer);
                       else
                         forward_group<S, A>(p, task, buffer);
                     });
}

template <bool is_backward>
int run_dtype(const Problem& p, int dtype) {
  switch (dtype) {
    case 0: return !run<float, is_backward>(p);
    case 1: return !run<double, is_backward>(p);
    case 2: return !run<bfloat16, is_backward>(p);
  }
  return 2;
}

}  // namespace

// Both return 0, 1 where memory ran out, or 2 for a dtype that is none.
extern "C" int sge_forward(const Problem* problem, int dtype) {
  return run_dtype<false>(*problem, dtype);
}
extern "C" int sge_backward(const Problem* problem, int dtype) {
  return run_dtype<true>(*problem, dtype);
}
