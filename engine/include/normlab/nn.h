#pragma once

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "normlab/io.h"
#include "normlab/norm.h"
#include "normlab/ops.h"

namespace normlab::nn {

/// A part of a network: named parameters, named buffers (state that is saved but not trained) and
/// named submodules. Dotted names ("0.weight") reach into submodules, in order of registration.
class Module : public std::enable_shared_from_this<Module> {
 public:
  virtual ~Module() = default;
  virtual Tensor forward(const Tensor& x) = 0;
  Tensor operator()(const Tensor& x) { return forward(x); }

  /// Each parameter once, even if two modules share it. See parameter_name().
  std::vector<std::pair<std::string, Tensor>> named_parameters() const;
  std::vector<Tensor> parameters() const;
  std::vector<std::pair<std::string, Tensor>> named_buffers() const;
  std::vector<std::pair<std::string, std::shared_ptr<Module>>> named_modules() const;
  /// Direct submodules, in order of registration.
  const std::vector<std::pair<std::string, std::shared_ptr<Module>>>& children() const {
    return modules_;
  }
  /// Direct parameters and buffers, in order of registration.
  const std::vector<std::pair<std::string, Tensor>>& own_parameters() const { return parameters_; }
  const std::vector<std::pair<std::string, Tensor>>& own_buffers() const { return buffers_; }
  int64_t num_parameters() const;

  bool training() const { return training_; }
  /// Switches dropout and batch statistics on or off, here and in all submodules.
  void train(bool on = true);
  void eval() { train(false); }
  void zero_grad();
  /// Moves parameters, their gradients, and buffers to a device, here and in all submodules. The
  /// tensors stay the same objects, so optimizers and others that hold them follow. Tensors that
  /// share their storage do not move. DeviceError or OutOfMemoryError before anything is moved.
  void to(Device device);
  /// Converts floating parameters, their gradients, and buffers to float32, float64 or bfloat16 in
  /// the same way; with bfloat16, buffers to float32. DtypeError for another type.
  void to(DType dtype);

  /// Parameters and buffers by dotted name. They share storage with the module and follow its
  /// training; with `copy` they are detached copies, which stay as they are.
  TensorMap state(bool copy = false) const;
  /// Copies values in: all or, on an error, none. ArgumentError listing missing and unexpected
  /// names, or naming a tensor that is not finite, unless `allow_nonfinite`; ShapeError,
  /// DtypeError.
  void load_state(const TensorMap& state, bool allow_nonfinite = false);

  /// Makes a tensor / module part of this one, replacing one of the same name. ArgumentError for a
  /// name that is empty or has a dot. register_parameter marks the leaf as requiring gradients.
  Tensor register_parameter(const std::string& name, Tensor value);
  Tensor register_buffer(const std::string& name, Tensor value);
  std::shared_ptr<Module> register_module(const std::string& name, std::shared_ptr<Module> module);
  /// Takes a parameter, buffer or module out again; false if there is none of that name.
  bool unregister(const std::string& name);

 protected:
  /// Called before a tensor or module is registered: a class that keeps its parts as members takes
  /// the new one over here, or throws if it does not fit.
  virtual void on_register(const std::string& name, const Tensor& value);
  virtual void on_register(const std::string& name, const std::shared_ptr<Module>& module);

 private:
  template <class Visit>
  void walk(const std::string& prefix, const Visit& visit) const;
  using NamedTensors = std::vector<std::pair<std::string, Tensor>>;
  NamedTensors list(NamedTensors Module::*of) const;
  std::vector<std::pair<std::string, Tensor>> parameters_, buffers_;
  std::vector<std::pair<std::string, std::shared_ptr<Module>>> modules_;
  bool training_ = true;
};

/// Name of a parameter in the outermost module that registered or listed it; empty if there is
/// none. Optimizers keep their state by these names.
std::string parameter_name(const Tensor& parameter);
/// Sets parameter_name().
void name_parameter(const Tensor& parameter, const std::string& name);

/// act(x W^T + b). Weights uniform in +-1/sqrt(in), as PyTorch's default, from this thread's
/// generator.
class Linear : public Module {
 public:
  Linear(int64_t in, int64_t out, bool bias = true, Activation activation = Activation::none);
  Tensor forward(const Tensor& x) override;
  Activation activation() const { return activation_; }
  Tensor weight, bias;  ///< [out, in]; [out] or undefined

