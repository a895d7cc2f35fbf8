// Trains a small classifier with layer norms on points that it makes, saves it, loads it into a
// fresh network and checks that both give the same outputs.

#include <normlab/normlab.h>

#include <algorithm>
#include <cmath>
#include <exception>
#include <iostream>
#include <memory>
#include <vector>

namespace nl = normlab;

namespace {

constexpr int64_t kArms = 3, kPoints = 200, kHidden = 32, kSteps = 200;

struct Data {
  nl::Tensor points;  ///< float32 [n, 2]
  nl::Tensor arms;    ///< int64 [n], in [0, kArms)
};

/// A spiral of kArms arms; which arm a point lies on is to be learned.
Data make_spiral() {
  const int64_t n = kArms * kPoints;
  Data data{nl::randn({n, 2}, 0.0, 0.03), nl::Tensor::empty({n}, nl::DType::int64)};
  float* point = data.points.data<float>();
  for (int64_t i = 0; i < n; ++i) {
    const int64_t arm = i % kArms;
    const double radius = static_cast<double>(i) / static_cast<double>(n);
    const double angle = 5 * radius + 2.0944 * static_cast<double>(arm);
    point[2 * i] += static_cast<float>(radius * std::cos(angle));
    point[2 * i + 1] += static_cast<float>(radius * std::sin(angle));
    data.arms.data<int64_t>()[i] = arm;
  }
  return data;
}

std::shared_ptr<nl::nn::Module> make_net() {
  using namespace nl::nn;
  return std::make_shared<Sequential>(std::vector<std::shared_ptr<Module>>{
      std::make_shared<Linear>(2, kHidden),
      std::make_shared<Norm>("layernorm", nl::Shape{kHidden}),
      std::make_shared<Activate>(nl::Activation::relu),
      std::make_shared<Linear>(kHidden, kHidden),
      std::make_shared<Norm>("adanorm", nl::Shape{kHidden}),
      std::make_shared<Activate>(nl::Activation::relu),
      std::make_shared<Linear>(kHidden, kArms),
  });
}

/// Returns the first and the last loss.
std::pair<double, double> train(nl::nn::Module& net, const Data& data) {
  nl::optim::Adam optimizer(net.parameters());
  const nl::optim::Schedule rate = nl::optim::cosine(0.01, kSteps, 10);
  double first = 0, loss = 0;
  for (int64_t step = 1; step <= kSteps; ++step) {
    optimizer.zero_grad();
    const nl::Tensor error = nl::cross_entropy(net(data.points), data.arms);
    error.backward();
    nl::optim::clip_grad_norm(net.parameters(), 1.0);
    optimizer.set_lr(rate(step));
    optimizer.step();
    loss = error.item();
    if (step == 1) first = loss;
    if (step == 1 || step % 40 == 0) std::cout << "step " << step << "  loss " << loss << "\n";
  }
  return {first, loss};
}

nl::Tensor outputs(nl::nn::Module& net, const Data& data) {
  const nl::NoGrad no_grad;
  net.eval();
  return net(data.points);
}

bool same_values(const nl::Tensor& a, const nl::Tensor& b) {
  return a.shape() == b.shape() &&
         std::equal(a.data<float>(), a.data<float>() + a.numel(), b.data<float>());
}

int run(const char* path) {
  nl::manual_seed(1);
  const Data data = make_spiral();
  const auto net = make_net();
  const auto [first, last] = train(*net, data);
  if (!(last < 0.5 * first)) {
    std::cerr << "train: the loss went from " << first << " to " << last
              << ", it should have fallen to less than half\n";
    return 1;
  }
  nl::save(path, net->state(), {{"example", "spiral"}});
  const auto loaded = make_net();
  loaded->load_state(nl::load(path).tensors);
  if (!same_values(outputs(*net, data), outputs(*loaded, data))) {
    std::cerr << "train: the network loaded from " << path << " gives other outputs\n";
    return 1;
  }
  std::cout << "saved to " << path << " and loaded again: identical outputs\n";
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::cerr << "usage: train <file to save the network to>\n";
    return 1;
  }
  try {
    return run(argv[1]);
  } catch (const std::exception& error) {
    std::cerr << "train: " << error.what() << "\n";
    return 1;
  }
}
