#include "core/onednn.h"

#include <omp.h>
#include <pthread.h>

#include <new>

namespace normlab::onednn {

const dnnl::engine& engine() {
  static const dnnl::engine instance(dnnl::engine::kind::cpu, 0);
  return instance;
}

dnnl::stream& stream() {
  static thread_local dnnl::stream instance(engine());
  return instance;
}

dnnl::memory at(const dnnl::memory::desc& desc, const void* data) {
  return {desc, engine(), const_cast<void*>(data)};
}

SingleThread::SingleThread() : before_(omp_get_max_threads()) {
  if (before_ != 1) omp_set_num_threads(1);
}

SingleThread::~SingleThread() {
  if (before_ != 1) omp_set_num_threads(before_);
}

namespace {

/// All signals but those that the thread's own instructions raise, which cannot wait.
sigset_t signals_from_outside() {
  sigset_t all;
  sigfillset(&all);
  for (const int own : {SIGABRT, SIGBUS, SIGFPE, SIGILL, SIGSEGV, SIGSYS, SIGTRAP})
    sigdelset(&all, own);
  return all;
}

}  // namespace

SignalsWait::SignalsWait() {
  static const sigset_t all = signals_from_outside();
  pthread_sigmask(SIG_BLOCK, &all, &before_);
}

SignalsWait::~SignalsWait() {
  pthread_sigmask(SIG_SETMASK, &before_, nullptr);
}

void rethrow(const char* op) {
  try {
    throw;
  } catch (const dnnl::error& e) {
    if (e.status == dnnl_out_of_memory) fail<OutOfMemoryError>(op, "oneDNN: ", e.what());
    fail<Error>(op, "oneDNN: ", e.what());
  } catch (const std::bad_alloc&) {
    fail<OutOfMemoryError>(op, "the system has no memory left");
  }
}

}  // namespace normlab::onednn
