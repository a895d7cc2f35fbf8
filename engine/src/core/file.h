#pragma once

#include <cstdint>
#include <string>

#include "normlab/error.h"

namespace normlab {

/// A path as error messages show it.
std::string shown(const std::string& path);

/// A regular file to read. Errors are FileError "op: "path": what: the system's reason".
class InputFile {
 public:
  InputFile(const char* op, const std::string& path);
  ~InputFile();
  InputFile(const InputFile&) = delete;
  InputFile& operator=(const InputFile&) = delete;

  int64_t size() const { return size_; }
  /// Fills `to` from `offset` on; a file that ends before that is an error.
  void read(int64_t offset, void* to, int64_t bytes) const;
  /// FileError that names the path unless ok: for what is wrong with the content.
  template <class... Parts>
  void check(bool ok, const Parts&... parts) const {
    if (!ok) [[unlikely]]
      fail<FileError>(op_, shown(path_), ": ", parts...);
  }

 private:
  const char* op_;
  std::string path_;
  int fd_ = -1;
  int64_t size_ = 0;
};

/// A file that is under its path whole or not at all: it grows as a temporary file in the same
/// folder and takes its name in commit(). Without a commit nothing is left of it.
class OutputFile {
 public:
  OutputFile(const char* op, const std::string& path);
  ~OutputFile();
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;

  void write(const void* from, int64_t bytes);
  void commit();

 private:
  void check_target() const;
  void create();
  [[noreturn]] void fail_now(const char* what) const;

  const char* op_;
  std::string path_, folder_, temporary_;
  int fd_ = -1;
};

}  // namespace normlab
