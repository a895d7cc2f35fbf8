#include <cmath>

#include "core/tensor_impl.h"
#include "normlab/optim.h"
#include "optim/kernels.h"
#include "optim/optim_cuda.h"
#include "optim/update.h"

namespace normlab::optim {
namespace {

/// What the parameters' gradients hold: dense tensors, or the values of sparse rows.
std::vector<Tensor> gradients_of(const std::vector<Tensor>& parameters) {
  std::vector<Tensor> gradients;
  for (const Tensor& parameter : parameters) {
    const std::shared_ptr<const SparseRows> sparse = parameter.sparse_grad();
    const Tensor gradient = sparse ? sparse->values : parameter.grad();
    if (gradient) gradients.push_back(gradient);
  }
  return gradients;
}

double square_sum(const Tensor& x, int64_t begin, int64_t n) {
  if (x.dtype() == DType::float32)
    return optim_kernels_for_cpu().square_sum(x.data<float>() + begin, n);
  const double* p = x.data<double>() + begin;
  double sum = 0;
  for (int64_t i = 0; i < n; ++i) sum += p[i] * p[i];
  return sum;
}

void scale(Tensor x, int64_t begin, int64_t n, double factor) {
  if (x.dtype() == DType::float32)
    return optim_kernels_for_cpu().scale(x.data<float>() + begin, static_cast<float>(factor), n);
  double* p = x.data<double>() + begin;
  for (int64_t i = 0; i < n; ++i) p[i] *= factor;
}

Tensor clip_on_cpu(std::vector<Tensor>& gradients, double max_norm) {
  std::vector<int64_t> sizes;
  for (const Tensor& gradient : gradients) sizes.push_back(gradient.numel());
  const std::vector<Chunk> chunks = chunks_of(sizes);
  const int64_t count = static_cast<int64_t>(chunks.size());

  std::vector<double> sums(chunks.size());
  parallel_for(count, kChunk, [&](int64_t i) {
    const Chunk& chunk = chunks[static_cast<size_t>(i)];
    sums[static_cast<size_t>(i)] = square_sum(gradients[chunk.owner], chunk.begin, chunk.n);
  });
  double total = 0;
  for (const double sum : sums) total += sum;
  const double norm = std::sqrt(total);
  check<GradError>(std::isfinite(norm), "clip_grad_norm",
                   "the gradients' length must be finite, got ", norm);
  if (norm > max_norm)
    parallel_for(count, kChunk, [&](int64_t i) {
      const Chunk& chunk = chunks[static_cast<size_t>(i)];
      scale(gradients[chunk.owner], chunk.begin, chunk.n, max_norm / norm);
    });
  return Tensor::scalar(norm, DType::float64);
}

Tensor clip_on_gpu(const std::vector<Tensor>& gradients, double max_norm) {
  std::vector<cuda::ClipTensor> tensors;
  for (const Tensor& g : gradients)
    if (g.numel() > 0) tensors.push_back({device_data(g), g.numel(), g.dtype()});
  if (tensors.empty()) return Tensor::zeros({}, DType::float64, Device::cuda);
  const cuda::OptimFunctions& optim = *cuda::backend().optim;
  const auto count = static_cast<int64_t>(tensors.size());
  const Tensor parts = Tensor::empty({optim.clip_parts(count)}, DType::float64, Device::cuda);
  const Tensor norm = Tensor::empty({}, DType::float64, Device::cuda);
  cuda::call("clip_grad_norm", optim.clip, tensors.data(), count, max_norm,
             static_cast<double*>(device_data(parts)), static_cast<double*>(device_data(norm)));
  return norm;
}

}  // namespace

Tensor clip_grad_norm(const std::vector<Tensor>& parameters, double max_norm) {
  check<ArgumentError>(max_norm > 0, "clip_grad_norm", "max_norm must be positive, got ", max_norm);
  std::vector<Tensor> gradients = gradients_of(parameters);
  for (const Tensor& gradient : gradients)
    check<DtypeError>(gradient.dtype() != DType::bfloat16, "clip_grad_norm",
                      "gradients must be float32 or float64, got bfloat16");
  const Device device = device_of("clip_grad_norm", "gradient", gradients);
  const Tensor norm =
      device == Device::cuda ? clip_on_gpu(gradients, max_norm) : clip_on_cpu(gradients, max_norm);
  for (Tensor& gradient : gradients) gradient.bump_version();
  return norm;
}

}  // namespace normlab::optim
