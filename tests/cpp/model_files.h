#pragma once

#include <random>

#include "catch.h"
#include "errors.h"
#include "folder.h"
#include "normlab/io.h"

namespace normlab::test {

/// The file that save_model(path) writes.
template <class Save>
TensorFile saved_by(const Save& save_model) {
  const Folder folder;
  save_model(folder.file());
  return load(folder.file());
}

/// What load_model(path) says of the file after `damage`. It names the path.
template <class Load, class Damage>
std::string error_after(const Damage& damage, TensorFile file, const Load& load_model) {
  damage(file);
  const Folder folder;
  save(folder.file(), file.tensors, file.metadata);
  const std::string message = error_of<FileError>([&] { load_model(folder.file()); });
  CHECK(contains(message, folder.file()));
  return message;
}

/// Damages the file `count` times: bits of its header are flipped, and each tenth time it is cut.
/// `use` loads it and works with what it loads. Returns how often that was a FileError; any other
/// error ends the test.
template <class Use>
int refusals_of_damage(const std::string& path, int count, const Use& use) {
  const std::string whole = read_bytes(path);
  const size_t header = 8 + static_cast<size_t>(*reinterpret_cast<const uint64_t*>(whole.data()));
  std::mt19937 random(5);
  int refused = 0;
  for (int i = 0; i < count; ++i) {
    std::string bytes = whole;
    for (size_t n = 1 + random() % 3; n > 0; --n)
      bytes[random() % header] ^= static_cast<char>(1 << random() % 8);
    if (i % 10 == 0) bytes.resize(random() % whole.size());
    write_bytes(path, bytes);
    try {
      use();
    } catch (const FileError&) {
      ++refused;
    }
  }
  return refused;
}

}  // namespace normlab::test
