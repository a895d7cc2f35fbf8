#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "normlab/io.h"
#include "normlab/tensor.h"

namespace normlab::optim {

template <class T>
struct AdamStep;
template <class T>
struct SgdStep;
struct Slot;

/// Updates float32 and float64 parameters from their gradients in one fused, parallel pass over all
/// of them. Parameters without a gradient are left alone. Sparse gradients (embedding) count as
/// zero on absent rows, so the numbers are those of the dense gradient. All parameters must be on
/// one device. The optimizer's state follows them through Module::to().
///
/// Parameters are in groups, which may differ in learning rate and options. The constructor makes
/// the first, add_group() the others.
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
  /// Groups with a rate of their own keep its ratio to this one. ArgumentError unless lr >= 0 and
  /// finite, or if there is no ratio since this one was 0.
  void set_lr(double lr);
  const std::vector<Tensor>& parameters() const { return parameters_; }
  /// Names of the parameters in the state: nn::parameter_name() when it was added, or its number.
  /// Equal names are told apart by "#2", "#3", ...
  const std::vector<std::string>& names() const { return names_; }

  /// A group's own rate, and the common rate at the time when it was set.
  struct OwnRate {
    double lr, beside;
  };
  size_t groups() const { return groups_.size(); }
  /// The group's rate. RangeError for a group that is not there.
  double lr(size_t group) const;
  const std::optional<OwnRate>& own_rate(size_t group) const;
  /// Gives the group a rate of its own. Its ratio to the common rate `beside`, by default the
  /// present one, stays. The rate of a single group is the common one.
  void set_lr(size_t group, double lr, std::optional<double> beside = std::nullopt);
  std::vector<Tensor> parameters(size_t group) const;

  /// State of each parameter by name ("0.weight.exp_avg", ...). With the parameters' values it is
  /// enough to resume a run. Learning rates are the schedule's and not part of it. It shares
  /// storage with the optimizer and follows it; with `copy` it does not.
  virtual TensorMap state(bool copy = false) const = 0;
  /// ArgumentError / ShapeError if names or shapes are not those of this optimizer. Those by number
  /// that earlier versions wrote are taken in order.
  virtual void load_state(const TensorMap& state) = 0;

 protected:
  /// ArgumentError for no parameters, one given twice, or one that requires no gradient; DtypeError
  /// unless float32 or float64.
  Optimizer(std::vector<Tensor> parameters, double lr);
  void add_parameters(const std::vector<Tensor>& parameters, std::optional<double> lr);
  size_t group_of(size_t parameter) const { return group_of_[parameter]; }
  /// The state of an earlier version under this version's names; any other state unchanged.
  TensorMap renamed(const TensorMap& given) const;

  std::vector<Tensor> parameters_;

 private:
  std::vector<std::string> names_;
  std::vector<size_t> group_of_;
  std::vector<std::optional<OwnRate>> groups_;
  double lr_;

 protected:
  /// Expires with the optimizer, for captured graphs.
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
  /// More parameters, with options and, unless they share the others', a rate of their own.
  void add_group(const std::vector<Tensor>& parameters, const SGDOptions& options,
                 std::optional<double> lr = std::nullopt);
  const SGDOptions& options(size_t group) const { return options_.at(group); }
  void step() override;
  TensorMap state(bool copy = false) const override;
  void load_state(const TensorMap& state) override;

 private:
  SgdStep<double> next_step(size_t parameter) const;
  void step_on_gpu(const std::vector<Slot>& slots);
  template <class T>
  void launch(const std::vector<Slot>& part);
  void add_options(const SGDOptions& options);
  std::vector<SGDOptions> options_;  ///< of each group
  std::vector<Tensor> momentum_;     ///< of each parameter; undefined where its group has none
};

struct AdamOptions {
  double beta1 = 0.9, beta2 = 0.999;
  double eps = 1e-8;
  double weight_decay = 0.0;  ///< Adam: added to the gradient; AdamW: decoupled
};
/// Kingma & Ba 2015, with bias correction. Each parameter counts its own steps, so that one whose
/// first gradient comes late starts like a new one.
class Adam : public Optimizer {
 public:
  Adam(std::vector<Tensor> parameters, double lr = 1e-3, const AdamOptions& options = {});
  /// More parameters, with options and, unless they share the others', a rate of their own.
  void add_group(const std::vector<Tensor>& parameters, const AdamOptions& options,
                 std::optional<double> lr = std::nullopt);
  const AdamOptions& options(size_t group) const { return options_.at(group); }
  void step() override;
  TensorMap state(bool copy = false) const override;
  void load_state(const TensorMap& state) override;

 protected:
  Adam(std::vector<Tensor> parameters, double lr, const AdamOptions& options, bool decoupled);

 private:
  AdamStep<double> next_step(size_t parameter) const;
  void step_on_gpu(const std::vector<Slot>& slots);
  template <class T>
  void launch(const std::vector<Slot>& part);
  void add_options(const AdamOptions& options);
  std::vector<AdamOptions> options_;  ///< of each group
  bool decoupled_ = false;
  // Of each parameter.
  std::vector<int64_t> steps_;
  std::vector<Tensor> exp_avg_, exp_avg_sq_;
};
/// Loshchilov & Hutter 2019: weight decay apart from the gradient.
class AdamW : public Adam {
 public:
  AdamW(std::vector<Tensor> parameters, double lr = 1e-3,
        const AdamOptions& options = {.weight_decay = 0.01});
};

/// Scales all gradients so that their joint Euclidean length is at most max_norm; returns the
/// length before, a float64 scalar on their device. ArgumentError unless max_norm > 0. Nothing is
/// changed if the length is not finite: on the CPU that is a GradError; on a GPU nothing waits for
/// the length, and what is returned shows it.
Tensor clip_grad_norm(const std::vector<Tensor>& parameters, double max_norm);

/// Learning rate as a function of the step number, which starts at 1. Each factory: ArgumentError
/// for negative rates or step counts.
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
