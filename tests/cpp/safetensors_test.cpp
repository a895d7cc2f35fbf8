#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <cstring>
#include <filesystem>
#include <random>

#include "catch.h"
#include "core/json.h"
#include "errors.h"
#include "folder.h"
#include "gradcheck.h"

namespace fs = std::filesystem;
using namespace normlab;
using test::contains;
using test::error_of;
using test::Folder;
using test::read_bytes;
using test::write_bytes;

namespace {

/// Length, header and data as the format wants them.
std::string file_of(const std::string& header, const std::string& data = "") {
  const uint64_t length = header.size();
  std::string bytes(8, '\0');
  std::memcpy(bytes.data(), &length, 8);
  return bytes + header + data;
}

TensorMap some_tensors() {
  return {{"b", Tensor::of<float>({1, 2}, {1.5f, -2.f})},
          {"a", Tensor::of<int32_t>({}, {3})},
          {"\xC3\xA9\"\n", Tensor::of<bool>({3}, {true, false, true})},
          {"n", Tensor::of<int64_t>({1}, {-1})},
          {"z", Tensor::zeros({0, 2}, DType::float64)},
          {"u", Tensor::of<uint8_t>({1}, {7})}};
}

// What safetensors 0.8.0 (Python) writes for some_tensors().
const std::string kReferenceHeader =
    R"({"__metadata__":{"k\u0001":"ü/\\"},"n":{"dtype":"I64","shape":[1],"data_offsets":[0,8]},)"
    R"("z":{"dtype":"F64","shape":[0,2],"data_offsets":[8,8]},)"
    R"("b":{"dtype":"F32","shape":[1,2],"data_offsets":[8,16]},)"
    R"("a":{"dtype":"I32","shape":[],"data_offsets":[16,20]},)"
    R"("u":{"dtype":"U8","shape":[1],"data_offsets":[20,21]},)"
    R"("é\"\n":{"dtype":"BOOL","shape":[3],"data_offsets":[21,24]}})";
const std::string kReferenceData(
    "\xff\xff\xff\xff\xff\xff\xff\xff\x00\x00\xc0\x3f\x00\x00\x00\xc0\x03\x00\x00\x00\x07\x01\x00"
    "\x01",
    24);

std::string reference_file() {
  std::string header = kReferenceHeader;
  header.append((8 - header.size() % 8) % 8, ' ');
  return file_of(header, kReferenceData);
}

}  // namespace

TEST_CASE("safetensors: writes the bytes of the reference implementation", "[io]") {
  const Folder folder;
  save(folder.file(), some_tensors(), {{"k\x01", "\xC3\xBC/\\"}});
  CHECK(read_bytes(folder.file()) == reference_file());
  save(folder.file(), {});
  CHECK(read_bytes(folder.file()) == file_of("{}      "));
  CHECK(folder.entries() == 1);
}

TEST_CASE("safetensors: reads back what was written", "[io]") {
  const Folder folder;
  const TensorMap tensors = some_tensors();
  const Metadata metadata{{"", "\xF0\x9F\x98\x80 \"\\\b\f\n\r\t\x1f"}, {"k", ""}};
  save(folder.file(), tensors, metadata);
  const TensorFile file = load(folder.file());
  CHECK(file.metadata == metadata);
  REQUIRE(file.tensors.size() == tensors.size());
  for (const auto& [name, x] : tensors) {
    const Tensor& y = file.tensors.at(name);
    CHECK(y.dtype() == x.dtype());
    CHECK(test::max_difference(x, y) == 0);
  }
}

TEST_CASE("safetensors: keeps every bit of a float", "[io]") {
  const Folder folder;
  const Tensor x = Tensor::of<float>({5}, {-0.f, NAN, -INFINITY, 1e-45f, 3.4e38f});
  save(folder.file(), {{"x", x}});
  const Tensor y = load(folder.file()).tensors.at("x");
  CHECK(std::memcmp(x.raw(), y.raw(), 20) == 0);
}

