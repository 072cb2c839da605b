// Tasks in threads.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <exception>
#include <memory>
#include <new>
#include <thread>
#include <vector>

namespace sge {

// GOMP_parallel of the OpenMP that PyTorch has loaded: runs a function in each
// thread of its team. Threads of our own would share the cores with that team,
// whose threads go on spinning for milliseconds after PyTorch's last operator.
using Team = void (*)(void (*)(void*), void*, unsigned, unsigned);

template <class Work>
void call_work(void* work) {
  (*static_cast<Work*>(work))();
}

// Runs all tasks, each thread with a buffer of its own; false where memory ran
// out. A thread takes `at_once` of them, whose maps follow one another.
template <class A, class F>
bool parallel(Team team, int64_t tasks, int threads, int64_t length,
              int64_t at_once, const F& run) {
  std::atomic<int64_t> next{0};
  auto work = [&] {
    std::unique_ptr<A[]> buffer(new (std::nothrow) A[length]);
    if (!buffer) return;
    for (int64_t i; (i = next.fetch_add(at_once)) < tasks;)
      for (int64_t end = std::min(i + at_once, tasks); i < end; ++i)
        run(i, buffer.get());
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

}  // namespace sge
