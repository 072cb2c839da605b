// SGE on the CPU: each group of channels of an image is read from memory
// once, and what is computed of it stays in the cache.
//
// The functions at the end have a C interface and know nothing of PyTorch, so
// that one build serves all of its versions.
#include <algorithm>
#include <cstdint>
#include <memory>
#include <new>

#include "backward.h"
#include "forward.h"
#include "pages.h"

// One binary runs on any x86, and uses wide vectors where it finds them. Not
// by target_clones, which takes "haswell" for Intel's processor of that name
// alone, and no list of features.
#if defined(__x86_64__) && defined(__GNUC__)
#define WIDE __attribute__((target("avx2,fma")))
#define HAS_WIDE \
  (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
#else
#define WIDE
#define HAS_WIDE false
#endif

namespace sge {
namespace {

// The gradients of parameters from each image.
struct Images {
  const Problem& p;
  const int64_t channels;  // of which the norm's gradients are wanted
  std::unique_ptr<double[]> memory;

  explicit Images(const Problem& problem)
      : p(problem),
        channels(problem.grad_scale ? problem.channels : 0),
        memory(new (std::nothrow)
                   double[p.images * p.groups * (2 + 2 * channels)]) {}
  Parts of(int64_t task) const {
    double* at = memory.get() + task * (2 + 2 * channels);
    if (!channels) return {at, at + 1, nullptr, nullptr};
    return {at, at + 1, at + 2, at + 2 + channels};
  }
  // Always in the same order, whichever thread made the parts.
  template <class A>
  void add_up() const {
    for (int64_t group = 0; group < p.groups; ++group) {
      sum<A>(of(group).weight, p.grad_weight, group, 1);
      sum<A>(of(group).bias, p.grad_bias, group, 1);
      sum<A>(of(group).scale, p.grad_scale, group, channels);
      sum<A>(of(group).shift, p.grad_shift, group, channels);
    }
  }

 private:
  template <class A>
  void sum(const double* parts, void* to, int64_t group,
           int64_t length) const {
    for (int64_t c = 0; c < length; ++c) {
      double total = 0;
      for (int64_t n = 0; n < p.images; ++n)
        total += parts[n * p.groups * (2 + 2 * channels) + c];
      static_cast<A*>(to)[group * length + c] = A(total);
    }
  }
};

template <bool is_affine, class S>
struct Forward {
  using Map = S;
  using A = Sum<S>;
  const Problem& p;

  INLINE void run(int64_t task, A* buffer) const {
    forward_group<is_affine, S, A>(p, task, buffer);
  }
};

template <bool is_affine, class S>
struct Backward {
  using Map = S;
  using A = Sum<S>;
  const Problem& p;
  const Images& images;

  INLINE void run(int64_t task, A* buffer) const {
    backward_group<is_affine, S, A>(p, task, buffer, images.of(task));
  }
};

template <class Pass>
void run_anywhere(const Pass& pass, int64_t task, typename Pass::A* buffer) {
  pass.run(task, buffer);
}
template <class Pass>
WIDE void run_wide(const Pass& pass, int64_t task, typename Pass::A* buffer) {
  pass.run(task, buffer);
}

// Bytes of a map that a thread takes at once: what the processor fetches ahead
// at the end of a small group is then what comes next.
constexpr int64_t kStretch = 128 << 10;

// Returns how many tasks those are, so that enough are left to be shared out.
int64_t tasks_at_once(const Problem& p, int64_t bytes) {
  const int64_t share =
      p.images * p.groups / (8 * std::max<int64_t>(p.threads, 1));
  return std::max<int64_t>(
      std::min(kStretch / std::max<int64_t>(bytes, 1), share), 1);
}

// `vectors`: of numbers, a position; `maps`: of a group, in channels-last.
template <class Pass>
bool run_all(const Problem& p, const Pass& pass, int64_t vectors,
             int64_t maps) {
  using A = typename Pass::A;
  const bool is_wide = HAS_WIDE;
  const int64_t length =
      (vectors + (p.channels_last ? maps * p.channels : 0)) * p.positions +
      2 * p.channels;
  const int64_t bytes =
      p.channels * p.positions * int64_t(sizeof(typename Pass::Map));
  return parallel<A>(p.team, p.images * p.groups, p.threads, length,
                     tasks_at_once(p, bytes),
                     [&](int64_t task, A* buffer) {
                       if (is_wide)
                         run_wide(pass, task, buffer);
                       else
                         run_anywhere(pass, task, buffer);
                     });
}

template <class S>
bool forward(const Problem& p) {
  const int64_t bytes =
      p.images * p.groups * p.channels * p.positions * int64_t(sizeof(S));
  prefer_large_pages(p.y, bytes);
  return p.norm_scale ? run_all(p, Forward<true, S>{p}, 1, 3)
                      : run_all(p, Forward<false, S>{p}, 1, 3);
}

template <class S>
bool backward(const Problem& p) {
  const int64_t bytes =
      p.images * p.groups * p.channels * p.positions * int64_t(sizeof(S));
  prefer_large_pages(p.grad_x, bytes);
  prefer_large_pages(p.grad_identity, bytes);
  const Images images(p);
  if (!images.memory) return false;
  const bool is_done =
      p.norm_scale ? run_all(p, Backward<true, S>{p, images}, 3, 5)
                   : run_all(p, Backward<false, S>{p, images}, 3, 5);
  if (is_done) images.add_up<Sum<S>>();
  return is_done;
}

}  // namespace
}  // namespace sge

// The version that the Python side knows.
extern "C" int sge_version() { return 3; }

// Whether this processor runs the kernels with wide vectors.
extern "C" int sge_is_wide() { return HAS_WIDE; }

// Both return 0, 1 where memory ran out, or 2 for a dtype that is none.
extern "C" int sge_forward(const sge::Problem* problem, int dtype) {
  switch (dtype) {
    case 0: return !sge::forward<float>(*problem);
    case 1: return !sge::forward<double>(*problem);
    case 2: return !sge::forward<sge::bfloat16>(*problem);
  }
  return 2;
}

extern "C" int sge_backward(const sge::Problem* problem, int dtype) {
  switch (dtype) {
    case 0: return !sge::backward<float>(*problem);
    case 1: return !sge::backward<double>(*problem);
    case 2: return !sge::backward<sge::bfloat16>(*problem);
  }
  return 2;
}
