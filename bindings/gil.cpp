#include "gil.h"

#include <unistd.h>

namespace normlab::bindings {
namespace {

bool interpreter_is_ending() {
#if PY_VERSION_HEX >= 0x030D0000
  return Py_IsFinalizing() != 0;
#else
  return _Py_IsFinalizing() != 0;
#endif
}

}  // namespace

void sleep_forever() {
  for (;;) pause();
}

void release_python(PyObject* object) noexcept {
  if (!Py_IsInitialized()) return;  // the interpreter's memory is gone
  if (PyGILState_Check()) {
    Py_DECREF(object);
  } else if (!interpreter_is_ending()) {
    const GilAcquire acquire;
    Py_DECREF(object);
  }
}

}  // namespace normlab::bindings
