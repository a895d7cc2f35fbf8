#include "models/parse/frozen.h"

#include <algorithm>

#include "normlab/autograd.h"

namespace normlab::parse {
namespace {

int64_t padded(int64_t width) {
  return (width + kFrozenLanes - 1) / kFrozenLanes * kFrozenLanes;
}

/// A copy of x [..., n] with rows of `width` floats, zero behind the n-th.
Tensor with_padding(const Tensor& x, int64_t width) {
  Shape shape = x.shape();
  const int last = x.rank() - 1;
  const int64_t n = x.size(last);
  shape[last] = width;
  Tensor z = Tensor::zeros(shape);
  const Tensor from = x.detach().to(Device::cpu);
  for (int64_t i = 0; i < from.numel() / std::max<int64_t>(n, 1); ++i)
    std::copy_n(from.data<float>() + i * n, n, z.data<float>() + i * width);
  return z;
}

/// Adds it to each row of x, whose width is padded.
void add_bias(const Tensor& bias, Tensor& x) {
  float* row = x.data<float>();
  for (int64_t i = 0; i < x.size(0); ++i, row += x.size(1))
    frozen_kernels_for_cpu().sum(bias.data<float>(), &row, 1, x.size(1), row);
}

/// In evaluation mode; null of null.
std::shared_ptr<nn::Norm> copy_of(const std::shared_ptr<nn::Norm>& norm) {
  if (!norm) return nullptr;
  auto copy = std::make_shared<nn::Norm>(norm->spec(), norm->size());
  copy->load_state(norm->state(), /*allow_nonfinite=*/true);
  copy->eval();
  return copy;
}

}  // namespace

/// A feature whose product is not there yet.
struct FrozenNetwork::Unknown {
  int32_t position, row;
};

FrozenNetwork::FrozenNetwork(const Network& network, std::span<const RowRange> known)
    : positions_(network.options().features),
      embedding_(network.options().embedding),
      hidden_(network.options().hidden),
      width_(padded(hidden_)),
      class_width_(padded(network.options().classes)),
      activation_(network.options().activation),
      input_norm_(copy_of(network.input_norm_)),
      norm_(copy_of(network.norm_)),
      known_(known.begin(), known.end()) {
  const NoGrad no_grad;
  table_ = network.table_.detach().to(Device::cpu).clone();
  weight_ = with_padding(network.weight_, width_);
  base_ = with_padding(network.bias_, width_);
  output_ = with_padding(transpose(network.output_->weight.detach()), class_width_);
  output_bias_ = with_padding(network.output_->bias, class_width_);
  if (!input_norm_) compute_known();
}

void FrozenNetwork::compute_known() {
  known_begins_.assign(1, 0);
  for (const RowRange& range : known_) known_begins_.push_back(known_begins_.back() + range.count);
  known_products_ = Tensor::empty({known_begins_.back(), width_});
  std::vector<float> nothing(static_cast<size_t>(width_));
  std::vector<Unknown> pairs;
  for (int64_t p = 0; p < positions_; ++p) {
    const RowRange& range = known_[static_cast<size_t>(p)];
    frozen_kernels_for_cpu().product(table_.data<float>() + range.first * embedding_,
                                     weight_.data<float>() + p * embedding_ * width_, 1, width_,
                                     embedding_, width_, nothing.data());
    for (int64_t j = 0; j < width_; ++j) base_.data<float>()[j] += nothing[static_cast<size_t>(j)];
    pairs.clear();
    for (int32_t i = 0; i < range.count; ++i)
      pairs.push_back({static_cast<int32_t>(p), range.first + i});
    products_of(pairs,
                known_products_.data<float>() + known_begins_[static_cast<size_t>(p)] * width_);
  }
}

/// [pairs, width]: (row - nothing) times the weights. Pairs of a position stand together.
void FrozenNetwork::products_of(std::span<const Unknown> pairs, float* products) const {
  std::vector<float> differences;
  for (size_t begin = 0, end = 0; begin < pairs.size(); begin = end) {
    const int32_t p = pairs[begin].position;
    const float* nothing = table_.data<float>() + known_[static_cast<size_t>(p)].first * embedding_;
    differences.clear();
    for (end = begin; end < pairs.size() && pairs[end].position == p; ++end) {
      const float* row = table_.data<float>() + pairs[end].row * embedding_;
      for (int64_t k = 0; k < embedding_; ++k) differences.push_back(row[k] - nothing[k]);
    }
    frozen_kernels_for_cpu().product(differences.data(),
                                     weight_.data<float>() + p * embedding_ * width_,
                                     static_cast<int64_t>(end - begin), width_, embedding_, width_,
                                     products + static_cast<int64_t>(begin) * width_);
  }
}

/// [n, H] as sums of products.
Tensor FrozenNetwork::hidden_of_sums(const int32_t* rows, int64_t n) const {
  // Each feature is nothing (-1), known (a row of the products), or behind the known ones.
  const int64_t known = known_begins_.back();
  std::vector<int64_t> place(static_cast<size_t>(n * positions_), -1);
  std::vector<Unknown> unknown;
  for (int64_t p = 0; p < positions_; ++p) {
    const RowRange& range = known_[static_cast<size_t>(p)];
    for (int64_t i = 0; i < n; ++i) {
      const int32_t row = rows[i * positions_ + p];
      int64_t& at = place[static_cast<size_t>(i * positions_ + p)];
      if (row == range.first) continue;
      if (row > range.first && row < range.first + range.count) {
        at = known_begins_[static_cast<size_t>(p)] + row - range.first;
      } else {
        at = known + static_cast<int64_t>(unknown.size());
        unknown.push_back({static_cast<int32_t>(p), row});
      }
    }
  }
  Tensor products = Tensor::empty({static_cast<int64_t>(unknown.size()), width_});
  products_of(unknown, products.data<float>());
  const float* known_rows = known_products_.data<float>();
  const float* unknown_rows = products.data<float>();
  Tensor h = Tensor::empty({n, width_});
  std::vector<const float*> terms;
  for (int64_t i = 0; i < n; ++i) {
    terms.clear();
    for (int64_t p = 0; p < positions_; ++p) {
      const int64_t at = place[static_cast<size_t>(i * positions_ + p)];
      if (at >= 0)
        terms.push_back(at < known ? known_rows + at * width_
                                   : unknown_rows + (at - known) * width_);
    }
    frozen_kernels_for_cpu().sum(base_.data<float>(), terms.data(),
                                 static_cast<int64_t>(terms.size()), width_,
                                 h.data<float>() + i * width_);
  }
  return width_ == hidden_ ? h : slice(h, 1, 0, hidden_);
}

/// [n, H] with the norm of the embeddings in between.
Tensor FrozenNetwork::hidden_of_rows(const int32_t* rows, int64_t n) const {
  const int64_t inner = positions_ * embedding_;
  Tensor x = Tensor::empty({n, inner});
  for (int64_t k = 0; k < n * positions_; ++k)
    std::copy_n(table_.data<float>() + rows[k] * embedding_, embedding_,
                x.data<float>() + k * embedding_);
  const Tensor y = input_norm_->forward(x);
  Tensor h = Tensor::empty({n, width_});
  frozen_kernels_for_cpu().product(y.data<float>(), weight_.data<float>(), n, width_, inner, width_,
                                   h.data<float>());
  add_bias(base_, h);
  return width_ == hidden_ ? h : slice(h, 1, 0, hidden_);
}

Tensor FrozenNetwork::logits(const Tensor& features) const {
  const NoGrad no_grad;
  const int64_t n = features.size(0);
  const int32_t* rows = features.data<int32_t>();
  const Tensor h = norm_->forward(input_norm_ ? hidden_of_rows(rows, n) : hidden_of_sums(rows, n));
  const Tensor active = activation_ == HiddenActivation::cube ? pow(h, 3) : relu(h);
  Tensor z = Tensor::empty({n, class_width_});
  frozen_kernels_for_cpu().product(active.data<float>(), output_.data<float>(), n, class_width_,
                                   hidden_, class_width_, z.data<float>());
  add_bias(output_bias_, z);
  return z;
}

}  // namespace normlab::parse
