#include "dlpack.h"
#include "norm_arguments.h"
#include "normlab/norm_passes.h"

namespace normlab::bindings {
namespace {

/// A norm's forward and backward pass for the tape of another framework, whose tensors it takes and
/// gives without a copy.
struct NormPass {
  NormSpec spec;
  int axes;

  NormParameters parameters(const py::object& gain, const py::object& bias, const py::object& alpha,
                            const py::object& running_mean, const py::object& running_var,
                            bool training) const {
    return {.gain = borrowed(gain),
            .bias = borrowed(bias),
            .alpha = borrowed(alpha),
            .running_mean = borrowed(running_mean),
            .running_var = borrowed(running_var),
            .axes = axes,
            .training = training};
  }

  py::tuple forward(const Any& x, const Any& gain, const Any& bias, const Any& alpha,
                    const Any& running_mean, const Any& running_var, bool training,
                    bool moments) const {
    const Tensor in = borrowed(x);
    const NormParameters p = parameters(gain, bias, alpha, running_mean, running_var, training);
    const auto [z, saved] = without_gil([&] { return norm_forward(in, spec, p, moments); });
    return py::make_tuple(lent(z, x), lent(saved.statistics, x), lent(saved.extremes, x),
                          lent(saved.moments, x));
  }

  py::tuple backward(const Any& dz, const Any& x, const Any& statistics, const Any& extremes,
                     const Any& gain, const Any& alpha, const Any& running_mean,
                     const Any& running_var, bool training,
                     const std::tuple<bool, bool, bool, bool>& needs) const {
    const Tensor gradient = borrowed(dz), in = borrowed(x);
    const NormSaved saved{borrowed(statistics), borrowed(extremes), {}};
    const NormParameters p =
        parameters(gain, py::none(), alpha, running_mean, running_var, training);
    const auto [to_x, to_gain, to_bias, to_alpha] = needs;
    const NormNeeds wanted{to_x, to_gain, to_bias, to_alpha};
    const NormGradients g =
        without_gil([&] { return norm_backward(gradient, in, saved, spec, p, wanted); });
    return py::make_tuple(lent(g.x, x), lent(g.gain, x), lent(g.bias, x), lent(g.alpha, x));
  }
};

NormPass make_pass(const NormSettings& settings, const std::string& variant, int axes) {
  return {NormSpec{variant, settings}, axes};
}

}  // namespace

void bind_norm_pass(py::module_& m) {
  py::class_<NormPass> c(m, "_NormPass",
                         "A norm's forward and backward pass on another framework's tensors, which "
                         "are the CPU's and contiguous. Nothing is recorded.");
  def_with_norm_settings(c, py::init(with_norm_settings(&make_pass)), py::arg("variant"),
                         py::arg("axes"), py::kw_only());
  c.def("forward", &NormPass::forward, py::arg("x"), py::arg("gain"), py::arg("bias"),
        py::arg("alpha"), py::arg("running_mean"), py::arg("running_var"), py::arg("training"),
        py::arg("moments"),
        "z, statistics, extremes and moments; running statistics are updated in training, and None "
        "if that is not wanted. Errors as of normalize().");
  c.def("backward", &NormPass::backward, py::arg("dz"), py::arg("x"), py::arg("statistics"),
        py::arg("extremes"), py::arg("gain"), py::arg("alpha"), py::arg("running_mean"),
        py::arg("running_var"), py::arg("training"), py::arg("needs"),
        "The gradients of x, gain, bias and alpha, None for those that `needs` leaves out. "
        "ShapeError, DtypeError or DeviceError if dz or what was saved does not belong to x.");
}

}  // namespace normlab::bindings
