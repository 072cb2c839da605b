// Overlap of two boxes.
#pragma once

#include <algorithm>

// The intersection over the union, and over the detection if the object is a
// crowd; boxes are x, y, width and height.
inline double box_overlap(const double *detection, const double *object,
                          bool is_crowd) {
  const double width =
      std::min(detection[0] + detection[2], object[0] + object[2]) -
      std::max(detection[0], object[0]);
  if (!(width > 0))
    return 0;
  const double height =
      std::min(detection[1] + detection[3], object[1] + object[3]) -
      std::max(detection[1], object[1]);
  if (!(height > 0))
    return 0;
  const double common = width * height;
  const double own = detection[2] * detection[3];
  const double whole = is_crowd ? own : own + object[2] * object[3] - common;
  return common > 0 ? common / whole : 0;
}
