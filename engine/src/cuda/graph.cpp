#include "cuda/graph.h"

#include <atomic>
#include <unordered_set>
#include <vector>

#include "core/allocator.h"
#include "core/tensor_impl.h"
#include "cuda/lent.h"
#include "cuda/library.h"

namespace normlab::cuda {
namespace {

constexpr int64_t kWords = StreamFunctions::kMostWritten;
constexpr int64_t kSlot = 16;  ///< each value's place is a multiple of it

/// A value that is written before each replay.
struct Slot {
  int64_t at;
  Replayed value;
};

/// A generator that captured kernels draw from.
struct Drawn {
  Generator* own;  ///< null: the default one of the thread that replays
  std::weak_ptr<const bool> alive;
  uint64_t seed, begin, blocks;
  Tensor word;
  bool gone() const { return own && alive.expired(); }
  Generator& generator(const char* op) const {
    check<ArgumentError>(
        !gone(), op,
        "a generator that the captured work draws from is gone; keep it as long as "
        "the graph");
    return own ? *own : default_generator();
  }
};

std::atomic<bool> some_thread_captures = false;

}  // namespace

/// A graph, and what must happen around its replays.
struct Recording {
  std::function<void()> body;
  GpuPool pool;
  Tensor words;  ///< on the device: what is written before each replay
  int64_t used = 0;
  std::vector<Slot> slots;
  std::vector<Drawn> drawn;
  std::unordered_set<std::shared_ptr<TensorImpl>> leaves;  ///< that got gradients, while capturing
  void* graph = nullptr;

  ~Recording() {
    // A replay may be under way, and any thread may capture another graph.
    if (graph) release_after_work([graph = graph] { opened_backend().stream->destroy(graph); });
  }

  Tensor slot(int64_t bytes, Replayed value) {
    const int64_t at = used;
    check<DeviceError>(at + bytes <= kWords, "capture",
                       "a graph has room for so many optimizers and generators only: ", kWords,
                       " bytes");
    used += (bytes + kSlot - 1) / kSlot * kSlot;
    slots.push_back({at, std::move(value)});
    return view_of(words, at, {bytes});
  }

  Tensor offset_of(Generator& generator) {
    Generator* own = &generator == &default_generator() ? nullptr : &generator;
    for (const Drawn& d : drawn)
      if (d.own == own && !d.gone()) return d.word;
    const size_t i = drawn.size();
    const auto write = [this, i](void* to) {
      const uint64_t further = drawn[i].generator("replay").offset() - drawn[i].begin;
      std::memcpy(to, &further, sizeof further);
    };
    const auto done = [this, i] { drawn[i].generator("replay").advance(drawn[i].blocks); };
    const Tensor word = slot(sizeof(uint64_t), {[] {}, write, done});
    drawn.push_back({own, generator.alive(), generator.seed(), generator.offset(), 0, word});
    return word;
  }

  /// Nothing has run: generators stand where they stood.
  void rewind_generators() {
    for (Drawn& d : drawn) {
      if (d.gone()) continue;
      Generator& generator = d.generator("capture");
      d.blocks = generator.offset() - d.begin;
      generator.set_state(d.seed, d.begin);
    }
  }
};

namespace {

thread_local Recording* current = nullptr;

}  // namespace

bool is_capturing() {
  return current != nullptr;
}

bool a_thread_captures() {
  return some_thread_captures.load(std::memory_order_relaxed);
}

void check_not_capturing(const char* op) {
  check<DeviceError>(!current, op,
                     "a capture has no values yet: results cannot be read, and values from the CPU "
                     "would be the same in each replay. Do it outside of the graph");
}

void check_stream_is_free(const char* op) {
  check<DeviceError>(current || !a_thread_captures(), op, "another thread captures a graph");
}

const void* at_replay(int64_t bytes, Replayed value) {
  return current ? device_data(current->slot(bytes, std::move(value))) : nullptr;
}

Tensor replay_offset(Generator& generator) {
  return current ? current->offset_of(generator) : Tensor();
}

void on_leaf_gradient(const std::shared_ptr<TensorImpl>& leaf) {
  if (!current) return;
  const bool first = current->leaves.insert(leaf).second;
  check<GradError>(!first || !leaf->grad.defined(), "backward", "the gradient of a leaf of shape ",
                   leaf->shape, " was there before the capture; zero_grad() must come first in it");
}

namespace {

/// While it lives, this thread captures.
class Capture {
 public:
  explicit Capture(Recording& recording) : recording_(recording), use_(recording.pool) {
    check<DeviceError>(!some_thread_captures.exchange(true), "capture",
                       "another capture is under way");
    current = &recording_;
    if (const Failure failure = backend().stream->begin_capture()) {
      leave();
      fail<DeviceError>("capture", failure);
    }
  }
  ~Capture() {
    if (!current) return;
    opened_backend().stream->abort_capture();
    for (const auto& leaf : recording_.leaves) leaf->grad = {};  // never computed
    leave();
  }
  Capture(const Capture&) = delete;
  Capture& operator=(const Capture&) = delete;

  void finish() {
    for (const Drawn& d : recording_.drawn) d.generator("capture");
    call("capture", backend().stream->end_capture, &recording_.graph);
    leave();
  }

 private:
  void leave() {
    current = nullptr;
    some_thread_captures = false;
    recording_.rewind_generators();
    recording_.leaves.clear();
  }
  Recording& recording_;
  GpuPool::Use use_;
};

}  // namespace

Graph::Graph() = default;
Graph::~Graph() = default;
Graph::Graph(Graph&&) noexcept = default;
Graph& Graph::operator=(Graph&&) noexcept = default;

void Graph::capture(std::function<void()> body) {
  backend();
  check<DeviceError>(!is_capturing(), "capture", "a graph cannot be captured within another");
  recording_ = nullptr;
  empty_cache();  // a capture cannot, and finds no memory where gigabytes are cached
  auto recording = std::make_unique<Recording>();
  recording->words = Tensor::empty({kWords}, DType::uint8, Device::cuda);
  recording->body = std::move(body);
  {
    Capture capture(*recording);
    recording->body();
    capture.finish();
  }
  recording_ = std::move(recording);
}

void Graph::replay() {
  check<ArgumentError>(recording_ != nullptr, "replay", "nothing is captured");
  check_not_capturing("replay");
  Recording& r = *recording_;
  for (const Drawn& d : r.drawn) {
    const uint64_t seed = d.generator("replay").seed();
    check<ArgumentError>(seed == d.seed, "replay", "the random numbers' seed was ", d.seed,
                         " at the capture, is ", seed, "; capture again");
  }
  check_stream_is_free("replay");
  if (r.used > 0) {
    alignas(kSlot) char words[kWords] = {};
    // What throws does so before anything has changed.
    for (const Slot& slot : r.slots) slot.value.check();
    for (const Slot& slot : r.slots) {
      slot.value.write(words + slot.at);
      slot.value.done();  // an optimizer's next step in the same graph goes on from here
    }
    call("replay", backend().stream->write, device_data(r.words), words, r.used);
  }
  call("replay", backend().stream->replay, r.graph);
}

}  // namespace normlab::cuda
