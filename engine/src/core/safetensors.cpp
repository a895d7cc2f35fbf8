#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <tuple>
#include <vector>

#include "core/file.h"
#include "core/json.h"
#include "core/state.h"
#include "core/tensor_impl.h"
#include "normlab/io.h"

// The format (github.com/huggingface/safetensors): a 64-bit header length, a JSON header
// {"name": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}, ..., "__metadata__": {...}},
// and the tensors' bytes one after the other; all little-endian.
static_assert(std::endian::native == std::endian::little);

namespace normlab {
namespace {

constexpr int64_t kPrefix = 8;
constexpr int64_t kMaxHeader = 100'000'000;
constexpr char kMetadata[] = "__metadata__";

/// A float16 as the float32 of the same value.
struct Half {
  uint16_t bits;
  explicit operator float() const {
    const uint32_t sign = uint32_t{bits} >> 15 << 31, rest = bits & 0x7fffu;
    if (rest >= 0x7c00) return std::bit_cast<float>(sign | 0x7f800000u | (rest & 0x3ffu) << 13);
    if (rest >= 0x0400) return std::bit_cast<float>(sign | ((rest << 13) + (112u << 23)));
    const float small = static_cast<float>(rest) * 0x1p-24f;
    return sign ? -small : small;
  }
};

template <class From, class To>
void widen(const void* from, void* to, int64_t n) {
  const auto* bytes = static_cast<const char*>(from);
  for (int64_t i = 0; i < n; ++i) {
    From x;
    std::memcpy(&x, bytes + i * static_cast<int64_t>(sizeof x), sizeof x);
    static_cast<To*>(to)[i] = static_cast<To>(x);
  }
}

struct Format {
  DType dtype;
  std::string_view name;
  int64_t size;  ///< bytes of an element in the file
  /// Makes the engine's elements of others that it lacks; null for its own.
  void (*widen)(const void* from, void* to, int64_t n) = nullptr;
};
/// The engine's own, in the order in which the reference implementation lays tensors out, which
/// keeps them aligned; then those that are read alone.
constexpr Format kFormats[] = {
    {DType::int64, "I64", 8},
    {DType::float64, "F64", 8},
    {DType::float32, "F32", 4},
    {DType::int32, "I32", 4},
    {DType::bfloat16, "BF16", 2},
    {DType::uint8, "U8", 1},
    {DType::boolean, "BOOL", 1},
    {DType::float32, "F16", 2, widen<Half, float>},
    {DType::int32, "I8", 1, widen<int8_t, int32_t>},
    {DType::int32, "I16", 2, widen<int16_t, int32_t>},
    {DType::int32, "U16", 2, widen<uint16_t, int32_t>},
    {DType::int64, "U32", 4, widen<uint32_t, int64_t>},
    {DType::int64, "U64", 8, widen<uint64_t, int64_t>},
};

const Format* format_of(DType dtype) {
  return std::ranges::find(kFormats, dtype, &Format::dtype);
}

std::string known_formats() {
  std::string names;
  for (const Format& format : kFormats) names.append(names.empty() ? "" : ", ").append(format.name);
  return names;
}

// --- saving -----------------------------------------------------------------------------------

using Named = TensorMap::value_type;

void check_name(const char* what, const std::string& name) {
  check<ArgumentError>(name != kMetadata, "save", "the format reserves the ", what, " ", kMetadata);
  check<ArgumentError>(is_utf8(name), "save", "the ", what, " ", json_excerpt(name),
                       " is not UTF-8");
}

void check_savable(const TensorMap& tensors, const Metadata& metadata) {
  for (const auto& [name, tensor] : tensors) {
    check_name("tensor name", name);
    check<ArgumentError>(tensor.defined(), "save", "tensor ", json_excerpt(name), " is undefined");
  }
  for (const auto& [key, text] : metadata) {
    check_name("metadata key", key);
    check<ArgumentError>(is_utf8(text), "save", "the metadata of ", json_excerpt(key),
                         " is not UTF-8");
  }
}

std::vector<const Named*> in_file_order(const TensorMap& tensors) {
  std::vector<const Named*> order;
  for (const Named& named : tensors) order.push_back(&named);
  std::ranges::stable_sort(order, {}, [](const Named* n) { return format_of(n->second.dtype()); });
  return order;
}

/// Puts `"key":value` after what is there.
void append_member(std::string& json, const std::string& key, const std::string& value) {
  if (json.back() != '{') json += ',';
  json.append(json_quoted(key)).append(":").append(value);
}

std::string metadata_json(const Metadata& metadata) {
  std::string json = "{";
  for (const auto& [key, text] : metadata) append_member(json, key, json_quoted(text));
  return json += '}';
}

std::string tensor_json(const Tensor& x, int64_t begin) {
  std::ostringstream json;
  json << "{\"dtype\":\"" << format_of(x.dtype())->name << "\",\"shape\":[";
  for (int axis = 0; axis < x.rank(); ++axis) json << (axis > 0 ? "," : "") << x.size(axis);
  json << "],\"data_offsets\":[" << begin << "," << begin + x.nbytes() << "]}";
  return json.str();
}

std::string header_json(const std::vector<const Named*>& order, const Metadata& metadata) {
  std::string json = "{";
  if (!metadata.empty()) append_member(json, kMetadata, metadata_json(metadata));
  int64_t begin = 0;
  for (const Named* named : order) {
    append_member(json, named->first, tensor_json(named->second, begin));
    begin += named->second.nbytes();
  }
  json += '}';
  json.append((kPrefix - json.size() % kPrefix) % kPrefix, ' ');  // aligns what follows
  return json;
}

// --- loading ----------------------------------------------------------------------------------

struct Entry {
  std::string name;
  const Format* format = nullptr;
  Shape shape;
  int64_t begin = 0, end = 0;
};

std::string shown_tensor(const std::string& name) {
  return std::string("tensor ").append(json_excerpt(name));
}

std::string header_of(const InputFile& file) {
  file.check(file.size() >= kPrefix, "has ", file.size(),
             " bytes, too few for the header's length");
  std::array<char, kPrefix> first{};
  file.read(0, first.data(), kPrefix);
  const auto length = std::bit_cast<uint64_t>(first);
  // What other formats begin with is no length that a header may have.
  const bool fits = length <= static_cast<uint64_t>(kMaxHeader);
  file.check(fits || !std::string_view(first.data(), kPrefix).starts_with("PK\3\4"),
             "is no safetensors file but a zip archive, as PyTorch's own format is; Python's "
             "nl.load reads that, or write it there with "
             "safetensors.torch.save_file(net.state_dict(), path)");
  file.check(fits || !std::string_view(first.data(), kPrefix).starts_with("\x80\2\x8a\nl\xfc\x9c"),
             "is a file of PyTorch's format before 1.6; read it there and save it anew with "
             "torch.save(state, path), whose archives Python's nl.load reads");
  file.check(fits, "is no safetensors file: it does not begin with the length of a header");
  file.check(static_cast<int64_t>(length) <= file.size() - kPrefix, "the header claims ", length,
             " bytes, the file has ", file.size() - kPrefix, " for it");
  std::string header(length, '\0');
  file.read(kPrefix, header.data(), static_cast<int64_t>(length));
  file.check(header.starts_with('{'), "is no safetensors file: its header does not begin with '{'");
  return header;
}

Entry read_entry(const InputFile& file, JsonReader& json, const std::string& name) {
  const std::string who = shown_tensor(name);
  Entry entry;
  entry.name = name;
  int fields = 0, offsets = 0;
  json.object([&](const std::string& field) {
    ++fields;
    if (field == "dtype") {
      const std::string dtype = json.string();
      entry.format = std::ranges::find(kFormats, dtype, &Format::name);
      file.check(entry.format != std::end(kFormats), who, " has the dtype ", json_excerpt(dtype),
                 ", known are ", known_formats());
    } else if (field == "shape") {
      json.array([&] {
        file.check(entry.shape.rank() < Shape::kMaxRank, who, " has more than ", Shape::kMaxRank,
                   " axes");
        entry.shape.push_back(json.count());
      });
    } else {
      file.check(field == "data_offsets", who, " has the unknown field ", json_excerpt(field));
      json.array([&] {
        file.check(offsets < 2, who, " has more than two data_offsets");
        (offsets++ == 0 ? entry.begin : entry.end) = json.count();
      });
    }
  });
  file.check(fields == 3 && offsets == 2, who, " must have dtype, shape and two data_offsets");
  return entry;
}

std::vector<Entry> read_header(const InputFile& file, const std::string& header,
                               Metadata& metadata) {
  std::vector<Entry> entries;
  JsonReader json(header);
  try {
    json.object([&](const std::string& name) {
      if (name != kMetadata)
        entries.push_back(read_entry(file, json, name));
      else
        json.object([&](const std::string& key) { metadata[key] = json.string(); });
    });
    json.end();
  } catch (const JsonError& error) {
    file.check(false, "bad header: ", error.what());
  }
  return entries;
}

/// The tensors' bytes must fit their shapes and fill `bytes` without overlap or hole.
void check_layout(const InputFile& file, std::vector<Entry>& entries, int64_t bytes) {
  std::ranges::sort(entries, {}, [](const Entry& e) { return std::tie(e.begin, e.end); });
  int64_t at = 0;
  for (const Entry& e : entries) {
    const std::string who = shown_tensor(e.name);
    file.check(e.begin <= e.end && e.end <= bytes, who, " has the data_offsets [", e.begin, ", ",
               e.end, "], the file has ", bytes, " bytes of data");
    file.check(e.begin >= at, who, " begins at ", e.begin, " and overlaps the one before, to ", at);
    file.check(e.begin == at, who, " begins at ", e.begin, " and leaves a hole from ", at, " on");
    // A widened tensor may be too large where its file is not.
    const bool fits = bytes_of(e.shape, size_of(e.format->dtype)).has_value() &&
                      bytes_of(e.shape, e.format->size) == e.end - e.begin;
    file.check(fits, who, " of shape ", e.shape, " and dtype ", e.format->name,
               " does not fit its ", e.end - e.begin, " bytes");
    at = e.end;
  }
  file.check(at == bytes, "has ", bytes, " bytes of data, its tensors ", at);
}

/// Fills x with elements of a type that is not its own.
Tensor read_widened(const InputFile& file, const Entry& entry, int64_t data, Tensor x) {
  constexpr int64_t kBlock = 1 << 16;
  std::vector<char> block(static_cast<size_t>(kBlock * entry.format->size));
  for (int64_t at = 0; at < x.numel(); at += kBlock) {
    const int64_t n = std::min(kBlock, x.numel() - at);
    file.read(data + entry.begin + at * entry.format->size, block.data(), n * entry.format->size);
    entry.format->widen(block.data(), static_cast<char*>(x.raw()) + at * size_of(x.dtype()), n);
  }
  if (entry.format->name != "U64") return x;
  const int64_t* values = x.data<int64_t>();
  file.check(std::all_of(values, values + x.numel(), [](int64_t v) { return v >= 0; }),
             shown_tensor(entry.name), " of dtype U64 has numbers that int64 cannot hold");
  return x;
}

Tensor read_tensor(const InputFile& file, const Entry& entry, int64_t data) {
  Tensor x = Tensor::empty(entry.shape, entry.format->dtype);
  if (entry.format->widen) return read_widened(file, entry, data, x);
  file.read(data + entry.begin, x.raw(), x.nbytes());
  if (x.dtype() != DType::boolean) return x;
  const uint8_t* bytes = static_cast<const uint8_t*>(x.raw());
  file.check(std::all_of(bytes, bytes + x.numel(), [](uint8_t b) { return b <= 1; }),
             shown_tensor(entry.name), " of dtype BOOL has bytes that are neither 0 nor 1");
  return x;
}

}  // namespace

void save(const std::string& path, const TensorMap& tensors, const Metadata& metadata,
          bool allow_nonfinite) {
  check_savable(tensors, metadata);
  const std::vector<const Named*> order = in_file_order(tensors);
  const std::string header = header_json(order, metadata);
  const uint64_t length = header.size();
  check<ArgumentError>(length <= static_cast<uint64_t>(kMaxHeader), "save",
                       "names, shapes and metadata must fit into ", kMaxHeader,
                       " bytes, they take ", length);
  OutputFile file("save", path);
  file.write(&length, kPrefix);
  file.write(header.data(), static_cast<int64_t>(length));
  for (const Named* named : order) {
    const Tensor x = named->second.detach().to(Device::cpu);
    const bool parameter = named->second.requires_grad() && named->second.is_leaf();
    if (parameter && !allow_nonfinite) check_finite("save", named->first, x);
    file.write(x.raw(), x.nbytes());
  }
  file.commit();
}

TensorFile load(const std::string& path, Device device) {
  const InputFile file("load", path);
  TensorFile result;
  const std::string header = header_of(file);
  const int64_t data = kPrefix + static_cast<int64_t>(header.size());
  std::vector<Entry> entries = read_header(file, header, result.metadata);
  check_layout(file, entries, file.size() - data);
  for (const Entry& entry : entries)
    result.tensors[entry.name] = read_tensor(file, entry, data).to(device);
  return result;
}

}  // namespace normlab
