// The one wording of every error: who, what, its value, what was expected, the way out.
#pragma once

#include <sstream>
#include <stdexcept>
#include <string>

namespace pyhybrid {

template <class... Parts>
std::string concat(const Parts&... parts) {
  std::ostringstream text;
  (text << ... << parts);
  return text.str();
}

/// "{who}: {what} is {value}; expected {rule}[; {way_out}]", as a std::invalid_argument.
template <class Value>
std::invalid_argument bad_value(const std::string& who, const std::string& what, const Value& value,
                                const std::string& rule, const std::string& way_out = "") {
  return std::invalid_argument(concat(who, ": ", what, " is ", value, "; expected ", rule,
                                      way_out.empty() ? "" : "; ", way_out));
}

}  // namespace pyhybrid
