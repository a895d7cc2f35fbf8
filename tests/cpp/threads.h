#pragma once

#include "normlab/threads.h"

namespace normlab::test {

/// Sets the number of threads back at its end.
struct Threads {
  explicit Threads(int n) : before(num_threads()) { set_num_threads(n); }
  ~Threads() { set_num_threads(before); }
  int before;
};

/// The result of f() on n threads.
template <class F>
auto with_threads(int n, const F& f) {
  const Threads threads(n);
  return f();
}

}  // namespace normlab::test
