// COCO's matching of the detections of one class to its objects, and the
// precision and recall that follow from it.
//
// Detections are followed by descending score. Images do not influence one
// another, so that this is COCO's order in each of them, too.

#include <algorithm>
#include <cstdint>
#include <vector>

#include "exports.h"
#include "overlaps.h"
#include "statuses.h"

// Ground truth and detections, as native/matching.py describes them. Classes
// and images are numbered; images in COCO's order.
struct Problem {
  int64_t images, bins, thresholds, most;
  const double *limits;
  const int64_t *detection_limits, *detections;
  const int64_t *detection_images;
  const double *detection_boxes, *scores;
  const int64_t *object_limits, *objects;
  const int64_t *object_images;
  const double *object_boxes;
  const uint8_t *crowd, *ignored;
  // Pairs that overlap, with their overlaps; null where boxes are evaluated.
  const int64_t *pair_limits, *pair_objects;
  const double *pair_overlaps;
};

namespace {

struct Candidate {
  int64_t object; // among those of the class
  double overlap;
};

// A detection that counts: its position, and its place among the detections of
// its class and image.
struct Kept {
  int64_t position;
  int32_t rank;
};

class ClassMatcher {
 public:
  ClassMatcher(const Problem &problem, int64_t category)
      : problem_(problem), first_(problem.object_limits[category]),
        objects_(problem.object_limits[category + 1] - first_),
        cells_(problem.bins * problem.thresholds),
        taken_(static_cast<size_t>(objects_ * cells_)),
        lowest_(*std::min_element(problem.limits,
                                  problem.limits + problem.thresholds)) {
    sort_detections(category);
  }

  const std::vector<Kept> &kept() const { return kept_; }

  // Lets a detection choose. Detections have to choose in the order of kept().
  // status, of shape (bins, thresholds), has to be 0; partner, of the same
  // shape, may be null. Returns whether there was anything to choose.
  bool choose(const Kept &detection, uint8_t *status, int32_t *partner) {
    find_candidates(detection.position);
    if (candidates_.empty())
      return false;
    for (int64_t a = 0; a < problem_.bins; ++a)
      for (int64_t t = 0; t < problem_.thresholds; ++t) {
        const int64_t cell = a * problem_.thresholds + t;
        const int64_t best = best_of(a, cell, problem_.limits[t]);
        if (best < 0)
          continue;
        taken_[best * cells_ + cell] = 1;
        status[cell] = is_ignored(best, a) ? kIgnored : kHit;
        if (partner)
          partner[cell] = static_cast<int32_t>(problem_.objects[first_ + best]);
      }
    return true;
  }

 private:
  // Sorts by score, then by image, then by position, and keeps the first ones
  // of each image.
  void sort_detections(int64_t category) {
    const Problem &p = problem_;
    // Beside each other, so that the sort finds them in the cache.
    struct Ranked {
      double score;
      int64_t image, position;
      bool operator<(const Ranked &other) const {
        if (score != other.score)
          return score > other.score;
        if (image != other.image)
          return image < other.image;
        return position < other.position;
      }
    };
    std::vector<Ranked> order;
    const int64_t end = p.detection_limits[category + 1];
    for (int64_t i = p.detection_limits[category]; i < end; ++i) {
      const int64_t position = p.detections[i];
      order.push_back(
          {p.scores[position], p.detection_images[position], position});
    }
    std::sort(order.begin(), order.end());
    std::vector<int32_t> counts(static_cast<size_t>(p.images));
    kept_.reserve(order.size());
    for (const Ranked &next : order) {
      int32_t &count = counts[next.image];
      if (count < p.most)
        kept_.push_back({next.position, count++});
    }
  }

  void find_candidates(int64_t position) {
    const Problem &p = problem_;
    candidates_.clear();
    if (p.pair_limits) {
      for (int64_t i = p.pair_limits[position];
           i < p.pair_limits[position + 1]; ++i)
        candidates_.push_back({p.pair_objects[i] - first_, p.pair_overlaps[i]});
      return;
    }
    const int64_t *images = p.object_images + first_;
    const int64_t image = p.detection_images[position];
    const double *box = p.detection_boxes + 4 * position;
    for (int64_t g = std::lower_bound(images, images + objects_, image) -
                     images;
         g < objects_ && images[g] == image; ++g) {
      const double overlap = box_overlap(
          box, p.object_boxes + 4 * (first_ + g), p.crowd[first_ + g]);
      if (overlap >= lowest_)
        candidates_.push_back({g, overlap});
    }
  }

