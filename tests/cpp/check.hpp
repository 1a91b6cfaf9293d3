// The whole test framework: TEST, CHECK, CHECK_THROWS, and a main that counts.
#pragma once

#include <cstdio>
#include <exception>
#include <string>
#include <vector>

struct Test {
  const char* name;
  void (*run)();
};
inline std::vector<Test> tests;
inline bool test_failed;

inline void fail(const char* file, int line, const std::string& what) {
  std::printf("%s:%d: %s\n", file, line, what.c_str());
  test_failed = true;
}

#define TEST(name)                                                         \
  static void name();                                                      \
  static const bool name##_added = (tests.push_back({#name, name}), true); \
  static void name()
#define CHECK(...) \
  if (!(__VA_ARGS__)) fail(__FILE__, __LINE__, #__VA_ARGS__)
#define CHECK_THROWS(type, text, ...)                                                    \
  try {                                                                                  \
    __VA_ARGS__;                                                                         \
    fail(__FILE__, __LINE__, "no " #type " from " #__VA_ARGS__);                         \
  } catch (const type& error) {                                                          \
    if (std::string(error.what()).find(text) == std::string::npos)                       \
      fail(__FILE__, __LINE__, std::string(error.what()) + " does not contain " + text); \
  }

int main() {
  int passed = 0;
  for (const Test& test : tests) {
    test_failed = false;
    try {
      test.run();
    } catch (const std::exception& error) {
      fail(test.name, 0, error.what());
    }
    passed += !test_failed;
  }
  std::printf("%d passed, %d failed\n", passed, static_cast<int>(tests.size()) - passed);
  return passed == static_cast<int>(tests.size()) ? 0 : 1;
}
