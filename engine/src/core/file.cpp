#include "core/file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <system_error>

#include "core/json.h"

namespace normlab {
namespace {

[[noreturn]] void fail_io(const char* op, const std::string& path, const char* what, int error) {
  fail<FileError>(op, shown(path), ": ", what, ": ", std::generic_category().message(error));
}

void check_path(const char* op, const std::string& path) {
  // The system would silently stop at a NUL.
  check<FileError>(!path.empty() && path.find('\0') == std::string::npos, op,
                   "a path must not be empty or contain NUL, got ", shown(path));
}

void check_regular(const char* op, const std::string& path, const struct stat& status) {
  check<FileError>(!S_ISDIR(status.st_mode), op, shown(path), ": is a folder, not a file");
  check<FileError>(S_ISREG(status.st_mode), op, shown(path), ": is not a regular file");
}

/// Calls a system function again for as long as a signal interrupts it.
template <class Call>
auto retry(const Call& call) {
  auto result = call();
  while (result < 0 && errno == EINTR) result = call();
  return result;
}

/// Whether the path still leads to the file that is open.
bool leads_to(const std::string& path, int fd) {
  struct stat named, open;
  return ::lstat(path.c_str(), &named) == 0 && ::fstat(fd, &open) == 0 &&
         named.st_dev == open.st_dev && named.st_ino == open.st_ino;
}

/// Removes a temporary file whose writer was killed: nobody holds its lock. False if it is in use.
bool remove_stale(const std::string& path) {
  const int fd = retry([&] { return ::open(path.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW); });
  if (fd < 0) return errno == ENOENT;  // gone in the meantime
  const bool stale = ::flock(fd, LOCK_EX | LOCK_NB) == 0 && leads_to(path, fd);
  const bool removed = stale && ::unlink(path.c_str()) == 0;
  ::close(fd);
  return removed;
}

/// A new file that this process alone writes, locked for as long as it is open; -1 and errno if the
/// name is taken or the folder refuses it.
int create_locked(const std::string& path) {
  const int flags = O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC;
  const int fd = retry([&] { return ::open(path.c_str(), flags, 0666); });
  if (fd < 0) return fd;
  // A file system without locks has only names.
  const bool locked = ::flock(fd, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK;
  if (locked && leads_to(path, fd)) return fd;
  ::close(fd);  // another writer took it for stale before it was locked
  errno = EEXIST;
  return -1;
}

}  // namespace

std::string shown(const std::string& path) {
  return json_excerpt(path, 4096);
}

InputFile::InputFile(const char* op, const std::string& path) : op_(op), path_(path) {
  check_path(op, path);
  // Without O_NONBLOCK, opening a pipe would wait for its other end.
  fd_ = retry([&] { return ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK); });
  if (fd_ < 0) fail_io(op, path, "cannot open it", errno);
  try {
    struct stat status;
    if (::fstat(fd_, &status) != 0) fail_io(op, path, "cannot read its size", errno);
    check_regular(op, path, status);
    size_ = status.st_size;
  } catch (...) {
    ::close(fd_);
    throw;
  }
}

InputFile::~InputFile() {
  ::close(fd_);
}

void InputFile::read(int64_t offset, void* to, int64_t bytes) const {
  char* at = static_cast<char*>(to);
  while (bytes > 0) {
    const ssize_t got = retry([&] { return ::pread(fd_, at, bytes, offset); });
    if (got < 0) fail_io(op_, path_, "cannot read it", errno);
    check(got > 0, "ended early, at byte ", offset);
    at += got;
    offset += got;
    bytes -= got;
  }
}

OutputFile::OutputFile(const char* op, const std::string& path) : op_(op), path_(path) {
  check_path(op, path);
  // A link stays a link: what it points to is replaced.
  std::error_code none;
  const auto target = std::filesystem::canonical(path, none);
  if (!none) path_ = target.string();
  check_target();
  const auto folder = std::filesystem::path(path_).parent_path();
  folder_ = folder.empty() ? std::string(".") : folder.string();
  create();
}

void OutputFile::check_target() const {
  struct stat status;
  if (::stat(path_.c_str(), &status) != 0) return;
  check_regular(op_, path_, status);
  if (::access(path_.c_str(), W_OK) != 0) fail_now("must not be overwritten");
}

void OutputFile::create() {
  // The same few names again and again, so that the next writer removes what a killed one has left.
  // Where the file system knows no locks, nothing is ever stale.
  constexpr int kMost = 100'000;
  for (int number = 0; fd_ < 0 && number < kMost; ++number) {
    const std::string name = ".normlab-" + std::to_string(number) + ".tmp";
    const std::string path = (std::filesystem::path(folder_) / name).string();
    fd_ = create_locked(path);
    if (fd_ < 0 && errno != EEXIST) break;
    if (fd_ < 0 && remove_stale(path)) fd_ = create_locked(path);
    if (fd_ >= 0) temporary_ = path;
  }
  if (fd_ < 0) fail_now("cannot create a file in its folder");
  struct stat old;
  if (::stat(path_.c_str(), &old) != 0) return;
  // Who may read the old file may read the new one; a file system without modes cannot say so.
  [[maybe_unused]] const int kept = ::fchmod(fd_, old.st_mode & 0777);
}

OutputFile::~OutputFile() {
  if (!temporary_.empty()) ::unlink(temporary_.c_str());  // while it is locked, so ours
  if (fd_ >= 0) ::close(fd_);
}

void OutputFile::fail_now(const char* what) const {
  fail_io(op_, path_, what, errno);
}

void OutputFile::write(const void* from, int64_t bytes) {
  const char* at = static_cast<const char*>(from);
  while (bytes > 0) {
    const ssize_t put = retry([&] { return ::write(fd_, at, bytes); });
    if (put < 0) fail_now("cannot write it");
    at += put;
    bytes -= put;
  }
}

void OutputFile::commit() {
  if (retry([&] { return ::fsync(fd_); }) != 0) fail_now("cannot sync it to disk");
  // Before the file is closed: its lock keeps others from removing it.
  if (::rename(temporary_.c_str(), path_.c_str()) != 0) fail_now("cannot rename it into place");
  temporary_.clear();
  // The rename is atomic as it is; this makes it last. Some file systems cannot, and need not.
  const int folder = ::open(folder_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder < 0) return;
  ::fsync(folder);
  ::close(folder);
}

}  // namespace normlab
