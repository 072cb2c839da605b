// Average precision of one class and size, with weighted images.
//
// Detections are followed once by descending score, which sums the weights of
// hits and of false detections, and then back from the last hit, which finds
// the precision at each of COCO's recalls. Precision is needed only at hits
// that no other hit follows at once: the next hit has a higher one for all
// weights.

#include <algorithm>
#include <cstdint>
#include <vector>

#include "exports.h"
#include "statuses.h"

namespace {

// Resamples that are computed side by side.
constexpr int kLanes = 16;
constexpr int kRecalls = 101;

// Images of detections up to a hit that no other hit follows at once: first
// those of false detections, then those of hits.
struct Run {
  int64_t false_end, hit_end;
};

struct Curve {
  std::vector<int32_t> images;
  std::vector<Run> runs;
};

// Hits of objects of another size count, and misses of another size do not.
Curve find_runs(const int32_t *images, const uint8_t *inside,
                const uint8_t *status, int64_t stride, int64_t detections) {
  Curve curve;
  bool in_hits = false;
  int64_t false_end = 0;
  for (int64_t i = 0; i < detections; ++i) {
    const uint8_t found = status[i * stride];
    const bool is_hit = found == kHit;
    if (!is_hit && !(inside[i] && found == kMissed))
      continue;
    const auto here = static_cast<int64_t>(curve.images.size());
    if (is_hit && !in_hits)
      false_end = here;
    if (!is_hit && in_hits)
      curve.runs.push_back({false_end, here});
    in_hits = is_hit;
    curve.images.push_back(images[i]);
  }
  if (in_hits)
    curve.runs.push_back(
        {false_end, static_cast<int64_t>(curve.images.size())});
  return curve;
}

// Adds the weights of some images to a sum of each resample.
void add(const int32_t *begin, const int32_t *end, const float *weights,
         float *sums) {
  float local[kLanes];
  for (int lane = 0; lane < kLanes; ++lane)
    local[lane] = sums[lane];
  for (; begin != end; ++begin) {
    const float *own = weights + int64_t{kLanes} * *begin;
    for (int lane = 0; lane < kLanes; ++lane)
      local[lane] += own[lane];
  }
  for (int lane = 0; lane < kLanes; ++lane)
    sums[lane] = local[lane];
}

// Sums after each run: those of hits, then those of all that count.
void sum_runs(const Curve &curve, const float *weights, float *sums) {
  float hits[kLanes] = {}, misses[kLanes] = {};
  const int32_t *at = curve.images.data(), *begin = at;
  for (const Run &run : curve.runs) {
    add(begin, at + run.false_end, weights, misses);
    add(at + run.false_end, at + run.hit_end, weights, hits);
    begin = at + run.hit_end;
    for (int lane = 0; lane < kLanes; ++lane) {
      sums[lane] = hits[lane];
      sums[kLanes + lane] = hits[lane] + misses[lane];
    }
    sums += 2 * kLanes;
  }
}

// Returns how many recalls a number of hits reaches, less one.
int recalls_reached(double hits, double percent_of_hit, const double *lowest) {
  const double percent = hits * percent_of_hit;
  const int whole = std::min(static_cast<int>(percent), kRecalls - 1);
  return whole - (percent < lowest[whole]);
}

// Means of the precision over the recalls. Each recall takes the highest
// precision of the runs that reach it.
void average(const float *sums, int64_t runs, const double *percent_of_hit,
             const double *lowest, double *ap) {
  double area[kLanes] = {}, highest[kLanes] = {};
  int above[kLanes] = {};
  for (const float *run = sums + 2 * kLanes * runs; run != sums;) {
    run -= 2 * kLanes;
    for (int lane = 0; lane < kLanes; ++lane) {
      const double hits = run[lane];
      const int reached = recalls_reached(hits, percent_of_hit[lane], lowest);
      area[lane] += highest[lane] * (above[lane] - reached);
      above[lane] = reached;
      // COCO adds numpy.spacing(1) to avoid 0 / 0.
      const double precision = hits / (run[kLanes + lane] + 0x1p-52);
      highest[lane] = std::max(highest[lane], precision);
    }
  }
  for (int lane = 0; lane < kLanes; ++lane)
    ap[lane] = (area[lane] + highest[lane] * (above[lane] + 1)) / kRecalls;
}

} // namespace

EXPORT int sge_lanes() { return kLanes; }

// Computes average precision at each threshold.
//
// images, inside: image of each detection, by descending score, and whether
//     its size is the one that counts; of shape (detections,)
// status: what became of it, of shape (detections, thresholds)
// weights: weight of each image in each resample, of shape (blocks, images,
//     lanes)
// percent_of_hit: the share of an object in all of them in percent, of shape
//     (blocks, lanes)
// lowest: the lowest share in percent that reaches each recall, (101,)
// ap: what is computed, of shape (thresholds, blocks, lanes)
EXPORT void sge_weighted_ap(const int32_t *images, const uint8_t *inside,
                            const uint8_t *status, int64_t detections,
                            int64_t thresholds, const float *weights,
                            int64_t rows, int64_t blocks,
                            const double *percent_of_hit, const double *lowest,
                            double *ap) {
  std::vector<Curve> curves;
  size_t most = 0;
  for (int64_t t = 0; t < thresholds; ++t) {
    curves.push_back(
        find_runs(images, inside, status + t, thresholds, detections));
    most = std::max(most, curves.back().runs.size());
  }
  std::vector<float> sums(2 * kLanes * most);
  // The weights of a block stay in the cache for all thresholds.
  for (int64_t block = 0; block < blocks; ++block)
    for (int64_t t = 0; t < thresholds; ++t) {
      const Curve &curve = curves[t];
      sum_runs(curve, weights + block * rows * kLanes, sums.data());
      average(sums.data(), static_cast<int64_t>(curve.runs.size()),
              percent_of_hit + block * kLanes, lowest,
              ap + (t * blocks + block) * kLanes);
    }
}