  // Returns the object that is free and overlaps most; an ignored one only if
  // there is no other, and of equal ones the last. -1 if there is none.
  int64_t best_of(int64_t bin, int64_t cell, double limit) const {
    int64_t best = -1;
    double most = 0;
    bool best_is_ignored = true;
    for (const Candidate &candidate : candidates_) {
      const int64_t g = candidate.object;
      if (candidate.overlap < limit ||
          (taken_[g * cells_ + cell] && !problem_.crowd[first_ + g]))
        continue;
      const bool ignored = is_ignored(g, bin);
      if (best < 0 || ignored < best_is_ignored ||
          (ignored == best_is_ignored && candidate.overlap >= most)) {
        best = g;
        most = candidate.overlap;
        best_is_ignored = ignored;
      }
    }
    return best;
  }

  bool is_ignored(int64_t object, int64_t bin) const {
    return problem_.ignored[(first_ + object) * problem_.bins + bin];
  }

  const Problem &problem_;
  const int64_t first_, objects_, cells_;
  std::vector<uint8_t> taken_;
  const double lowest_;
  std::vector<Kept> kept_;
  std::vector<Candidate> candidates_;
};

// The curve of a bin and threshold: how many false detections come before each
// hit.
struct Hits {
  std::vector<int32_t> false_before;
  int32_t false_until_now = 0;
};

// Writes the precision at each recall, and returns the largest recall.
//
// A recall takes the highest precision of the hits that reach it. Hits are
// looked at from the last one, so that the highest one is known.
double write_curve(const Hits &curve, int64_t objects, const double *recalls,
                   int64_t points, double *precision) {
  const auto hits = static_cast<int64_t>(curve.false_before.size());
  const double all = static_cast<double>(objects);
  double highest = 0;
  int64_t end = std::upper_bound(recalls, recalls + points, hits / all) -
                recalls;
  std::fill(precision + (hits ? end : 0), precision + points, 0.0);
  for (int64_t hit = hits; hit > 0; --hit) {
    // COCO adds numpy.spacing(1) to avoid 0 / 0.
    highest = std::max(
        highest, hit / (hit + curve.false_before[hit - 1] + 0x1p-52));
    // The first hit gives the precision of a recall of 0, too.
    while (end > 0 && (hit == 1 || recalls[end - 1] > (hit - 1) / all))
      precision[--end] = highest;
  }
  return hits / all;
}

} // namespace

// Matches the detections of a class. Writes what Matches of matching.py names,
// from the first place of the class on.
EXPORT void sge_match(const Problem *problem, int64_t category,
                      int64_t *index, uint8_t *status, int32_t *partner) {
  ClassMatcher matcher(*problem, category);
  const int64_t cells = problem->bins * problem->thresholds;
  int64_t place = problem->detection_limits[category];
  for (const Kept &detection : matcher.kept()) {
    matcher.choose(detection, status + place * cells,
                   partner ? partner + place * cells : nullptr);
    index[place++] = detection.position;
  }
}

// Computes COCO's curves of a class.
//
// inside: whether the size of each detection is in a bin, of shape
//     (detections, bins)
// objects: numbers of objects that count, of shape (bins,); not 0
// max_dets: numbers of detections per image, ascending, (numbers,)
// recalls: where precision is wanted, ascending, (points,)
// precision: what is computed, of shape (numbers, bins, thresholds, points)
// recall: the largest recalls, of shape (numbers, bins, thresholds)
EXPORT void sge_curves(const Problem *problem, int64_t category,
                       const uint8_t *inside, const int64_t *objects,
                       const int64_t *max_dets, int64_t numbers,
                       const double *recalls, int64_t points,
                       double *precision, double *recall) {
  ClassMatcher matcher(*problem, category);
  const int64_t bins = problem->bins, thresholds = problem->thresholds;
  const int64_t cells = bins * thresholds;
  std::vector<Hits> curves(static_cast<size_t>(numbers * cells));
  // False detections that had nothing to choose, alike at all thresholds.
  std::vector<int32_t> far(static_cast<size_t>(numbers * bins));
  std::vector<uint8_t> status(static_cast<size_t>(cells));
  for (const Kept &detection : matcher.kept()) {
    const uint8_t *own = inside + detection.position * bins;
    const bool had_choice = matcher.choose(detection, status.data(), nullptr);
    for (int64_t m = 0; m < numbers; ++m) {
      if (detection.rank >= max_dets[m])
        continue;
      for (int64_t a = 0; a < bins; ++a) {
        int32_t &apart = far[m * bins + a];
        if (!had_choice) {
          apart += own[a];
          continue;
        }
        for (int64_t t = 0; t < thresholds; ++t) {
          Hits &curve = curves[m * cells + a * thresholds + t];
          const uint8_t found = status[a * thresholds + t];
          if (found == kHit)
            curve.false_before.push_back(curve.false_until_now + apart);
          else
            curve.false_until_now += found == kMissed && own[a];
        }
      }
    }
    if (had_choice)
      std::fill(status.begin(), status.end(), kMissed);
  }
  for (int64_t i = 0; i < numbers * cells; ++i)
    recall[i] = write_curve(curves[i], objects[i % cells / thresholds],
                            recalls, points, precision + i * points);
}