 private:
  using Module::on_register;
  void on_register(const std::string& name, const Tensor& value) override;
  Activation activation_;
};

/// conv2d with weights uniform in +-1/sqrt(in / groups * kh * kw).
class Conv2d : public Module {
 public:
  Conv2d(int64_t in, int64_t out, std::pair<int64_t, int64_t> kernel,
         const Conv2dOptions& options = {}, bool bias = true);
  Tensor forward(const Tensor& x) override;
  const Conv2dOptions& options() const { return options_; }
  Tensor weight, bias;  ///< [out, in / groups, kh, kw]; [out] or undefined

 private:
  using Module::on_register;
  void on_register(const std::string& name, const Tensor& value) override;
  Conv2dOptions options_;
};

class MaxPool2d : public Module {
 public:
  explicit MaxPool2d(const Pool2dOptions& options = {}) : options_(options) {}
  Tensor forward(const Tensor& x) override { return max_pool2d(x, options_); }
  const Pool2dOptions& options() const { return options_; }

 private:
  Pool2dOptions options_;
};

class AvgPool2d : public Module {
 public:
  explicit AvgPool2d(const Pool2dOptions& options = {}) : options_(options) {}
  Tensor forward(const Tensor& x) override { return avg_pool2d(x, options_); }
  const Pool2dOptions& options() const { return options_; }

 private:
  Pool2dOptions options_;
};

/// A table of vectors, normal(0, 1); row `padding_index` is zero and stays so.
class Embedding : public Module {
 public:
  Embedding(int64_t count, int64_t size, std::optional<int64_t> padding_index = std::nullopt);
  Tensor forward(const Tensor& index) override;
  std::optional<int64_t> padding_index() const { return padding_index_; }
  Tensor weight;  ///< [count, size]

 private:
  using Module::on_register;
  void on_register(const std::string& name, const Tensor& value) override;
  std::optional<int64_t> padding_index_;
};

class Dropout : public Module {
 public:
  explicit Dropout(double p = 0.5);
  Tensor forward(const Tensor& x) override { return dropout(x, p_, training()); }
  double p() const { return p_; }

 private:
  double p_;
};

/// An activation as a module.
class Activate : public Module {
 public:
  explicit Activate(Activation activation) : activation_(activation) {}
  Tensor forward(const Tensor& x) override;
  Activation activation() const { return activation_; }

 private:
  Activation activation_;
};

/// Joins axes [from, to]; by default all but the first.
class Flatten : public Module {
 public:
  explicit Flatten(int from = 1, int to = -1) : from_(from), to_(to) {}
  Tensor forward(const Tensor& x) override { return flatten(x, from_, to_); }
  int from() const { return from_; }
  int to() const { return to_; }

 private:
  int from_, to_;
};

/// Any norm over the trailing axes `size`, with the parameters of its variant: gain (ones), bias
/// (zeros), alpha (dyt, 0.5), scalenorm's gain sqrt(H), batchnorm's running statistics and, with
/// track_running_stats, instancenorm's. Norm("layernorm", {64}), Norm({"adanorm", {.C = 2}}, {64}).
class Norm : public Module {
 public:
  /// ArgumentError for a setting that the variant does not take or that is out of its range.
  Norm(const NormSpec& spec, const Shape& size);
  Tensor forward(const Tensor& x) override;
  const NormSpec& spec() const { return spec_; }
  const NormTraits& traits() const { return spec_.variant; }
  const Shape& size() const { return size_; }
  /// Its tensors, for normalize().
  const NormParameters& tensors() const { return tensors_; }

