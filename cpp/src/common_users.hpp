// How many users the most popular items have in common, counted on bitmaps.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "pyhybrid/parallel.hpp"
#include "scratch.hpp"

namespace pyhybrid {

/// The items whose pairs are counted sooner by comparing bitmaps of their users than by visiting
/// each user's pairs: the most popular ones, ascending; none if too few are worth it.
///
/// `users_of`: each item's number of users, of `users` in all. The bitmaps then take at most 6
/// bytes a pair of an item and its user.
std::vector<std::int32_t> items_worth_bitmaps(std::span<const std::int64_t> users_of,
                                              std::int64_t users);

/// Bitmaps of some items' users. Memory: an eighth of a byte an item and user.
class CommonUsers {
 public:
  CommonUsers() = default;

  /// For `items` of a catalogue of `n_items`, ascending; nobody has any yet.
  CommonUsers(std::vector<std::int32_t> items, std::int64_t n_items, std::int64_t users,
              int threads, Control& control);

  /// The items, ascending, and which of them an item of the catalogue is: -1 if it is none.
  std::span<const std::int32_t> items() const { return items_; }
  std::int32_t number(std::int64_t item) const {
    return items_.empty() ? -1 : numbers_[static_cast<std::size_t>(item)];
  }

  /// Says that a user has the number-th item. Threads may add users of different kUsersTogether.
  void add(std::int32_t number, std::int64_t user) {
    const std::int64_t word = number / kTogether * words_ + user / kUsersTogether;
    bits_[word * kTogether + number % kTogether] |= std::uint64_t{1} << (user % kUsersTogether);
  }

  /// Writes matrix[i, j], row-major (n_items, n_items), for all pairs of the items. Counts `work`
  /// as done meanwhile.
  template <class Value>  // float or double
  void count(Value* matrix, double work, int threads, Control& control) const;

  static constexpr std::int64_t kUsersTogether = 64;  // of whom a word tells

 private:
  static constexpr std::int64_t kTogether = 8;  // items whose words stand together

  std::vector<std::int32_t> items_;
  std::vector<std::int32_t> numbers_;  // (n_items)
  std::int64_t words_ = 0;             // an item
  Scratch<std::uint64_t> bits_;        // (items / kTogether, rounded up; words; kTogether)
};

extern template void CommonUsers::count<float>(float*, double, int, Control&) const;
extern template void CommonUsers::count<double>(double*, double, int, Control&) const;

}  // namespace pyhybrid
