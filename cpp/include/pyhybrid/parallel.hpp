// Threads, progress and interruption, the same for every kernel.
//
// Threads are std::threads that live as long as one kernel call. There is no pool, so a process
// that has run a kernel can fork and its child can run it again, and no second OpenMP runtime
// meets the one that torch brings.
#pragma once

#include <atomic>
#include <cstdint>
#include <exception>
#include <functional>

namespace pyhybrid {

/// The host's view of a running kernel: told of progress, asked whether to go on.
class Monitor {
 public:
  virtual ~Monitor() = default;

  /// Called often, always from the thread that called the kernel. `fraction` is the share of the
  /// work that is done, 0 to 1; a call that is soon over may never poll. Returns false to stop the
  /// kernel, which then throws Stopped.
  virtual bool poll(double fraction) = 0;
};

/// Thrown out of a kernel whose monitor said to stop. Outputs are then unspecified.
class Stopped : public std::exception {
 public:
  const char* what() const noexcept override { return "stopped"; }
};

/// The number of threads that a kernel asked for `requested` uses.
///
/// 0 means OMP_NUM_THREADS if that is set, else the smaller of the CPUs that this process may run
/// on and its cgroup's CPU quota, rounded up. Throws std::invalid_argument if negative.
int resolve_threads(int requested);

/// What the threads of one kernel call share, through all its phases: the progress made, and
/// whether to stop.
class Control {
 public:
  /// `total_work` is the sum of what will be passed to advance(), in any unit.
  Control(Monitor* monitor, double total_work) : monitor_(monitor), total_(total_work) {}

  /// Counts work as done; throws Stopped if the call is to end. The calling thread asks the
  /// monitor.
  void advance(double work, bool calling_thread);

  /// Tells the monitor of the progress and asks it whether to go on, which stopping() then says;
  /// throws only what the monitor throws. On the calling thread only.
  void poll();

  /// Whether the monitor has said to stop.
  bool stopping() const { return stop_; }

 private:
  Monitor* monitor_;
  double total_;
  std::atomic<double> done_{0.0};
  std::atomic<bool> stop_{false};
};

/// One thread's handle on the call, given to its worker.
class Ticker {
 public:
  Ticker(Control& control, bool calling_thread) : control_(control), calling_(calling_thread) {}

  /// Counts `work` as done, in the unit of the call's total, and throws Stopped if asked to stop.
  /// To be called several times a second.
  void advance(double work) { control_.advance(work, calling_); }

 private:
  Control& control_;
  bool calling_;
};

/// The work of one thread: called with a block and the thread's ticker.
using Worker = std::function<void(std::int64_t block, Ticker& ticker)>;

/// Runs the blocks 0 .. blocks-1, each once, on up to `threads` threads (as resolve_threads says;
/// on fewer where the system grants no more).
///
/// `make_worker` is called once on each thread; the worker that it returns owns that thread's
/// scratch memory. Blocks are handed out in ascending order, so that a block may wait for a lower
/// one, if it goes on calling its ticker meanwhile. If blocks throw, the exception of the lowest
/// one leaves this function, whatever the number of threads. Throws Stopped if the monitor says so.
void for_each_block(std::int64_t blocks, int threads, Control& control,
                    const std::function<Worker()>& make_worker);

/// The same for a kernel of one phase, which makes up `total_work`.
void for_each_block(std::int64_t blocks, double total_work, int threads, Monitor* monitor,
                    const std::function<Worker()>& make_worker);

}  // namespace pyhybrid
