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
#include <system_error>
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

/// A quota over its period, in CPUs rounded up; the largest int where there is none.
int cpus_of(double quota, double period) {
  constexpr int kNone = std::numeric_limits<int>::max();
  if (!(quota > 0.0) || !(period > 0.0) || quota / period >= kNone) return kNone;
  return std::max(1, static_cast<int>(std::ceil(quota / period)));
}

/// The quota that one folder of cgroup v2 sets.
int cgroup_v2_cpus(const std::string& folder) {
  std::string quota;  // "max 100000" or "150000 100000"
  double period = 0.0;
  std::ifstream file(folder + "/cpu.max");
  if (!(file >> quota >> period) || quota == "max") return cpus_of(0.0, 0.0);
  return cpus_of(std::strtod(quota.c_str(), nullptr), period);
}

/// The smallest CPU quota among this process's cgroup and those that it is nested in.
int cgroup_cpus() {
  const std::string root = "/sys/fs/cgroup";
  int cpus = cgroup_v2_cpus(root);
  std::ifstream memberships("/proc/self/cgroup");
  for (std::string line; std::getline(memberships, line);) {
    if (!line.starts_with("0::/")) continue;  // v2's line: "0::/user.slice/..."
    std::string folder = root + line.substr(3);
    while (folder.size() > root.size()) {
      cpus = std::min(cpus, cgroup_v2_cpus(folder));
      folder.resize(folder.rfind('/'));
    }
  }
  double quota = -1.0;
  double period = 0.0;
  std::ifstream(root + "/cpu/cpu.cfs_quota_us") >> quota;
  std::ifstream(root + "/cpu/cpu.cfs_period_us") >> period;
  return std::min(cpus, cpus_of(quota, period));
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
  try {
    if (!monitor_->poll(fraction)) stop_ = true;
  } catch (...) {
    stop_ = true;  // for the other threads
    throw;
  }
}

namespace {

/// The threads beside the calling one, as many as the system grants.
class Others {
 public:
  Others(int count, const std::function<void()>& run) : running_(count) {
    threads_.reserve(static_cast<std::size_t>(count));
    for (int thread = 0; thread < count; ++thread) {
      try {
        threads_.emplace_back([this, &run] {
          run();
          const std::lock_guard lock(mutex_);
          --running_;
          one_ended_.notify_one();
        });
      } catch (const std::system_error&) {
        const std::lock_guard lock(mutex_);
        running_ -= count - thread;
        return;
      }
    }
  }

  /// Returns when all have ended; calls `meanwhile` several times a second.
  template <class Function>
  void join(Function meanwhile) {
    std::unique_lock lock(mutex_);
    while (!one_ended_.wait_for(lock, std::chrono::milliseconds(50),
                                [this] { return running_ == 0; })) {
      lock.unlock();
      meanwhile();
      lock.lock();
    }
  }

 private:
  std::mutex mutex_;
  std::condition_variable one_ended_;
  int running_;
  std::vector<std::jthread> threads_;  // last: joined before what they use is gone
};

}  // namespace

void for_each_block(std::int64_t blocks, int threads, Control& control,
                    const std::function<Worker()>& make_worker) {
  threads = static_cast<int>(
      std::min<std::int64_t>(resolve_threads(threads), std::max<std::int64_t>(blocks, 1)));
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

  const std::function<void()> run_beside = [&] { run(false); };
  Others others(threads - 1, run_beside);
  run(true);
  others.join([&] { control.poll(); });

  first_error.rethrow();
  if (control.stopping()) throw Stopped();
}

void for_each_block(std::int64_t blocks, double total_work, int threads, Monitor* monitor,
                    const std::function<Worker()>& make_worker) {
  Control control(monitor, total_work);
  for_each_block(blocks, threads, control, make_worker);
}

}  // namespace pyhybrid
