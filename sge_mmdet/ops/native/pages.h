// Memory that a pass is about to fill.
#pragma once

#include <cstdint>

#ifdef __linux__
#include <sys/mman.h>
#include <unistd.h>
#endif

namespace sge {

// Asks for large pages, where a map is fresh from the system: to fault in its
// pages one by one takes longer than what is computed. Only pages within the
// map are asked for, so that it takes no more memory.
inline void prefer_large_pages(void* map, int64_t bytes) {
#if defined(__linux__) && defined(MADV_HUGEPAGE)
  constexpr int64_t kLarge = 2 << 20;
  if (!map || bytes < 2 * kLarge) return;
  const int64_t page = sysconf(_SC_PAGESIZE);
  const int64_t begin = (reinterpret_cast<int64_t>(map) + page - 1) / page;
  const int64_t end = (reinterpret_cast<int64_t>(map) + bytes) / page;
  // Where the system has none, the map stays as it is.
  (void)!madvise(reinterpret_cast<void*>(begin * page), (end - begin) * page,
                 MADV_HUGEPAGE);
#else
  (void)map, (void)bytes;
#endif
}

}  // namespace sge
