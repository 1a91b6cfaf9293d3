#include "check.hpp"
#include "pyhybrid/error.hpp"

using namespace pyhybrid;

TEST(an_error_says_who_what_its_value_and_the_rule) {
  CHECK(std::string(bad_value("ESLER", "l2", -3, "a positive number").what()) ==
        "ESLER: l2 is -3; expected a positive number");
}

TEST(an_error_may_end_in_a_way_out) {
  CHECK(std::string(bad_value("read", "x", "missing", "one of a, b", "name it").what()) ==
        "read: x is missing; expected one of a, b; name it");
}

TEST(parts_of_any_kind_are_joined) {
  CHECK(concat("a", 1, ' ', 2.5, std::string("b")) == "a1 2.5b");
}

TEST(it_is_an_invalid_argument) {
  CHECK_THROWS(std::invalid_argument, "w: x is 1", throw bad_value("w", "x", 1, "2"));
}
