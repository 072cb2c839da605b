// Reads boxes in COCO's result format: a list of objects that have the keys
// image_id, category_id, bbox and score, each once, and nothing else.
//
// Everything unusual is declined, so that what JSON allows beyond, and what it
// does not, is left to a full parser and its messages.

#include <charconv>
#include <cstdint>
#include <cstring>
#include <system_error>
#include <type_traits>

#include "exports.h"

// To be raised with VERSION of loading.py whenever a function changes.
EXPORT int sge_version() { return 3; }

#if defined(__cpp_lib_to_chars)

namespace {

class Reader {
 public:
  Reader(const char *text, int64_t size) : at_(text), end_(text + size) {}

  // Whether the next character, after space, is this one; it is taken.
  bool take(char expected) {
    skip_space();
    if (at_ == end_ || *at_ != expected)
      return false;
    ++at_;
    return true;
  }

  bool is_at_end() {
    skip_space();
    return at_ == end_;
  }

  // Takes a key, with its quotes and its colon; returns which one, or -1.
  int take_key() {
    static const char *const keys[] = {"image_id", "category_id", "bbox",
                                       "score"};
    if (!take('"'))
      return -1;
    for (int key = 0; key < 4; ++key) {
      const auto length = static_cast<int64_t>(std::strlen(keys[key]));
      if (end_ - at_ > length && at_[length] == '"' &&
          std::memcmp(at_, keys[key], length) == 0) {
        at_ += length + 1;
        return take(':') ? key : -1;
      }
    }
    return -1;
  }

  // Takes an integer or a float, which is rounded correctly, as Python's
  // float() does. Beyond the range of numbers it takes none: others give
  // infinity there, or an error.
  template <class Number> bool take_number(Number &number) {
    const char *stop = number_end(std::is_floating_point<Number>::value);
    if (!stop)
      return false;
    const auto done = std::from_chars(at_, stop, number);
    at_ = stop;
    return done.ec == std::errc() && done.ptr == stop;
  }

 private:
  void skip_space() {
    while (at_ != end_ &&
           (*at_ == ' ' || *at_ == '\n' || *at_ == '\r' || *at_ == '\t'))
      ++at_;
  }

  const char *skip_digits(const char *from) const {
    while (from != end_ && *from >= '0' && *from <= '9')
      ++from;
    return from;
  }

  // Returns where the number that comes next ends by JSON's grammar, or null.
  const char *number_end(bool may_have_fraction) {
    skip_space();
    const char *from = at_;
    if (from != end_ && *from == '-')
      ++from;
    const char *stop = skip_digits(from);
    if (stop == from || (*from == '0' && stop - from > 1))
      return nullptr;
    if (!may_have_fraction)
      return stop;
    if (stop != end_ && *stop == '.') {
      from = stop + 1;
      stop = skip_digits(from);
      if (stop == from)
        return nullptr;
    }
    if (stop != end_ && (*stop == 'e' || *stop == 'E')) {
      from = stop + 1;
      if (from != end_ && (*from == '+' || *from == '-'))
        ++from;
      stop = skip_digits(from);
      if (stop == from)
        return nullptr;
    }
    return stop;
  }

  const char *at_, *end_;
};

bool read_value(Reader &reader, int key, int64_t *image, int64_t *category,
                double *box, double *score) {
  switch (key) {
  case 0:
    return reader.take_number(*image);
  case 1:
    return reader.take_number(*category);
  case 2:
    for (int side = 0; side < 4; ++side)
      if (!reader.take(side ? ',' : '[') || !reader.take_number(box[side]))
        return false;
    return reader.take(']');
  default:
    return reader.take_number(*score);
  }
}

} // namespace

// Fills a row of the arrays for each object; returns how many there are, or 0
// if there is anything else. The arrays must have room for as many of the
// shortest rows as fit into the text.
EXPORT int64_t sge_read_boxes(const char *text, int64_t size, int64_t *images,
                              int64_t *categories, double *boxes,
                              double *scores) {
  Reader reader(text, size);
  if (!reader.take('['))
    return 0;
  for (int64_t row = 0;; ++row) {
    if (!reader.take('{'))
      return 0;
    int found = 0;
    for (int member = 0; member < 4; ++member) {
      if (member && !reader.take(','))
        return 0;
      const int key = reader.take_key();
      if (key < 0 ||
          !read_value(reader, key, images + row, categories + row,
                      boxes + 4 * row, scores + row))
        return 0;
      found |= 1 << key;
    }
    if (found != 15 || !reader.take('}'))
      return 0;
    if (reader.take(']'))
      return reader.is_at_end() ? row + 1 : 0;
    if (!reader.take(','))
      return 0;
  }
}

#else

// The standard library of this compiler cannot read floats yet.
EXPORT int64_t sge_read_boxes(const char *, int64_t, int64_t *, int64_t *,
                              double *, double *) {
  return 0;
}

#endif