TEST_CASE("safetensors: takes any JSON that says the same", "[io]") {
  const Folder folder;
  write_bytes(folder.file(), file_of("{ \"\\u00e9\\ud83d\\ude00\\/\" :\n{\"data_offsets\":[ 0,4 ],"
                                     "\"shape\":[1],\t\"dtype\":\"F32\"}}   \r\n",
                                     std::string(4, '\0')));
  CHECK(load(folder.file()).tensors.count("\xC3\xA9\xF0\x9F\x98\x80/") == 1);
  write_bytes(folder.file(), file_of("{}"));
  CHECK(load(folder.file()).tensors.empty());
}

TEST_CASE("safetensors: refuses files that lie", "[io]") {
  const auto tensor = [](const std::string& dtype, const std::string& shape,
                         const std::string& offsets) {
    return "{\"dtype\":\"" + dtype + "\",\"shape\":" + shape + ",\"data_offsets\":" + offsets + "}";
  };
  const auto one = [&](const std::string& dtype, const std::string& shape,
                       const std::string& offsets) {
    return "{\"w\":" + tensor(dtype, shape, offsets) + "}";
  };
  const auto two = [&](const std::string& a, const std::string& b) {
    return "{\"a\":" + tensor("U8", "[4]", a) + ",\"b\":" + tensor("U8", "[4]", b) + "}";
  };
  struct Case {
    std::string bytes, reason;
  };
  const std::string d4(4, '\0'), d8(8, '\0'), d12(12, '\0');
  const Case cases[] = {
      {"", "too few"},
      {"1234567", "too few"},
      {std::string(8, '\0'), "is no safetensors file: its header does not begin with '{'"},
      {"a line of text", "is no safetensors file: it does not begin with the length of a header"},
      {"\x93NUMPY\x01" + d4, "is no safetensors file: it does not begin"},
      {std::string("PK\3\4\0\0\x08\x08", 8) + d4,
       "write it there with safetensors.torch.save_file"},
      {std::string("\x03\0\0\0\0\0\0\0{}", 10), "the header claims 3 bytes, the file has 2"},
      {std::string(8, '\xff') + "{}", "is no safetensors file"},
      {file_of(" {}"), "does not begin with '{'"},
      {file_of("{}", "x"), "has 1 bytes of data, its tensors 0"},
      {file_of("{} {}"), "expected the end"},
      {file_of(std::string("{}\0", 3)), "expected the end"},
      {file_of("{\"w\":1}"), "expected '{'"},
      {file_of("{\"w\":{}}"), "tensor \"w\" must have dtype, shape and two data_offsets"},
      {file_of(one("F8_E4M3", "[2]", "[0,4]"), d4), "tensor \"w\" has the dtype \"F8_E4M3\""},
      {file_of(one("f32", "[1]", "[0,4]"), d4), "has the dtype \"f32\""},
      {file_of(one("F32", "[2]", "[0,4]"), d4), "does not fit its 4 bytes"},
      {file_of(one("F32", "[]", "[0,8]"), d8), "of shape [] and dtype F32 does not fit"},
      {file_of(one("F32", "[-1]", "[0,4]"), d4), "non-negative integer"},
      {file_of(one("F32", "[1.0]", "[0,4]"), d4), "without fraction"},
      {file_of(one("F32", "[1e0]", "[0,4]"), d4), "without fraction"},
      {file_of(one("F32", "[01]", "[0,4]"), d4), "leading zeros"},
      {file_of(one("F32", "[9223372036854775808]", "[0,4]"), d4), "below 2^63"},
      {file_of(one("F32", "[4611686018427387904,4]", "[0,0]")), "does not fit"},
      {file_of(one("U8", "[4294967296,4294967296]", "[0,0]")), "does not fit"},
      // Beside a zero the product counts, too; that of the elements as they are held is larger.
      {file_of(one("F32", "[0,1223372036854775808]", "[0,0]")), "does not fit its 0 bytes"},
      {file_of(one("F16", "[2305843009213693950,0]", "[0,0]")), "does not fit its 0 bytes"},
      {file_of(one("U8", "[1,1,1,1,1,1,1,1,1]", "[0,1]"), "x"), "more than 8 axes"},
      {file_of(one("U8", "[1,]", "[0,1]"), "x"), "non-negative integer"},
      {file_of(one("U8", "[1]", "[0,1,1]"), "x"), "more than two data_offsets"},
      {file_of(one("U8", "[1]", "[0]"), "x"), "two data_offsets"},
      {file_of(one("F32", "[1]", "[4,0]"), d4), "has the data_offsets [4, 0]"},
      {file_of(one("F32", "[2]", "[0,8]"), d4), "the file has 4 bytes of data"},
      {file_of(one("F32", "[1]", "[4,8]"), d8), "leaves a hole"},
      {file_of(one("F32", "[1]", "[0,4]"), d8), "has 8 bytes of data, its tensors 4"},
      {file_of(one("BOOL", "[4]", "[0,4]"), std::string("\0\1\2\0", 4)), "neither 0 nor 1"},
      {file_of(two("[0,4]", "[2,6]"), d8), "overlaps"},
      {file_of(two("[0,4]", "[0,4]"), d4), "overlaps"},
      {file_of(two("[0,4]", "[8,12]"), d12), "leaves a hole"},
      {file_of("{\"w\":" + tensor("U8", "[0]", "[0,0]") + ",\"w\":" + tensor("U8", "[0]", "[0,0]") +
               "}"),
       "each key once"},
      {file_of("{\"w\":{\"dtype\":\"U8\",\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}}"),
       "each key once"},
      {file_of("{\"w\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0],\"more\":1}}"),
       "unknown field \"more\""},
      {file_of("{\"__metadata__\":{\"k\":1}}"), "expected '\"'"},
      {file_of("{\"__metadata__\":{\"k\":\"\",\"k\":\"\"}}"), "each key once"},
      {file_of("{\"__metadata__\":{\"k\":{\"k\":{}}}}"), "expected '\"'"},
      {file_of("{\"__metadata__\":{\"\xFF\":\"\"}}"), "valid UTF-8"},
      {file_of("{\"__metadata__\":{\"k\":\"\xED\xA0\x80\"}}"), "valid UTF-8"},
      {file_of("{\"__metadata__\":{\"k\":\"\\ud800\"}}"), "surrogate"},
      {file_of("{\"__metadata__\":{\"k\":\"\\x\"}}"), "escape"},
      {file_of("{\"__metadata__\":{\"k\":\"\n\"}}"), "control character"},
      {file_of("{\"__metadata__\":{\"k\":\"v\"},}"), "expected '\"'"},
      {file_of("{" + std::string(100000, '[')), "expected '\"'"},
  };
  const Folder folder;
  for (const auto& [bytes, reason] : cases) {
    write_bytes(folder.file(), bytes);
    const std::string message = error_of<FileError>([&] { load(folder.file()); });
    CAPTURE(bytes.substr(0, 200), reason, message);
    CHECK(contains(message, "load: \"" + folder.file() + "\": "));
    CHECK(contains(message, reason));
  }
}

