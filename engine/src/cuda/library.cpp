#include "cuda/library.h"

#include <dlfcn.h>

#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <optional>

#include "core/tensor_impl.h"
#include "cuda/graph.h"
#include "cuda/interface_hash.h"
#include "cuda/lent.h"

namespace normlab::cuda {
namespace {

constexpr char kLibrary[] = "libnormlab_cuda.so";

/// In a child of the process that opened the GPU.
std::atomic<bool> the_gpu_is_lost{false};

/// The folder of the library or extension that this code is part of.
std::filesystem::path own_folder() {
  Dl_info info{};
  if (dladdr(reinterpret_cast<const void*>(&own_folder), &info) == 0 || !info.dli_fname) return {};
  return std::filesystem::path(info.dli_fname).parent_path();
}

struct Loaded {
  const Backend* backend = nullptr;
  Properties properties;
  std::string why_not;
};

Loaded failed(const std::string& why) {
  Loaded loaded;
  loaded.why_not = why;
  return loaded;
}

Loaded opened(const Backend* backend) {
  DeviceFacts facts{};
  if (const Failure failure = backend->open(&facts)) return failed(failure);
  Loaded loaded;
  loaded.backend = backend;
  loaded.properties = {facts.name, facts.major, facts.minor, facts.multiprocessors, facts.memory};
  return loaded;
}

/// Beside the engine in an installed tree and in Python's package, unless the environment says
/// where.
std::filesystem::path library_path() {
  const char* given = std::getenv("NORMLAB_CUDA_LIBRARY");
  return given ? std::filesystem::path(given) : own_folder() / kLibrary;
}

Loaded load() {
  const std::filesystem::path path = library_path();
  if (!std::filesystem::exists(path)) return failed("this build has no CUDA backend");
  void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!library) return failed(std::string("the CUDA backend cannot be loaded: ") + dlerror());
  const auto get = reinterpret_cast<GetBackend>(dlsym(library, kGetBackend));
  const Backend* backend = get ? get(kInterface) : nullptr;
  if (!backend) return failed(path.string() + " belongs to another version of normlab");
  return opened(backend);
}

/// Loaded once; never unloaded, since tensors in static variables may outlive every other static.
constinit std::atomic<const Loaded*> the_loaded{nullptr};
constinit std::mutex the_loading_lock;

const Loaded& loaded() {
  if (const Loaded* instance = the_loaded) return *instance;
  const std::lock_guard lock(the_loading_lock);
  if (!the_loaded) the_loaded = new Loaded(load());
  return *the_loaded;
}

/// Made before there can be a fork.
const std::string* const the_reason_of_loss = new std::string(
    "this process was forked from one that used the GPU, which CUDA does not survive; start "
    "processes anew instead, in Python by multiprocessing's 'spawn'");

std::atomic<bool> the_tf32{false};

}  // namespace

bool is_available() {
  return loaded().backend != nullptr && !the_gpu_is_lost;
}

const std::string& why_not() {
  return the_gpu_is_lost ? *the_reason_of_loss : loaded().why_not;
}

std::mutex& loading_lock() {
  return the_loading_lock;
}

void lose_gpu() {
  const Loaded* instance = the_loaded;
  if (instance && instance->backend) the_gpu_is_lost = true;
}

const Backend& opened_backend() {
  return *loaded().backend;
}

const Backend& backend() {
  check<DeviceError>(is_available(), "cuda", "device 'cuda' is not available: ", why_not());
  return opened_backend();
}

const Properties& properties() {
  backend();
  return loaded().properties;
}

void set_allow_tf32(bool allowed) {
  the_tf32 = allowed;
}

bool tf32_allowed() {
  return the_tf32;
}

void synchronize() {
  check_not_capturing("synchronize");
  call("synchronize", backend().synchronize);
  raise_fault();
  finish_lent(true);
}

void* data(const Tensor& x) {
  check<DeviceError>(x.device() == Device::cuda, "data", "the tensor must be on cuda, is on ",
                     x.device());
  return device_data(x);
}

void* native_stream() {
  return backend().stream->handle();
}

void let_wait(void* other) {
  check_not_capturing("let_wait");
  call("let_wait", backend().stream->let_wait, other);
}

void keep_for_others(const Tensor& x) noexcept {
  release_after_work([kept = x]() mutable { kept = Tensor(); }, true);
}

}  // namespace normlab::cuda