 private:
  using Module::on_register;
  void on_register(const std::string& name, const Tensor& value) override;
  NormSpec spec_;
  Shape size_;
  NormParameters tensors_;
};

/// Modules one after the other, named "0", "1", ...
class Sequential : public Module {
 public:
  explicit Sequential(std::vector<std::shared_ptr<Module>> modules = {});
  void append(std::shared_ptr<Module> module);
  Tensor forward(const Tensor& x) override;
  const std::vector<std::shared_ptr<Module>>& modules() const { return list_; }

 private:
  using Module::on_register;
  void on_register(const std::string& name, const std::shared_ptr<Module>& module) override;
  std::vector<std::shared_ptr<Module>> list_;
};

/// Settings of a Transformer's encoder or decoder.
struct TransformerOptions {
  int64_t size = 128;  ///< D, a multiple of heads
  int64_t heads = 4;
  int64_t hidden = 512;  ///< width of the feed-forward part
  int64_t layers = 4;
  double dropout = 0.1;  ///< of the input, and of each residual branch
  /// true: x + f(norm(x)), and a norm at the end (pre-norm); false: norm(x + f(x)) (post-norm).
  bool pre_norm = true;
  Activation activation = Activation::relu;  ///< of the feed-forward part
  NormSpec norm = {};
  /// Self-attention to a token and those before it: a language model. A decoder always is.
  bool causal = false;
};

/// Keys and values of the tokens that an encoder with `causal` or a decoder has seen: a step costs
/// the new tokens alone. It belongs to the first module that it is given to. Modules that have a
/// cache record no gradients, and ArgumentError asks for NoGrad.
class KeyValueCache {
 public:
  KeyValueCache();
  ~KeyValueCache();
  KeyValueCache(const KeyValueCache&) = delete;
  KeyValueCache& operator=(const KeyValueCache&) = delete;
  /// Tokens of each sentence; empty before the first call.
  const std::vector<int64_t>& lengths() const;
  /// Keeps the sentences of these numbers in this order: some twice (beams), others not (finished).
  /// RangeError for a number that is none of a sentence.
  void take(const std::vector<int64_t>& index);
  struct State;
  State& state() { return *state_; }

 private:
  std::unique_ptr<State> state_;
};
struct CachedLayer;

/// Multi-head self-attention (Vaswani et al. 2017) within sentences: parameters `qkv` and `out`.
class SelfAttention : public Module {
 public:
  SelfAttention(int64_t size, int64_t heads, bool causal = false);
  /// x [T, D], one sentence.
  Tensor forward(const Tensor& x) override;
  /// x [T, D], packed sentences, see attention().
  Tensor forward(const Tensor& x, const Tensor& offsets);
  /// x: the tokens that follow those of the cache.
  Tensor forward(const Tensor& x, const Tensor& offsets, CachedLayer& cache);
  int64_t heads() const { return heads_; }
  int64_t size() const { return out_->weight.size(0); }
  bool causal() const { return causal_; }

 private:
  using Module::on_register;
  void on_register(const std::string& name, const std::shared_ptr<Module>& module) override;
  int64_t heads_;
  bool causal_;
  std::shared_ptr<Linear> qkv_, out_;
};

/// Multi-head attention of each sentence to its memory, see cross_attention(): parameters `query`,
/// `key_value` and `out`.
class CrossAttention : public Module {
 public:
  CrossAttention(int64_t size, int64_t heads);
  /// ArgumentError: there is no memory.
  Tensor forward(const Tensor& x) override;
  /// x [T, D] and memory [M, D], packed sentences.
  Tensor forward(const Tensor& x, const Tensor& memory, const Tensor& offsets,
                 const Tensor& memory_offsets);
  /// The memory is that of the first call with this cache.
  Tensor forward(const Tensor& x, const Tensor& memory, const Tensor& offsets,
                 const Tensor& memory_offsets, CachedLayer& cache);
  int64_t heads() const { return heads_; }
  int64_t size() const { return out_->weight.size(0); }

 private:
  using Module::on_register;
  void on_register(const std::string& name, const std::shared_ptr<Module>& module) override;
  int64_t heads_;
  std::shared_ptr<Linear> query_, key_value_, out_;
};

/// Self-attention and a feed-forward part, each with its norm, dropout and residual connection.
class TransformerLayer : public Module {
 public:
  explicit TransformerLayer(const TransformerOptions& options);
  Tensor forward(const Tensor& x) override;
  Tensor forward(const Tensor& x, const Tensor& offsets);
  Tensor forward(const Tensor& x, const Tensor& offsets, CachedLayer& cache);
  const TransformerOptions& options() const { return options_; }