TEST_CASE("safetensors: a damaged file is refused or read, never worse", "[io]") {
  const Folder folder;
  const std::string good = reference_file();
  std::mt19937 random(7);
  const auto below = [&](size_t n) {
    return std::uniform_int_distribution<size_t>(0, n - 1)(random);
  };
  int refused = 0;
  for (int round = 0; round < 4000; ++round) {
    std::string bytes = good;
    for (size_t flips = below(4); flips > 0; --flips)
      bytes[below(bytes.size())] = static_cast<char>(below(256));
    if (below(3) == 0) bytes.resize(below(bytes.size() + 8));
    if (below(8) == 0) bytes.erase(below(bytes.size() + 1), below(5));
    write_bytes(folder.file(), bytes);
    try {
      load(folder.file());
    } catch (const FileError& error) {
      ++refused;
      REQUIRE(is_utf8(error.what()));
    }
  }
  CHECK(refused > 2000);
}

TEST_CASE("safetensors: says what is wrong with a path", "[io]") {
  const Folder folder;
  const TensorMap tensors = some_tensors();
  const std::string nowhere = folder.file("none/x");
  CHECK(contains(error_of<FileError>([&] { load(nowhere); }),
                 "none/x\": cannot open it: No such file"));
  CHECK(contains(error_of<FileError>([&] { save(nowhere, tensors); }), "none/x\": cannot create"));
  const std::string here = folder.path;
  CHECK(contains(error_of<FileError>([&] { load(here); }), here + "\": is a folder"));
  CHECK(contains(error_of<FileError>([&] { save(here, tensors); }), here + "\": is a folder"));
  CHECK(contains(error_of<FileError>([&] { load("/dev/null"); }), "is not a regular file"));
  CHECK(
      contains(error_of<FileError>([&] { save("/dev/null", tensors); }), "is not a regular file"));
  CHECK(contains(error_of<FileError>([&] { load(""); }), "must not be empty"));
  CHECK(contains(error_of<FileError>([&] { save(std::string("a\0b", 3), tensors); }), "NUL"));
  CHECK(folder.entries() == 0);
}

