#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "normlab/io.h"
#include "normlab/tensor.h"

namespace normlab::optim {

struct AdamStep;
struct SgdStep;

/// Updates float32 parameters from their gradients in one fused, parallel pass over all of them.
/// Parameters without a gradient are left alone. Sparse gradients (embedding) count as zero on
/// absent rows, so the numbers are those of the dense gradient. All parameters must be on one
/// device; what is kept of them follows where Module::to() takes them.
class Optimizer {
 public:
  virtual ~Optimizer() = default;
  Optimizer(const Optimizer&) = delete;
  Optimizer& operator=(const Optimizer&) = delete;
  /// One update. GradError if a gradient's shape is not its parameter's, DeviceError if one is
  /// elsewhere than the others.
  virtual void step() = 0;
  void zero_grad();

  double lr() const { return lr_; }
  /// ValueError unless lr >= 0 and finite.
  void set_lr(double lr);
  const std::vector<Tensor>& parameters() const { return parameters_; }

  /// Moments and step count by name ("step", "0.exp_avg", ...): with the parameters' values, all
  /// that an unbroken run would have. The learning rate is the schedule's and not part of it.
  virtual TensorMap state() const = 0;
  /// ValueError / ShapeError if names or shapes are not those of this optimizer.
  virtual void load_state(const TensorMap& state) = 0;

 protected:
  /// ValueError for no parameters, one given twice, or one that requires no gradient; DtypeError
  /// unless float32.
  Optimizer(std::vector<Tensor> parameters, double lr);
  std::vector<Tensor> parameters_;
  double lr_;
  /// Tells captured graphs that the optimizer is still there.
  std::shared_ptr<const bool> alive_ = std::make_shared<const bool>(true);
};

struct SGDOptions {
  double momentum = 0.0;
  bool nesterov = false;
  double weight_decay = 0.0;  ///< added to the gradient (L2)
};
class SGD : public Optimizer {
 public:
  SGD(std::vector<Tensor> parameters, double lr, const SGDOptions& options = {});
  void step() override;
  TensorMap state() const override;
  void load_state(const TensorMap& state) override;

 private:
  SgdStep next_step() const;
  void step_on_gpu();
  SGDOptions options_;
  std::vector<Tensor> momentum_;
};

struct AdamOptions {
  double beta1 = 0.9, beta2 = 0.999;
  double eps = 1e-8;
  double weight_decay = 0.0;  ///< Adam: added to the gradient; AdamW: decoupled
};
/// Kingma & Ba 2015, with bias correction.
class Adam : public Optimizer {
 public:
  Adam(std::vector<Tensor> parameters, double lr = 1e-3, const AdamOptions& options = {});
  void step() override;
  TensorMap state() const override;
  void load_state(const TensorMap& state) override;

 protected:
  Adam(std::vector<Tensor> parameters, double lr, const AdamOptions& options, bool decoupled);

 private:
  AdamStep next_step() const;
  void step_on_gpu();
  AdamOptions options_;
  bool decoupled_ = false;
  int64_t step_ = 0;
  std::vector<Tensor> exp_avg_, exp_avg_sq_;
};
/// Loshchilov & Hutter 2019: weight decay apart from the gradient.
class AdamW : public Adam {
 public:
  AdamW(std::vector<Tensor> parameters, double lr = 1e-3,
        const AdamOptions& options = {.weight_decay = 0.01});
};

/// Scales all gradients so that their joint Euclidean length is at most max_norm; returns the
/// length before, a float64 scalar on their device. ValueError unless max_norm > 0. Nothing is
/// changed if the length is not finite: on the CPU that is a GradError; on a GPU nothing waits for
/// the length, and what is returned shows it.
Tensor clip_grad_norm(const std::vector<Tensor>& parameters, double max_norm);

/// Learning rate as a function of the step number, which starts at 1. Each factory: ValueError for
/// negative rates or step counts.
using Schedule = std::function<double(int64_t step)>;
Schedule constant(double lr);
/// Rises from 0 to lr over `warmup` steps, then stays.
Schedule linear_warmup(double lr, int64_t warmup);
/// Rises from `initial` to lr over `warmup` steps, then lr sqrt(warmup / step) (Vaswani et al.
/// 2017).
Schedule inverse_sqrt(double lr, int64_t warmup, double initial = 0.0);
/// After a linear warm-up, half a cosine from lr down to `final` at `total` steps, then `final`.
Schedule cosine(double lr, int64_t total, int64_t warmup = 0, double final = 0.0);

}  // namespace normlab::optim