 private:
  using Module::on_register;
  void on_register(const std::string& name, const std::shared_ptr<Module>& module) override;
  template <class Attend>
  Tensor run(const Tensor& x, const Attend& attend);
  TransformerOptions options_;
  std::shared_ptr<Norm> norm1_, norm2_;
  std::shared_ptr<SelfAttention> attention_;
  std::shared_ptr<Linear> up_, down_;
};

/// `layers` layers and, with pre_norm, a norm at the end. x [T, D] -> [T, D].
class TransformerEncoder : public Module {
 public:
  explicit TransformerEncoder(const TransformerOptions& options);
  Tensor forward(const Tensor& x) override;
  Tensor forward(const Tensor& x, const Tensor& offsets);
  /// x: the tokens, at least one a sentence, that follow those of the cache; it gets them, too. The
  /// result is that of the whole sentences but for rounding. ArgumentError without `causal`.
  Tensor forward(const Tensor& x, const Tensor& offsets, KeyValueCache& cache);
  const TransformerOptions& options() const { return options_; }

 private:
  using Module::on_register;
  void on_register(const std::string& name, const std::shared_ptr<Module>& module) override;
  TransformerOptions options_;
  std::vector<std::shared_ptr<TransformerLayer>> layers_;
  std::shared_ptr<Norm> norm_;
};

/// Causal self-attention, attention to the memory and a feed-forward part, each with its norm,
/// dropout and residual connection: norm1, attention, norm2, cross, norm3, up, down.
class TransformerDecoderLayer : public Module {
 public:
  explicit TransformerDecoderLayer(const TransformerOptions& options);
  /// ArgumentError: there is no memory.
  Tensor forward(const Tensor& x) override;
  Tensor forward(const Tensor& x, const Tensor& memory, const Tensor& offsets,
                 const Tensor& memory_offsets);
  Tensor forward(const Tensor& x, const Tensor& memory, const Tensor& offsets,
                 const Tensor& memory_offsets, CachedLayer& cache);
  const TransformerOptions& options() const { return options_; }

 private:
  using Module::on_register;
  void on_register(const std::string& name, const std::shared_ptr<Module>& module) override;
  template <class Attend, class Cross>
  Tensor run(const Tensor& x, const Attend& attend, const Cross& cross);
  TransformerOptions options_;
  std::shared_ptr<Norm> norm1_, norm2_, norm3_;
  std::shared_ptr<SelfAttention> attention_;
  std::shared_ptr<CrossAttention> cross_;
  std::shared_ptr<Linear> up_, down_;
};

/// `layers` decoder layers and, with pre_norm, a norm at the end (Vaswani et al. 2017).
class TransformerDecoder : public Module {
 public:
  /// options.causal is true whatever is given.
  explicit TransformerDecoder(const TransformerOptions& options);
  /// ArgumentError: there is no memory.
  Tensor forward(const Tensor& x) override;
  /// x [T, D] -> [T, D]: packed sentences, each with its memory: rows of memory [M, D].
  Tensor forward(const Tensor& x, const Tensor& memory, const Tensor& offsets,
                 const Tensor& memory_offsets);
  /// As the encoder's. The memory is that of the first call with this cache, which keeps its keys
  /// and values; in later calls it may be undefined.
  Tensor forward(const Tensor& x, const Tensor& memory, const Tensor& offsets,
                 const Tensor& memory_offsets, KeyValueCache& cache);
  const TransformerOptions& options() const { return options_; }

 private:
  using Module::on_register;
  void on_register(const std::string& name, const std::shared_ptr<Module>& module) override;
  TransformerOptions options_;
  std::vector<std::shared_ptr<TransformerDecoderLayer>> layers_;
  std::shared_ptr<Norm> norm_;
};

}  // namespace normlab::nn