TEST_CASE("safetensors: does not wait for the other end of a pipe", "[io]") {
  const Folder folder;
  REQUIRE(::mkfifo(folder.file().c_str(), 0600) == 0);
  CHECK(contains(error_of<FileError>([&] { load(folder.file()); }), "is not a regular file"));
}

TEST_CASE("safetensors: a save that fails leaves the old file and nothing else", "[io]") {
  const Folder folder;
  save(folder.file(), some_tensors());
  const std::string before = read_bytes(folder.file());

  rlimit old;
  REQUIRE(::getrlimit(RLIMIT_FSIZE, &old) == 0);
  const rlimit small{4096, old.rlim_max};
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  REQUIRE(::setrlimit(RLIMIT_FSIZE, &small) == 0);
  const std::string message = error_of<FileError>([&] {
    save(folder.file(), {{"x", Tensor::zeros({4096})}});
  });
  ::setrlimit(RLIMIT_FSIZE, &old);
  std::signal(SIGXFSZ, handler);

  CHECK(contains(message, folder.file() + "\": cannot write it: File too large"));
  CHECK(read_bytes(folder.file()) == before);
  CHECK(folder.entries() == 1);
}

TEST_CASE("safetensors: replaces what a link points to and keeps its mode", "[io]") {
  const Folder folder;
  save(folder.file("real"), {});
  fs::permissions(folder.file("real"), fs::perms::owner_read | fs::perms::owner_write);
  fs::create_symlink("real", folder.file("link"));
  save(folder.file("link"), some_tensors());
  CHECK(fs::is_symlink(folder.file("link")));
  CHECK(load(folder.file("real")).tensors.size() == some_tensors().size());
  CHECK(fs::status(folder.file("real")).permissions() ==
        (fs::perms::owner_read | fs::perms::owner_write));
}

TEST_CASE("safetensors: refuses names that the format cannot hold", "[io]") {
  const Folder folder;
  const Tensor x = Tensor::zeros({1});
  const auto text = [&](const TensorMap& tensors, const Metadata& metadata = {}) {
    return error_of<ArgumentError>([&] { save(folder.file(), tensors, metadata); });
  };
  CHECK(contains(text({{"__metadata__", x}}), "reserves the tensor name __metadata__"));
  CHECK(contains(text({}, {{"__metadata__", ""}}), "reserves the metadata key __metadata__"));
  CHECK(contains(text({{"\xC0\x80", x}}), "not UTF-8"));
  CHECK(contains(text({}, {{"k", "\xFF"}}), "metadata of \"k\" is not UTF-8"));
  CHECK(contains(text({{"w", Tensor()}}), "tensor \"w\" is undefined"));
  CHECK(folder.entries() == 0);
}
