#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "core/json.h"
#include "models/evaluation.h"
#include "models/language/model.h"
#include "normlab/autograd.h"

namespace normlab::language {
namespace {

/// The vocabulary's numbers of a prompt. ArgumentError as a Writer has it.
std::vector<int64_t> read_prompt(const Vocabulary& vocabulary, std::string_view prompt) {
  check<ArgumentError>(!prompt.empty(), "generate",
                       "the prompt must have a character or more: the model continues it");
  const Tensor numbers = vocabulary.encode(prompt);
  const int64_t* first = numbers.data<int64_t>();
  std::vector<int64_t> found(first, first + numbers.numel());
  const auto unknown = std::ranges::find(found, Vocabulary::kUnknown);
  if (unknown == found.end()) return found;
  size_t at = 0;
  for (auto each = found.begin(); each != unknown; ++each) at += utf8_length(prompt, at);
  fail<ArgumentError>("generate", "the model does not know character ", unknown - found.begin() + 1,
                      " of the prompt, ", json_excerpt(prompt.substr(at, utf8_length(prompt, at))),
                      "; its training text has none");
}

/// The known characters that may come next, the likeliest first among equals by number.
std::vector<int64_t> candidates(const float* logits, int64_t n, int64_t top_k) {
  std::vector<int64_t> numbers(static_cast<size_t>(n - 1));
  std::iota(numbers.begin(), numbers.end(), Vocabulary::kUnknown + 1);
  if (top_k == 0 || top_k >= n - 1) return numbers;
  std::ranges::stable_sort(numbers, [&](int64_t a, int64_t b) { return logits[a] > logits[b]; });
  numbers.resize(static_cast<size_t>(top_k));
  return numbers;
}

int64_t draw(const Tensor& logits, const Sampling& sampling, Generator& generator) {
  const float* z = logits.data<float>();
  const bool is_sound = std::all_of(z + Vocabulary::kUnknown + 1, z + logits.numel(), [](float x) {
    return x < std::numeric_limits<float>::infinity();
  });
  check<ArgumentError>(is_sound, "generate", "the network's logits are not finite");
  const std::vector<int64_t> numbers = candidates(z, logits.numel(), sampling.top_k);
  const int64_t likeliest =
      *std::ranges::max_element(numbers, [&](int64_t a, int64_t b) { return z[a] < z[b]; });
  check<ArgumentError>(std::isfinite(z[likeliest]), "generate",
                       "the network's logits are not finite");
  if (sampling.temperature == 0) return likeliest;
  std::vector<double> sums(numbers.size());
  double sum = 0;
  for (size_t i = 0; i < numbers.size(); ++i) {
    const double z_i = z[numbers[i]];
    sums[i] = sum += std::exp((z_i - z[likeliest]) / sampling.temperature);
  }
  const double at = rand({}, 0, sum, DType::float64, generator).item<double>();
  const auto place = std::ranges::upper_bound(sums, at);
  return place == sums.end() ? likeliest : numbers[static_cast<size_t>(place - sums.begin())];
}

}  // namespace

Writer::Writer(Model model, std::string_view prompt, const Sampling& sampling)
    : model_(std::move(model)), sampling_(sampling), generator_(sampling.seed) {
  check_model("generate", model_);
  check<ArgumentError>(model_.vocabulary.size() > 1, "generate", "the model has no characters");
  check<ArgumentError>(std::isfinite(sampling.temperature) && sampling.temperature >= 0, "generate",
                       "temperature must be finite and 0 or more, got ", sampling.temperature);
  check<ArgumentError>(sampling.top_k >= 0, "generate",
                       "top_k must be 1 or more, or 0 for all characters, got ", sampling.top_k);
  pending_ = read_prompt(model_.vocabulary, prompt);
  const size_t most = static_cast<size_t>(model_.network->options().context);
  if (pending_.size() > most) pending_.erase(pending_.begin(), pending_.end() - most);
  cache_ = std::make_unique<nn::KeyValueCache>();
}

Tensor Writer::logits() {
  const size_t most = static_cast<size_t>(model_.network->options().context);
  read_.insert(read_.end(), pending_.begin(), pending_.end());
  if (read_.size() > most) {
    const size_t kept = std::max<size_t>(1, most / 2);
    read_.erase(read_.begin(), read_.end() - kept);
    pending_ = read_;
    cache_ = std::make_unique<nn::KeyValueCache>();
  }
  const Device device = model_.network->parameters().front().device();
  const text::Packed next = text::pack({pending_}).to(device);
  const Tensor z = model_.network->forward(next, *cache_);
  return z[z.size(0) - 1].to(Device::cpu).to(DType::float32);
}

std::string Writer::next() {
  const NoGrad no_grad;
  const Evaluation evaluation(*model_.network);
  const int64_t number = draw(logits(), sampling_, generator_);
  pending_ = {number};
  return model_.vocabulary.character(number);
}

std::string generate(const Model& model, std::string_view prompt, int64_t length,
                     const Sampling& sampling) {
  check<ArgumentError>(length >= 0, "generate", "length must be 0 or more, got ", length);
  Writer writer(model, prompt, sampling);
  std::string text;
  for (int64_t i = 0; i < length; ++i) text += writer.next();
  return text;
}

}  // namespace normlab::language
