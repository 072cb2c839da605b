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
// 2^n e^r with |r| <= ln(2) / 2. Adding 1.5 * 2^23 rounds to a whole number n
// and leaves it in the lowest bits; NaN, which no conversion to an integer
// takes, goes through it to the result.
INLINE float exponential(float v) {
  constexpr float kRound = 12582912.f;
  const float shifted = v * 1.44269504f + kRound;
  const float n = shifted - kRound;
  float r = v - n * 0.693359375f;
  r = r + n * 2.12194440e-4f;
  float p = 1.9875691500e-4f;
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * r * r + r + 1;
  uint32_t bits;
  std::memcpy(&bits, &shifted, 4);
  bits = (bits + 127) << 23;
  float power;
  std::memcpy(&power, &bits, 4);
  return p * power;
}
// Of the largest number.
template <class A>
constexpr A kLargestLog() {
  return A(std::is_same<A, float>::value ? 88.7228394 : 709.782712893384);
}
template <class A>
INLINE A sigmoid(A v) {
  const A most = std::is_same<A, float>::value ? 87 : 700;
  // Written so that NaN stays NaN.
  A low = v < -most ? -most : v;
  A both = low > most ? most : low;
  A gate = 1 / (1 + exponential(-both));
  // As PyTorch's, whose e^-v is infinite there; infinity times 0 is NaN.
  return v < -kLargestLog<A>() ? 0 : gate;
}

// GOMP_parallel of the OpenMP that PyTorch has loaded: runs a function in each
// thread of its team. Threads of our own would share the cores with that team,
// whose threads go on spinning for milliseconds after PyTorch's last operator.
using Team = void (*)(void (*)(void*), void*, unsigned, unsigned);

template <class Work>
void call_work(void* work) {
  (*static_cast<Work*>(work))();
}

// Runs all tasks, each thread with a buffer of its own; false where memory ran
// out.
template <class A, class F>
bool parallel(Team team, int64_t tasks, int threads, int64_t length,
              const F& run) {
  std::atomic<int64_t> next{0};
  auto work = [&] {
    std::unique_ptr<A[]> buffer(new (std::nothrow) A[length]);
    if (!buffer) return;
    for (int64_t i; (i = next.fetch_add(1)) < tasks;) run(i, buffer.get());
  };
  threads = int(std::min<int64_t>(threads, tasks));
  if (threads > 1 && team) {
    team(call_work<decltype(work)>, &work, threads, 0);
  } else {
    std::vector<std::thread> others;
    try {
      for (int i = 1; i < threads; ++i) others.emplace_back(work);
    } catch (const std::exception&) {
      // Those that did start, and this one, do it all.
    }
    work();
    for (auto& other : others) other.join();
  }
  // A task that nobody took is left where no thread had a buffer.
  return next.load() >= tasks;
}

// What one call is about. Pointers are null where there is no such tensor.
struct Problem {
  int64_t images, groups, channels, positions;  // channels: of one group
  const void *x, *weight, *bias, *scale, *shift, *identity;
  void *y, *mean, *spread;  // mean: (images, channels); spread: (., 2)
  Team team;  // or null
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
template <bool is_affine, class S>
struct Channel {
  using A = typename Accumulator<S>::type;
  const S* x;
  A scale, shift;

