#include "nn/probe.h"

#include <atomic>
#include <cmath>
#include <map>

#include "core/tensor_impl.h"
#include "cpu/parallel.h"
#include "normlab/probe.h"

namespace normlab {

/// Shared with the closures on the tape: a backward pass may come after the probe's end.
struct Probe::State {
  int64_t every = 1;
  int64_t step = 0;
  uint64_t generation = 0;  ///< rises with clear(): closures of older records find nothing
  std::vector<NormRecord> records;
  std::map<const nn::Module*, std::string> names;
  std::shared_ptr<State> outer;
  std::atomic<bool> ended = false;  // on whatever thread, in whatever order

  const std::string& name_of(const nn::Module& layer) {
    const auto found = names.find(&layer);
    if (found != names.end()) return found->second;
    return names.emplace(&layer, "norm" + std::to_string(unnamed++)).first->second;
  }
  int unnamed = 0;
};

namespace {

thread_local std::shared_ptr<Probe::State> innermost;

/// The innermost probe that has not ended, or nullptr.
const std::shared_ptr<Probe::State>& active() {
  while (innermost && innermost->ended) innermost = innermost->outer;
  return innermost;
}

/// Sums over rows, kept a block of rows each so that threads do not change the order.
struct RowSums {
  double mean = 0, abs_mean = 0, var = 0, squares = 0;
  int64_t clipped = 0;

  void add(const RowSums& more) {
    mean += more.mean;
    abs_mean += more.abs_mean;
    var += more.var;
    squares += more.squares;
    clipped += more.clipped;
  }
};

/// Sums over the rows of x; z, if given, is what adanorm with scale C made of it. From a GPU their
/// values are fetched: probes look now and then only.
RowSums row_sums(const Tensor& given, int64_t H, const Tensor& given_z, float C) {
  const Tensor x = given.detach().to(Device::cpu);
  const Tensor z = given_z ? given_z.detach().to(Device::cpu) : Tensor();
  const ProbeKernels& kernels = probe_kernels_for_cpu();
  const int64_t rows = x.numel() / H;
  const int64_t block = std::max<int64_t>(1, 16384 / H);
  std::vector<RowSums> parts(static_cast<size_t>((rows + block - 1) / block));
  const float* px = x.data<float>();
  const float* pz = z.defined() ? z.data<float>() : nullptr;
  parallel_blocks(rows, block, H, [&](int64_t begin, int64_t end) {
    RowSums& sums = parts[static_cast<size_t>(begin / block)];
    for (int64_t r = begin; r < end; ++r) {
      double mean = 0, squares = 0;
      kernels.moments(px + r * H, H, &mean, &squares);
      const double n = static_cast<double>(H);
      sums.add({mean, std::abs(mean), squares / n, squares + n * mean * mean});
      if (pz)
        sums.clipped += kernels.clipped(px + r * H, pz + r * H, H, static_cast<float>(mean), C);
    }
  });
  RowSums total;
  for (const RowSums& part : parts) total.add(part);
  return total;
}

RowMoments moments_of(const RowSums& sums, int64_t rows) {
  const double n = rows > 0 ? static_cast<double>(rows) : 1;
  return {sums.mean / n, sums.abs_mean / n, sums.var / n, std::sqrt(sums.squares)};
}

/// x itself, whose gradient `see` is shown on its way back.
Tensor tap(const Tensor& x, std::function<void(const Tensor&)> see) {
  return record("probe", view_of(x, 0, x.shape()), {x},
                [see = std::move(see)](const Tensor& dz, Needs) -> Grads {
                  see(dz);
                  return {dz};
                });
}

}  // namespace

Probe::Probe(int64_t every) : state_(std::make_shared<State>()) {
  check<ArgumentError>(every >= 1, "Probe", "every must be at least 1, got ", every);
  state_->every = every;
  state_->outer = active();
  innermost = state_;
}

Probe::Probe(const nn::Module& model, int64_t every) : Probe(every) {
  for (const auto& [name, module] : model.named_modules()) state_->names[module.get()] = name;
}

Probe::~Probe() {
  state_->ended = true;
  active();  // frees what has ended on this thread
}

void Probe::next_step() {
  ++state_->step;
}
int64_t Probe::step() const {
  return state_->step;
}
const std::vector<NormRecord>& Probe::records() const {
  return state_->records;
}

void Probe::clear() {
  state_->records.clear();
  ++state_->generation;
}

RowMoments row_moments(const Tensor& x, int64_t row) {
  check(row >= 1 && x.numel() % row == 0, "row_moments", "rows of ", row,
        " elements do not divide x ", x.shape());
  const Tensor values = x.dtype() == DType::float32 ? x : x.detach().to(DType::float32);
  return moments_of(row_sums(values, row, {}, 0), x.numel() / row);
}

Tensor observed(const nn::Norm& layer, const Tensor& x,
                const std::function<Tensor(const Tensor&)>& forward) {
  const std::shared_ptr<Probe::State> state = active();
  if (!state || state->step % state->every != 0 || x.dtype() != DType::float32) return forward(x);
  const int64_t H = layer.size().numel(), rows = x.numel() / H;
  const size_t index = state->records.size();
  state->records.emplace_back();

  // Closures name their record by place and generation: clear() may have taken it away.
  const auto gradient_into = [state, index, generation = state->generation, H,
                              rows](RowMoments NormRecord::*field) {
    return [=](const Tensor& dz) {
      if (state->generation != generation) return;
      state->records[index].*field = moments_of(row_sums(dz, H, {}, 0), rows);
      state->records[index].has_gradient = true;
    };
  };
  const Tensor z =
      tap(forward(tap(x, gradient_into(&NormRecord::dx))), gradient_into(&NormRecord::dz));

  NormRecord& r = state->records[index];
  r.layer = state->name_of(layer);
  r.variant = std::string(layer.traits().name);
  r.step = state->step;
  const bool adaptive = layer.traits().output == Output::adaptive && layer.spec().settings.k > 0;
  const RowSums sums =
      row_sums(x, H, adaptive ? z.detach() : Tensor(), static_cast<float>(layer.spec().settings.C));
  r.x = moments_of(sums, rows);
  r.z = moments_of(row_sums(z, H, {}, 0), rows);
  r.clipped =
      x.numel() > 0 ? static_cast<double>(sums.clipped) / static_cast<double>(x.numel()) : 0;
  return z;
}

}  // namespace normlab
