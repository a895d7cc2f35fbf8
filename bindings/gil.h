#pragma once

// Python's global lock. The guards differ from pybind11's in one thing: where the interpreter ends
// while a daemon thread computes, CPython before 3.14 unwinds that thread by force as soon as it
// asks for the lock. Destructors would then run without the lock, or end the process in
// std::terminate; here the thread sleeps until the process is gone, as in CPython 3.14.

#include <Python.h>

#include <utility>
#if defined(__GLIBCXX__)
#include <cxxabi.h>
#endif

namespace normlab::bindings {

[[noreturn]] void sleep_forever();

/// Runs what may ask for the lock.
template <class Work>
auto outlive_interpreter(Work&& work) {
#if defined(__GLIBCXX__)
  try {
    return work();
  } catch (abi::__forced_unwind&) {
    sleep_forever();
  }
#else
  return work();
#endif
}

/// Lets other Python threads run while it lives.
class GilRelease {
 public:
  GilRelease() : state_(PyEval_SaveThread()) {}
  ~GilRelease() {
    outlive_interpreter([this] { PyEval_RestoreThread(state_); });
  }
  GilRelease(const GilRelease&) = delete;
  GilRelease& operator=(const GilRelease&) = delete;

 private:
  PyThreadState* state_;
};

/// Holds the lock while it lives.
class GilAcquire {
 public:
  GilAcquire() : state_(outlive_interpreter([] { return PyGILState_Ensure(); })) {}
  ~GilAcquire() { PyGILState_Release(state_); }
  GilAcquire(const GilAcquire&) = delete;
  GilAcquire& operator=(const GilAcquire&) = delete;

 private:
  PyGILState_STATE state_;
};

template <class Work>
auto without_gil(Work&& work) {
  const GilRelease release;
  return std::forward<Work>(work)();
}

/// Drops a reference from any thread, with or without the lock, also while the interpreter ends.
void release_python(PyObject* object) noexcept;

}  // namespace normlab::bindings
