#include "normlab/autograd.h"

#include <algorithm>
#include <atomic>
#include <cstring>

#include "core/accumulate.h"
#include "core/bfloat16.h"
#include "core/gpu.h"
#include "core/tensor_impl.h"
#include "cpu/parallel.h"
#include "normlab/matmul_precision.h"

namespace normlab {

/// Where a gradient goes: to the op that made the input, or to the leaf itself. Holding the node
/// and not the tensor lets go of values that no derivative needs.
struct Edge {
  std::shared_ptr<Node> node;
  std::shared_ptr<TensorImpl> leaf;
  Shape shape;
  DType dtype;
  Device device;
  bool needed() const { return node || leaf; }
};

struct Node {
  const char* op;
  uint64_t seq;  ///< rises with every recorded op: a consumer's is greater than its producers'
  Shape shape;
  DType dtype;
  std::vector<Edge> edges;
  Backward backward;
  bool has_derivative = true;
  bool released = false;
  MatmulPrecision precision = matmul_precision();  ///< of the forward pass, and so of this one
  Gradient pending;                                ///< what has arrived so far, during a walk

  ~Node() { release(); }

  /// Lets go of closure and edges. Chains are unrolled into a list: freeing a million nodes must
  /// not recurse.
  void release() {
    backward = nullptr;
    std::vector<std::shared_ptr<Node>> doomed;
    drop_edges(doomed);
    while (!doomed.empty()) {
      const std::shared_ptr<Node> node = std::move(doomed.back());
      doomed.pop_back();
      if (node.use_count() == 1) node->drop_edges(doomed);
    }
  }

 private:
  void drop_edges(std::vector<std::shared_ptr<Node>>& doomed) {
    for (Edge& edge : edges)
      if (edge.node) doomed.push_back(std::move(edge.node));
    edges.clear();
  }
};

namespace {

/// How many NoGrads of this thread live. They share it, since they may outlive the thread.
thread_local std::shared_ptr<std::atomic<int>> pauses;
std::atomic<uint64_t> next_seq{1};

bool wants_grad(const Tensor& x) {
  return x.defined() && x.requires_grad();
}

Edge edge_to(const Tensor& x) {
  if (!wants_grad(x)) return {};
  const std::shared_ptr<TensorImpl>& impl = x.impl();
  const Device device = impl->storage->device;
  if (impl->node) return {impl->node, nullptr, impl->shape, impl->dtype, device};
  return {nullptr, impl, impl->shape, impl->dtype, device};
}

std::shared_ptr<Node> make_node(const char* op, const Tensor& z,
                                const std::vector<Tensor>& inputs) {
  auto node = std::make_shared<Node>();
  node->op = op;
  node->seq = next_seq.fetch_add(1, std::memory_order_relaxed);
  node->shape = z.shape();
  node->dtype = z.dtype();
  node->edges.reserve(inputs.size());
  for (const Tensor& x : inputs) node->edges.push_back(edge_to(x));
  return node;
}

bool should_record(const Tensor& z, const std::vector<Tensor>& inputs) {
  return grad_enabled() && carries_gradient(z.dtype()) && std::ranges::any_of(inputs, wants_grad);
}

void attach(const Tensor& z, std::shared_ptr<Node> node) {
  z.impl()->node = std::move(node);
  z.impl()->requires_grad = true;
}

/// True if nobody else can see the values of t.
bool sole_owner(const Tensor& t) {
  return t.impl().use_count() == 1 && t.impl()->storage.use_count() == 1 &&
         !t.impl()->storage->release;
}

template <class T>
void add_blocks(void (*add)(T*, const T*, int64_t), T* into, const T* from, int64_t n) {
  parallel_blocks(n, 16384, 1, [&](int64_t begin, int64_t end) {
    add(into + begin, from + begin, end - begin);
  });
}

void add_in_place(Tensor& into, const Tensor& from) {
  if (into.device() == Device::cuda) return cuda::add_in_place(into, from);
  const AccumulateKernels& kernels = accumulate_kernels_for_cpu();
  if (into.dtype() == DType::bfloat16)
    add_blocks(bfloat16_kernels_for_cpu().add, into.data<bfloat16>(), from.data<bfloat16>(),
               from.numel());
  else if (into.dtype() == DType::float32)
    add_blocks(kernels.add_float, into.data<float>(), from.data<float>(), from.numel());
  else
    add_blocks(kernels.add_double, into.data<double>(), from.data<double>(), from.numel());
}

Tensor densify(Gradient gradient) {
  return gradient.sparse ? gradient.sparse->dense() : std::move(gradient.dense);
}

/// Adds rows to a tensor on the CPU: a table that is an output's weight, too, is not added whole.
void add_rows(const Tensor& into, const SparseRows& more) {
  const int64_t n = more.rows.numel();
  const int64_t size = n > 0 ? more.values.numel() / n : 0, bytes = size * size_of(into.dtype());
  const int64_t* row = more.rows.data<int64_t>();
  for (int64_t i = 0; i < n; ++i) {
    Tensor to = view_of(into, row[i] * bytes, {size});
    add_in_place(to, view_of(more.values, i * bytes, {size}));
  }
}

/// The sum of two gradients; the only place where gradients are added.
Gradient accumulate(Gradient total, Gradient more) {
  if (!total.defined()) return more;
  Tensor sum = densify(std::move(total));
  if (!sole_owner(sum)) sum = sum.clone();
  if (more.sparse && sum.device() == Device::cpu)
    add_rows(sum, *more.sparse);
  else
    add_in_place(sum, densify(std::move(more)));
  return sum;
}

void check_gradient(const Node& node, const Edge& edge, const Gradient& gradient) {
  const Shape& shape = gradient.sparse ? gradient.sparse->shape : gradient.dense.shape();
  const Tensor& values = gradient.sparse ? gradient.sparse->values : gradient.dense;
  check<GradError>(shape == edge.shape && values.dtype() == edge.dtype, node.op,
                   "its derivative gave ", values.dtype(), " ", shape, " for an input of ",
                   edge.dtype, " ", edge.shape);
  check<DeviceError>(values.device() == edge.device, node.op, "its derivative is on ",
                     values.device(), " for an input on ", edge.device);
}

/// A module may have been moved or converted since the tape was recorded.
void check_leaf(const TensorImpl& leaf, const Tensor& gradient) {
  const Device device = leaf.storage->device;
  check<GradError>(gradient.dtype() == leaf.dtype && gradient.device() == device, "backward",
                   "a leaf of shape ", leaf.shape, " is ", leaf.dtype, " on ", device, ", but was ",
                   gradient.dtype(), " on ", gradient.device(),
                   " when it was used; compute the loss again");
}

void add_to_leaf(const std::shared_ptr<TensorImpl>& leaf, Gradient gradient) {
  check_leaf(*leaf, gradient.sparse ? gradient.sparse->values : gradient.dense);
  cuda::on_leaf_gradient(leaf);
  // A leaf owns its gradient: clipping and optimizers may change it in place.
  if (gradient.dense.defined() && !leaf->grad.defined() && !sole_owner(gradient.dense))
    gradient.dense = gradient.dense.clone();
  leaf->grad = accumulate(std::move(leaf->grad), std::move(gradient));
}

/// One walk from a root: a heap of nodes that have received a gradient, newest first.
class Walk {
 public:
  ~Walk() {  // after an exception: leave no half-summed gradients behind
    for (const auto& node : heap_) node->pending = {};
  }

