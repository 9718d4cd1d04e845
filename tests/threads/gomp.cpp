// The part of GCC's OpenMP runtime that our code uses, in std::thread, for ThreadSanitizer.
//
// libgomp synchronises with futexes that ThreadSanitizer does not see, so that it takes every
// result of a parallel loop for a race. Linked into programs of a build with -fsanitize=thread, the
// functions here stand in front of libgomp's: the same teams and schedules, joined in a way that
// the sanitizer understands. What a program does between them is then watched without exceptions.
//
// Supported: parallel, for with static and dynamic schedules, critical, atomic, single, barrier,
// omp_get/set. Shares of a dynamic loop are handed out by a relaxed counter, which orders nothing
// between threads, as the standard has it. Nested regions run on one thread, libgomp's default.
// The entry points are those that GCC's omp-builtins.def calls.
#include <algorithm>
#include <atomic>
#include <barrier>
#include <cstddef>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

namespace {

/// A dynamic loop of one region.
template <class Int>
struct Share {
  std::atomic<Int> next;
  Int end, increment, chunk;
};

struct Team {
  explicit Team(unsigned n) : size(n), barrier(static_cast<std::ptrdiff_t>(n)) {}
  unsigned size;
  std::barrier<> barrier;
  std::mutex mutex;
  std::vector<std::unique_ptr<Share<long>>> loops;  // in program order
  std::vector<std::unique_ptr<Share<unsigned long long>>> ull_loops;
  unsigned singles = 0;
};

/// What a thread knows of the region it is in.
struct Place {
  Team* team = nullptr;
  unsigned id = 0;
  std::size_t loops = 0, ull_loops = 0;  ///< met so far
  Share<long>* loop = nullptr;           ///< the current ones
  Share<unsigned long long>* ull_loop = nullptr;
  unsigned singles = 0;
};
thread_local Place place;

std::mutex critical_section, atomic_section;

int threads_from_environment() {
  const char* text = std::getenv("OMP_NUM_THREADS");
  const int n = text != nullptr ? std::atoi(text) : 0;
  return n > 0 ? n : static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
}

std::atomic<int>& max_threads() {
  static std::atomic<int> n{threads_from_environment()};
  return n;
}

/// A team of one for loops outside any region.
Team& team() {
  thread_local Team alone(1);
  return place.team != nullptr ? *place.team : alone;
}

template <class Int>
Share<Int>& share(std::vector<std::unique_ptr<Share<Int>>>& loops, std::size_t index, Int start,
                  Int end, Int increment, Int chunk) {
  const std::lock_guard<std::mutex> lock(team().mutex);
  while (loops.size() <= index) {
    loops.push_back(std::make_unique<Share<Int>>());
    loops.back()->next.store(start, std::memory_order_relaxed);
    loops.back()->end = end;
    loops.back()->increment = increment;
    loops.back()->chunk = chunk;
  }
  return *loops[index];
}

/// The next stretch [first, last) of a loop that counts up (or, for `long`, down).
template <class Int>
bool take(Share<Int>& s, Int* first, Int* last) {
  const Int step = s.increment * s.chunk;
  const Int at = s.next.fetch_add(step, std::memory_order_relaxed);
  const bool down = s.increment < Int(0);
  if (down ? at <= s.end : at >= s.end) return false;
  *first = at;
  *last = (down ? s.end - at >= step : s.end - at <= step) ? s.end : at + step;
  return true;
}

}  // namespace

extern "C" {

int omp_get_max_threads() { return max_threads().load(); }
void omp_set_num_threads(int n) { max_threads().store(n > 0 ? n : 1); }
int omp_get_num_threads() { return place.team != nullptr ? static_cast<int>(place.team->size) : 1; }
int omp_get_thread_num() { return static_cast<int>(place.id); }
int omp_in_parallel() { return place.team != nullptr && place.team->size > 1 ? 1 : 0; }

void GOMP_parallel(void (*body)(void*), void* data, unsigned threads, unsigned /*flags*/) {
  const bool nested = place.team != nullptr;
  const unsigned wanted = threads != 0 ? threads : static_cast<unsigned>(omp_get_max_threads());
  Team team(nested ? 1 : wanted);
  const Place before = place;
  std::vector<std::thread> others;
  for (unsigned id = 1; id < team.size; ++id) {
    others.emplace_back([&team, id, body, data] {
      place = Place{};
      place.team = &team;
      place.id = id;
      body(data);
    });
  }
  place = Place{};
  place.team = &team;
  body(data);
  place = before;
  for (std::thread& t : others) t.join();
}

bool GOMP_loop_nonmonotonic_dynamic_next(long* first, long* last) {
  return take(*place.loop, first, last);
}
bool GOMP_loop_nonmonotonic_dynamic_start(long start, long end, long increment, long chunk,
                                          long* first, long* last) {
  place.loop = &share(team().loops, place.loops++, start, end, increment, chunk);
  return GOMP_loop_nonmonotonic_dynamic_next(first, last);
}
bool GOMP_loop_ull_nonmonotonic_dynamic_next(unsigned long long* first, unsigned long long* last) {
  return take(*place.ull_loop, first, last);
}
bool GOMP_loop_ull_nonmonotonic_dynamic_start(bool up, unsigned long long start,
                                              unsigned long long end, unsigned long long increment,
                                              unsigned long long chunk, unsigned long long* first,
                                              unsigned long long* last) {
  if (!up) std::abort();  // no loop of ours counts down in unsigned numbers
  place.ull_loop = &share(team().ull_loops, place.ull_loops++, start, end, increment, chunk);
  return GOMP_loop_ull_nonmonotonic_dynamic_next(first, last);
}
void GOMP_loop_end_nowait() {}
void GOMP_barrier() { team().barrier.arrive_and_wait(); }
void GOMP_loop_end() { GOMP_barrier(); }

bool GOMP_single_start() {
  const std::lock_guard<std::mutex> lock(team().mutex);
  const bool first = team().singles == place.singles;
  if (first) ++team().singles;
  ++place.singles;
  return first;
}
void GOMP_critical_start() { critical_section.lock(); }
void GOMP_critical_end() { critical_section.unlock(); }
void GOMP_critical_name_start(void** /*name*/) { critical_section.lock(); }
void GOMP_critical_name_end(void** /*name*/) { critical_section.unlock(); }
void GOMP_atomic_start() { atomic_section.lock(); }
void GOMP_atomic_end() { atomic_section.unlock(); }

}  // extern "C"
