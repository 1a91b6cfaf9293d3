#include "pyhybrid/parallel.hpp"

#if defined(__linux__)
#include <sched.h>
#endif

#include <algorithm>
#include <chrono>
#include <cmath>
#include <condition_variable>
#include <cstdlib>
#include <fstream>
#include <limits>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace pyhybrid {
namespace {

int allowed_cpus() {
#if defined(__linux__)
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof(set), &set) == 0) return std::max(1, CPU_COUNT(&set));
#endif
  return static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
}

/// The CPU quota of the cgroup, in CPUs rounded up; the largest int where there is none.
int cgroup_cpus() {
  double quota = -1.0;
  double period = 0.0;
  if (std::ifstream v2("/sys/fs/cgroup/cpu.max"); v2) {
    std::string text;  // "max 100000" or "150000 100000"
    if (v2 >> text >> period && text != "max") quota = std::strtod(text.c_str(), nullptr);
  } else if (std::ifstream v1("/sys/fs/cgroup/cpu/cpu.cfs_quota_us"); v1) {
    v1 >> quota;
    std::ifstream("/sys/fs/cgroup/cpu/cpu.cfs_period_us") >> period;
  }
  if (quota <= 0.0 || period <= 0.0) return std::numeric_limits<int>::max();
  return std::max(1, static_cast<int>(std::ceil(quota / period)));
}

/// The exception of the lowest block that threw.
class FirstError {
 public:
  void offer(std::int64_t block, std::exception_ptr error) {
    const std::lock_guard lock(mutex_);
    if (block < block_) {
      block_ = block;
      error_ = std::move(error);
    }
  }

  void rethrow() const {
    if (error_) std::rethrow_exception(error_);
  }

 private:
  std::mutex mutex_;
  std::int64_t block_ = std::numeric_limits<std::int64_t>::max();
  std::exception_ptr error_;
};

}  // namespace

int resolve_threads(int requested) {
  if (requested < 0) {
    throw std::invalid_argument("threads is " + std::to_string(requested) +
                                "; expected 0 (all that this process may use) or more");
  }
  if (requested > 0) return requested;
  if (const char* text = std::getenv("OMP_NUM_THREADS")) {
    const long threads = std::strtol(text, nullptr, 10);
    if (threads > 0) return static_cast<int>(std::min(threads, 4096L));
  }
  return std::min(allowed_cpus(), cgroup_cpus());
}

void Control::advance(double work, bool calling_thread) {
  done_.fetch_add(work);
  if (calling_thread) poll();
  if (stop_) throw Stopped();
}

void Control::poll() {
  if (monitor_ == nullptr || stop_) return;
  const double fraction = total_ > 0.0 ? std::min(1.0, done_ / total_) : 1.0;
  if (!monitor_->poll(fraction)) stop_ = true;
}

void for_each_block(std::int64_t blocks, double total_work, int threads, Monitor* monitor,
                    const std::function<Worker()>& make_worker) {
  threads = static_cast<int>(
      std::min<std::int64_t>(resolve_threads(threads), std::max<std::int64_t>(blocks, 1)));
  Control control(monitor, total_work);
  std::atomic<std::int64_t> next{0};
  std::atomic<bool> failed{false};
  FirstError first_error;

  const auto run = [&](bool calling_thread) {
    std::int64_t block = -1;
    try {
      Ticker ticker(control, calling_thread);
      const Worker worker = make_worker();
      while (!failed && !control.stopping() && (block = next.fetch_add(1)) < blocks) {
        worker(block, ticker);
      }
    } catch (const Stopped&) {
      // The monitor's wish; for_each_block itself throws once all threads have ended.
    } catch (...) {
      // Blocks below this one have been handed out already and run to their end, so that the
      // lowest error is always found.
      first_error.offer(block, std::current_exception());
      failed = true;
    }
  };

  std::mutex mutex;
  std::condition_variable one_ended;
  int running = threads - 1;
  std::vector<std::jthread> others;
  others.reserve(static_cast<std::size_t>(threads - 1));
  for (int thread = 1; thread < threads; ++thread) {
    others.emplace_back([&] {
      run(false);
      const std::lock_guard lock(mutex);
      --running;
      one_ended.notify_one();
    });
  }
  run(true);
  for (std::unique_lock lock(mutex); running > 0;) {
    if (one_ended.wait_for(lock, std::chrono::milliseconds(50)) == std::cv_status::timeout) {
      control.poll();
    }
  }
  others.clear();  // joins

  first_error.rethrow();
  if (control.stopping()) throw Stopped();
}

}  // namespace pyhybrid