  void send(const std::shared_ptr<Node>& node, Gradient gradient) {
    if (!node->pending.defined()) {
      heap_.push_back(node);
      std::ranges::push_heap(heap_, older);
    }
    node->pending = accumulate(std::move(node->pending), std::move(gradient));
  }

  void run() {
    while (!heap_.empty()) {
      std::ranges::pop_heap(heap_, older);
      const std::shared_ptr<Node> node = std::move(heap_.back());
      heap_.pop_back();
      visit(*node);
    }
  }

 private:
  static bool older(const std::shared_ptr<Node>& a, const std::shared_ptr<Node>& b) {
    return a->seq < b->seq;
  }

  void visit(Node& node) {
    Tensor dz = densify(std::move(node.pending));
    node.pending = {};
    check<GradError>(!node.released, "backward", "the tape behind '", node.op,
                     "' was freed by an earlier backward(); run the forward pass again");
    check<GradError>(node.has_derivative, "backward", "'", node.op,
                     "' has no derivative; detach() its input if none is wanted");
    std::unique_ptr<bool[]> needs(new bool[node.edges.size()]);
    for (size_t i = 0; i < node.edges.size(); ++i) needs[i] = node.edges[i].needed();
    const MatmulPrecisionScope precision(node.precision);
    Grads grads = node.backward(dz, Needs(needs.get(), node.edges.size()));
    dz = Tensor();
    check<GradError>(grads.size() == node.edges.size(), node.op, "its derivative gave ",
                     grads.size(), " gradients for ", node.edges.size(), " inputs");
    for (size_t i = 0; i < grads.size(); ++i) {
      Edge& edge = node.edges[i];
      if (!edge.needed() || !grads[i].defined()) continue;
      check_gradient(node, edge, grads[i]);
      if (edge.leaf)
        add_to_leaf(edge.leaf, std::move(grads[i]));
      else
        send(edge.node, std::move(grads[i]));
    }
    node.released = true;
    node.release();
  }

