#pragma once

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <exception>
#include <thread>

namespace normlab::test {

/// How a child of fork() ended.
enum class ChildEnd { right, wrong, threw, died, hung };

/// Runs body, which returns whether all was right, in a child of fork(). One that does not end
/// within a minute, where a second is much, is killed: it hangs.
template <class Body>
ChildEnd run_in_child(const Body& body) {
  const pid_t child = ::fork();
  if (child == 0) {
    int code = 2;
    try {
      code = body() ? 0 : 1;
    } catch (const std::exception&) {
    }
    ::_exit(code);
  }
  for (int i = 0; i < 6000; ++i) {
    int status = 0;
    if (::waitpid(child, &status, WNOHANG) == child) {
      if (!WIFEXITED(status)) return ChildEnd::died;
      const int code = WEXITSTATUS(status);
      return code == 0 ? ChildEnd::right : code == 1 ? ChildEnd::wrong : ChildEnd::threw;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  return ChildEnd::hung;
}

}  // namespace normlab::test
