// Numbers: the types of maps and sums, and the sigmoid.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <type_traits>

// What is not inlined into a function for some CPU is not built for it.
#define ALWAYS_INLINE __attribute__((always_inline))
#define INLINE inline ALWAYS_INLINE

namespace sge {

struct bfloat16 {
  uint16_t bits;
};

// The type of sums over maps of a type.
template <class S>
struct SumOf {
  using type = S;
};
template <>
struct SumOf<bfloat16> {
  using type = float;
};
template <class S>
using Sum = typename SumOf<S>::type;

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
constexpr A largest_log() {
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
  return v < -largest_log<A>() ? 0 : gate;
}

}  // namespace sge
