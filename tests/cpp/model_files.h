#pragma once

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

}  // namespace normlab::test
