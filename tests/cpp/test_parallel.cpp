#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <mutex>
#include <set>
#include <stdexcept>

#include "check.hpp"
#include "matrices.hpp"
#include "pyhybrid/parallel.hpp"

using namespace pyhybrid;

static const int kThreads[] = {1, 2, 3, 7, 50};

/// How often each block was done.
static std::vector<int> run(std::int64_t blocks, int threads, Monitor* monitor = nullptr) {
  std::vector<int> done(blocks);
  for_each_block(blocks, static_cast<double>(blocks), threads, monitor, [&]() -> Worker {
    return [&](std::int64_t block, Ticker& ticker) {
      ++done[block];
      ticker.advance(1.0);
    };
  });
  return done;
}

TEST(each_block_is_done_once) {
  for (const int threads : kThreads)
    for (const int blocks : {0, 1, 2, 100, 5000})
      CHECK(run(blocks, threads) == std::vector<int>(blocks, 1));
}

TEST(one_thread_goes_in_ascending_order) {
  std::vector<std::int64_t> order;
  for_each_block(100, 100, 1, nullptr, [&]() -> Worker {
    return [&](std::int64_t block, Ticker&) { order.push_back(block); };
  });
  CHECK(order.size() == 100);
  for (std::int64_t i = 0; i < static_cast<std::int64_t>(order.size()); ++i) CHECK(order[i] == i);
}

TEST(each_thread_makes_one_worker_of_its_own) {
  for (const int threads : kThreads) {
    std::mutex mutex;
    std::set<std::thread::id> makers;
    int made = 0;
    bool own = true;
    for_each_block(200, 200, threads, nullptr, [&]() -> Worker {
      const std::lock_guard lock(mutex);
      ++made;
      makers.insert(std::this_thread::get_id());
      return [&own, maker = std::this_thread::get_id()](std::int64_t, Ticker&) {
        if (std::this_thread::get_id() != maker) own = false;
      };
    });
    CHECK(own);
    CHECK(made <= threads && made == static_cast<int>(makers.size()));
  }
}

TEST(the_exception_of_the_lowest_block_leaves) {
  for (const int threads : kThreads)
    for (int round = 0; round < 20; ++round)
      CHECK_THROWS(std::runtime_error, "block 17",
                   for_each_block(60, 60, threads, nullptr, []() -> Worker {
                     return [](std::int64_t block, Ticker& ticker) {
                       ticker.advance(1.0);
                       if (block == 17) {  // late, so that higher blocks fail before it
                         std::this_thread::sleep_for(std::chrono::milliseconds(1));
                         throw std::runtime_error("block 17");
                       }
                       if (block > 17) throw std::runtime_error("a later block");
                     };
                   }));
}

TEST(an_exception_while_making_a_worker_leaves) {
  for (const int threads : kThreads)
    CHECK_THROWS(std::runtime_error, "no memory",
                 for_each_block(60, 60, threads, nullptr,
                                []() -> Worker { throw std::runtime_error("no memory"); }));
}

TEST(a_monitor_is_told_of_progress_on_the_calling_thread) {
  for (const int threads : {1, 3}) {
    Watch watch;
    for_each_block(40, 40, threads, &watch, []() -> Worker {
      return [](std::int64_t, Ticker& ticker) {
        std::this_thread::sleep_for(std::chrono::milliseconds(2));
        ticker.advance(1.0);
      };
    });
    CHECK(watch.polls > 0);
    CHECK(watch.sound);
    CHECK(watch.last > 0.5);
  }
}

TEST(a_monitor_is_asked_while_the_calling_thread_has_nothing_left_to_do) {
  using std::chrono::milliseconds;
  const auto caller = std::this_thread::get_id();
  const auto start = std::chrono::steady_clock::now();
  Watch watch(3);
  CHECK_THROWS(Stopped, "stopped", for_each_block(2, 2, 2, &watch, [&]() -> Worker {
                 return [&](std::int64_t, Ticker& ticker) {
                   std::this_thread::sleep_for(milliseconds(50));
                   if (std::this_thread::get_id() == caller) return;
                   for (int i = 0; i < 300; ++i) {  // 3 seconds, unless stopped
                     std::this_thread::sleep_for(milliseconds(10));
                     ticker.advance(0.0);
                   }
                 };
               }));
  CHECK(watch.sound);
  CHECK(std::chrono::steady_clock::now() - start < milliseconds(2500));
}

TEST(a_monitor_stops_the_call) {
  for (const int threads : kThreads) {
    Watch watch(0);
    // Without an end, as the calling thread may come to its first block late.
    CHECK_THROWS(Stopped, "stopped",
                 for_each_block(std::int64_t{1} << 60, 1.0, threads, &watch, [&]() -> Worker {
                   return [](std::int64_t, Ticker& ticker) { ticker.advance(0.0); };
                 }));
    CHECK(watch.sound);
  }
}

TEST(a_control_without_a_monitor_goes_on) {
  Control control(nullptr, 10.0);
  control.advance(5.0, true);
  control.poll();
  CHECK(!control.stopping());
}

TEST(a_control_whose_monitor_says_stop_throws_ever_after) {
  Watch watch(0);
  Control control(&watch, 10.0);
  control.poll();
  CHECK(control.stopping());
  CHECK_THROWS(Stopped, "stopped", control.advance(1.0, false));
}

TEST(a_number_of_threads_is_taken_as_it_is) {
  CHECK(resolve_threads(1) == 1);
  CHECK(resolve_threads(37) == 37);
}

TEST(a_negative_number_of_threads_is_refused) {
  CHECK_THROWS(std::invalid_argument, "threads is -1; expected ", resolve_threads(-1));
  CHECK_THROWS(std::invalid_argument, "threads is -2; expected ", run(5, -2));
}

TEST(no_number_of_threads_means_omp_num_threads) {
  setenv("OMP_NUM_THREADS", "3", 1);
  CHECK(resolve_threads(0) == 3);
  CHECK(resolve_threads(5) == 5);
  unsetenv("OMP_NUM_THREADS");
}

TEST(or_else_the_cpus_that_this_process_may_run_on) {
  unsetenv("OMP_NUM_THREADS");
  cpu_set_t all, one;
  sched_getaffinity(0, sizeof all, &all);
  CHECK(resolve_threads(0) >= 1 && resolve_threads(0) <= CPU_COUNT(&all));
  CPU_ZERO(&one);
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu)
    if (CPU_ISSET(cpu, &all)) {
      CPU_SET(cpu, &one);
      break;
    }
  sched_setaffinity(0, sizeof one, &one);
  CHECK(resolve_threads(0) == 1);
  sched_setaffinity(0, sizeof all, &all);
}

TEST(a_forked_child_can_run_again) {
  run(100, 4);
  const pid_t pid = fork();
  if (pid == 0) {
    alarm(30);
    _exit(run(100, 4) == std::vector<int>(100, 1) ? 0 : 1);
  }
  int status = -1;
  waitpid(pid, &status, 0);
  CHECK(status == 0);
}
