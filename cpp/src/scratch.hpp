// A kernel's working memory.
#pragma once

#if defined(__linux__)
#include <sys/mman.h>
#endif

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>
#include <type_traits>

namespace pyhybrid {

/// An array that starts out unwritten, so that the threads that fill it also touch it first; and in
/// large pages where the system has them, as kernels read theirs in no order.
template <class T>
class Scratch {
  static_assert(std::is_trivially_copyable_v<T>);

 public:
  Scratch() = default;
  explicit Scratch(std::int64_t count) { reserve(count); }

  /// Makes room for at least `count` elements; what they held is lost if there was less.
  void reserve(std::int64_t count) {
    if (count <= count_) return;
    data_.reset();
    count_ = 0;
    const std::size_t bytes = static_cast<std::size_t>(count) * sizeof(T);
    const std::size_t page = bytes < kLargePage ? kLine : kLargePage;
    const std::size_t whole = (bytes + page - 1) / page * page;
    data_.reset(static_cast<T*>(std::aligned_alloc(page, whole)));
    if (!data_) throw std::bad_alloc();
#if defined(__linux__)
    if (page == kLargePage) madvise(data_.get(), whole, MADV_HUGEPAGE);  // a wish: may be refused
#endif
    count_ = count;
  }

  T* data() { return data_.get(); }
  const T* data() const { return data_.get(); }
  T& operator[](std::int64_t k) { return data_.get()[k]; }
  const T& operator[](std::int64_t k) const { return data_.get()[k]; }
  explicit operator bool() const { return data_ != nullptr; }

 private:
  static constexpr std::size_t kLine = 64;
  static constexpr std::size_t kLargePage = std::size_t{2} << 20;

  struct Free {
    void operator()(T* data) const { std::free(data); }
  };

  std::unique_ptr<T[], Free> data_;
  std::int64_t count_ = 0;
};

}  // namespace pyhybrid
