#pragma once

#include "cuda/fault.h"
#include "cuda/launch.h"

namespace normlab::cuda {

/// What a kernel needs to report values that do not fit.
struct Checker {
  ValueCheck check;
  int64_t ticket;
  Fault* fault;
};

/// For one launch.
Checker checker_for(const ValueCheck& check);

/// Keeps the value if it is the first that does not fit. `before`: the offset before it.
inline __device__ void report(const Checker& c, FaultKind kind, int64_t place, int64_t value,
                              int64_t before = 0) {
  volatile Fault* fault = c.fault;
  // What another launch has found stays: all are on one stream, so it came before.
  const auto comes_first = [&] {
    const int64_t ticket = fault->ticket;
    return ticket == kNoTicket || (c.ticket == ticket && place < fault->place);
  };
  // Within one kernel places only fall, so that most threads of a bad tensor never take the lock.
  bool done = !comes_first();
  while (!done) {
    if (atomicCAS(&c.fault->lock, 0, 1) == 0) {
      __threadfence();
      if (comes_first()) {
        fault->place = place;
        fault->kind = kind;
        fault->value = value;
        fault->before = before;
        c.fault->check = c.check;
        __threadfence();
        fault->ticket = c.ticket;
      }
      __threadfence();
      atomicExch(&c.fault->lock, 0);
      done = true;
    }
  }
}

}  // namespace normlab::cuda
