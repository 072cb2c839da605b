// Detections and objects of the same image that overlap.

#include <cstdint>

#include "exports.h"
#include "overlaps.h"

// Finds the objects that some detections overlap.
//
// chosen: positions of the detections to look at, (number,)
// images, boxes: image and box of each detection
// object_limits: where the objects of each image begin, (images + 1,)
// object_boxes, crowd: box of each object, by image, and whether it is a crowd
//
// lowest: the lowest overlap of a pair
// counts: how many pairs each detection is in, of shape (number,)
// objects, overlaps: place of the object and overlap of each pair; both may be
//     null
EXPORT void sge_overlapping_pairs(const int64_t *chosen, int64_t number,
                                  const int64_t *images, const double *boxes,
                                  const int64_t *object_limits,
                                  const double *object_boxes,
                                  const uint8_t *crowd, double lowest,
                                  int64_t *counts, int64_t *objects,
                                  double *overlaps) {
  for (int64_t i = 0; i < number; ++i) {
    const double *box = boxes + 4 * chosen[i];
    const int64_t image = images[chosen[i]];
    counts[i] = 0;
    for (int64_t g = object_limits[image]; g < object_limits[image + 1]; ++g) {
      const double overlap = box_overlap(box, object_boxes + 4 * g, crowd[g]);
      if (!(overlap >= lowest))
        continue;
      ++counts[i];
      if (objects) {
        *objects++ = g;
        *overlaps++ = overlap;
      }
    }
  }
}
