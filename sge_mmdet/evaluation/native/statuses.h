// What became of a detection, as matching.py names it.
#pragma once

#include <cstdint>

constexpr uint8_t kMissed = 0, kHit = 1, kIgnored = 2;