  std::vector<std::shared_ptr<Node>> heap_;
};

Tensor seed_gradient(const Tensor& z, const Tensor& g) {
  if (!g.defined()) {
    check<GradError>(z.numel() == 1, "backward",
                     "a tensor of more than one element needs a gradient of its shape ", z.shape(),
                     ": backward(g)");
    return Tensor::ones(z.shape(), z.dtype(), z.device());
  }
  check(g.shape() == z.shape(), "backward", "the gradient must have shape ", z.shape(), ", got ",
        g.shape());
  check<DtypeError>(g.dtype() == z.dtype(), "backward", "the gradient must be ", z.dtype(),
                    ", got ", g.dtype());
  check<DeviceError>(g.device() == z.device(), "backward", "the gradient must be on ", z.device(),
                     ", got ", g.device());
  return g;
}

}  // namespace

Tensor SparseRows::dense() const {
  Tensor full = Tensor::zeros(shape, values.dtype(), values.device());
  const int64_t n = rows.numel();
  if (values.device() == Device::cuda) {
    cuda::scatter_rows(rows, values, full);
    return full;
  }
  const size_t row_bytes = n > 0 ? static_cast<size_t>(values.nbytes() / n) : 0;
  for (int64_t i = 0; i < n; ++i)
    std::memcpy(static_cast<char*>(full.raw()) + rows.data<int64_t>()[i] * row_bytes,
                static_cast<const char*>(values.raw()) + i * row_bytes, row_bytes);
  return full;
}

Tensor record(const char* op, Tensor z, std::vector<Tensor> inputs, Backward backward) {
  if (!should_record(z, inputs)) return z;
  std::shared_ptr<Node> node = make_node(op, z, inputs);
  node->backward = std::move(backward);
  attach(z, std::move(node));
  return z;
}

Tensor record_no_derivative(const char* op, Tensor z, std::vector<Tensor> inputs) {
  if (!should_record(z, inputs)) return z;
  std::shared_ptr<Node> node = make_node(op, z, inputs);
  node->has_derivative = false;
  attach(z, std::move(node));
  return z;
}

bool needs_grad(std::initializer_list<Tensor> inputs) {
  return grad_enabled() && std::ranges::any_of(inputs, wants_grad);
}

// Detached: a closure that held the producing nodes would free them recursively.
Saved::Saved(const Tensor& x) : x_(x ? x.detach() : x), version_(x ? x.version() : 0) {}

const Tensor& Saved::get() const {
  if (x_)
    check<GradError>(x_.version() == version_, "backward", "a tensor of shape ", x_.shape(),
                     " that backward needs was changed in place after the forward pass");
  return x_;
}

bool grad_enabled() {
  return !pauses || pauses->load(std::memory_order_relaxed) == 0;
}
NoGrad::NoGrad() {
  if (!pauses) pauses = std::make_shared<std::atomic<int>>(0);
  pauses_ = pauses;
  ++*pauses_;
}
NoGrad::~NoGrad() {
  --*pauses_;
}

bool Tensor::requires_grad() const {
  return defined() && impl_->requires_grad;
}

Tensor& Tensor::set_requires_grad(bool on) {
  check<DtypeError>(!on || carries_gradient(dtype()), "set_requires_grad",
                    "only float32, float64 and bfloat16 tensors have gradients, got ", dtype());
  check<GradError>(is_leaf(), "set_requires_grad",
                   "only leaves can be switched; detach() the result of an op first");
  impl_->requires_grad = on;
  if (!on) impl_->grad = {};
  return *this;
}

bool Tensor::is_leaf() const {
  return !defined() || !impl_->node;
}

Tensor Tensor::grad() const {
  return defined() ? densify(impl_->grad) : Tensor();
}

std::shared_ptr<const SparseRows> Tensor::sparse_grad() const {
  return defined() ? impl_->grad.sparse : nullptr;
}

void Tensor::set_grad(const Tensor& grad) {
  if (!grad.defined()) return zero_grad();
  check(grad.shape() == shape(), "set_grad", "the gradient must have shape ", shape(), ", got ",
        grad.shape());
  check<DtypeError>(grad.dtype() == dtype(), "set_grad", "the gradient must be ", dtype(), ", got ",
                    grad.dtype());
  check<DeviceError>(grad.device() == device(), "set_grad", "the gradient must be on ", device(),
                     ", got ", grad.device());
  impl_->grad = grad.detach();
}

void Tensor::zero_grad() {
  if (defined()) impl_->grad = {};
}

void Tensor::backward(const Tensor& g) const {
  check<GradError>(requires_grad(), "backward",
                   "nothing behind this tensor requires a gradient (or it was computed under "
                   "no_grad)");
  const Tensor seed = seed_gradient(*this, g);
  const NoGrad no_grad;
  if (is_leaf()) return add_to_leaf(impl_, seed.detach());
  Walk walk;
  walk.send(impl_->node, seed.detach());
  walk.run();
}

Tensor Tensor::detach() const {
  return view_of(*this, 0, shape());
}

}  // namespace normlab