  INLINE Channel(const Problem& p, const S* rows, int64_t first, int64_t c)
      : x(rows + c * p.positions), scale(1), shift(0) {
    if (!is_affine) return;
    scale = static_cast<const A*>(p.scale)[first + c];
    shift = static_cast<const A*>(p.shift)[first + c];
  }
  INLINE A operator[](int64_t i) const {
    return is_affine ? scale * load(x[i]) + shift : load(x[i]);
  }
};

// What z_c is multiplied by: the same number everywhere, or one a position.
template <class A>
struct Constant {
  const A value;
  INLINE A operator[](int64_t) const { return value; }
};
template <class S>
struct Row {
  const S* values;
  INLINE typename Accumulator<S>::type operator[](int64_t i) const {
    return load(values[i]);
  }
};

// to[i] = sum over channels c of factor(c)[i] * z_c[i] from begin to end, four
// channels at a time, so that `to` is seldom read and written.
template <bool is_affine, class S, class A, class F>
INLINE void sum_channels(const Problem& p, const S* x, int64_t first,
                         int64_t begin, int64_t end, A* __restrict to,
                         const F& factor) {
  using Z = Channel<is_affine, S>;
  for (int64_t i = begin; i < end; ++i) to[i] = 0;
  int64_t c = 0;
  for (; c + 4 <= p.channels; c += 4) {
    const Z z0(p, x, first, c), z1(p, x, first, c + 1);
    const Z z2(p, x, first, c + 2), z3(p, x, first, c + 3);
    const auto f0 = factor(c), f1 = factor(c + 1);
    const auto f2 = factor(c + 2), f3 = factor(c + 3);
    for (int64_t i = begin; i < end; ++i)
      to[i] += (f0[i] * z0[i] + f1[i] * z1[i]) +
               (f2[i] * z2[i] + f3[i] * z3[i]);
  }
  for (; c < p.channels; ++c) {
    const Z z(p, x, first, c);
    const auto f = factor(c);
    for (int64_t i = begin; i < end; ++i) to[i] += f[i] * z[i];
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

template <bool is_affine, class S, class A>
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
    const Channel<is_affine, S> z(p, x, first, c);
    double total = 0;
    for (int64_t i = 0; i < P; i += kTile) {
      const S* row = x + c * P + i;
      const int64_t n = std::min(kTile, P - i);
      A part = 0;
#pragma omp simd reduction(+ : part)
      for (int64_t j = 0; j < n; ++j) part += load(row[j]);
      total += part;
    }
    mean[c] = A(z.scale * (total / P) + z.shift);
    if (is_affine && !std::isfinite(mean[c])) {
      // Infinity of both signs has no mean, which an infinite scale would.
      double sum = 0;
      for (int64_t i = 0; i < P; ++i) sum += z[i];
      mean[c] = A(sum / P);
    }
  }
  double total = 0;
  for (int64_t i = 0; i < P; i += kTile) {
    const int64_t end = std::min(i + kTile, P);
    sum_channels<is_affine>(p, x, first, i, end, d,
                            [&](int64_t c) { return Constant<A>{mean[c]}; });
    // Less the first, so that of a constant nothing is left.
    double part = 0;
#pragma omp simd reduction(+ : part)
    for (int64_t j = i; j < end; ++j) part += d[j] - d[0];
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
    const Channel<is_affine, S> z(p, x, first, c);
    S* out = y + c * P;
    if (identity) {
      const S* add = identity + c * P;
      for (int64_t i = 0; i < P; ++i) {
        const A v = z[i] * d[i] + load(add[i]);
        store(out[i], v < 0 ? 0 : v);
      }
    } else {
      for (int64_t i = 0; i < P; ++i) store(out[i], z[i] * d[i]);
    }
  }
  rows.finish(y, p.y);
}

template <bool is_affine, class S, class A>
FOR_EACH_CPU void backward_group(const Problem& p, int64_t task, A* buffer) {
  const int64_t P = p.positions, group = task % p.groups;
  const int64_t first = group * p.channels;
  Rows<S> rows(p, task, reinterpret_cast<S*>(buffer + 3 * P));
  const S* x = rows.in(p.x);
  const S* grad_y = rows.in(p.grad_y);
  const S* y = p.relu ? rows.in(p.y) : nullptr;
  S* grad_x = rows.out(p.grad_x);
  S* grad_identity = rows.out(p.grad_identity);
  const S* grad_z = y ? grad_identity : grad_y;
  const A* mean = static_cast<const A*>(p.mean) + task * p.channels;
  const A* spread = static_cast<const A*>(p.spread) + task * 2;
  const auto norm = normalization(p, spread[0], spread[1]);
  const A w = static_cast<const A*>(p.weight)[group];
  const A b = static_cast<const A*>(p.bias)[group];
  A *t = buffer, *gate = buffer + P, *delta = buffer + 2 * P;

  // delta: first the gradient of the gate, then of the sigmoid's argument.
  double sum_e = 0, sum_et = 0;
  for (int64_t i = 0; i < P; i += kTile) {
    const int64_t end = std::min(i + kTile, P);
    // With ReLU the gradient of the identity is also that of z times the gate.
    for (int64_t c = 0; y && c < p.channels; ++c)
      for (int64_t j = c * P + i; j < c * P + end; ++j)
        store(grad_identity[j], load(y[j]) <= 0 ? 0 : load(grad_y[j]));
    sum_channels<is_affine>(p, x, first, i, end, t,
                            [&](int64_t c) { return Constant<A>{mean[c]}; });
    sum_channels<is_affine>(
        p, x, first, i, end, delta,
        [&](int64_t c) { return Row<S>{grad_z + c * P}; });
    A part_e = 0, part_et = 0;
#pragma omp simd reduction(+ : part_e, part_et)
    for (int64_t j = i; j < end; ++j) {
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
  for (int64_t c = 0; c < p.channels; ++c) {
    const Channel<is_affine, S> z(p, x, first, c);
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
    const A share = A((z.scale * total + z.shift * sum_delta) / P);
    const S* grad = grad_z + c * P;
    S* out = grad_x + c * P;
    if (!p.grad_scale) {
      for (int64_t i = 0; i < P; ++i)
        store(out[i],
              z.scale * (load(grad[i]) * gate[i] + m * delta[i] + share));
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
        store(out[j], z.scale * g);
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

template <bool is_backward, bool is_affine, class S>
bool run_all(const Problem& p) {
  using A = typename Accumulator<S>::type;
  const int64_t vectors = is_backward ? 3 : 1;
  const int64_t maps = !p.channels_last ? 0 : is_backward ? 5 : 3;
  return parallel<A>(p.team, p.images * p.groups, p.threads,
                     (vectors + maps * p.channels) * p.positions,
                     [&](int64_t task, A* buffer) {
                       if (is_backward)
                         backward_group<is_affine, S, A>(p, task, buffer);
                       else
                         forward_group<is_affine, S, A>(p, task, buffer);
                     });
}

template <bool is_backward, class S>
bool run(const Problem& p) {
  return p.scale ? run_all<is_backward, true, S>(p)
                 : run_all<is_backward, false, S>(p);
}

template <bool is_backward>
int run_dtype(const Problem& p, int dtype) {
  switch (dtype) {
    case 0: return !run<is_backward, float>(p);
    case 1: return !run<is_backward, double>(p);
    case 2: return !run<is_backward, bfloat16>(p);
  }
  return 2;
}

}  // namespace

// The version that the Python side knows.
extern "C" int sge_version() { return 1; }
// Both return 0, 1 where memory ran out, or 2 for a dtype that is none.
extern "C" int sge_forward(const Problem* problem, int dtype) {
  return run_dtype<false>(*problem, dtype);
}
extern "C" int sge_backward(const Problem* problem, int dtype) {
  return run_dtype<true>(*problem, dtype);
}
