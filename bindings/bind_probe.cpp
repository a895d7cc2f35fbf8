#include "bind.h"

namespace normlab::bindings {
namespace {

/// A Probe for `with`: it lives between enter and exit, its records stay.
class ProbeScope {
 public:
  ProbeScope(std::optional<std::shared_ptr<nn::Module>> model, int64_t every)
      : model_(model.value_or(nullptr)), every_(every) {
    check<ArgumentError>(every >= 1, "probe", "every must be at least 1, got ", every);
  }

  void enter() {
    check<ArgumentError>(!probe_, "probe", "is already recording");
    probe_ = model_ ? std::make_unique<Probe>(*model_, every_) : std::make_unique<Probe>(every_);
    records_.clear();
  }
  void exit() {
    if (!probe_) return;
    records_ = probe_->records();
    step_ = probe_->step();
    probe_.reset();
  }
  void next_step() {
    check<ArgumentError>(probe_ != nullptr, "probe", "next_step() is for the inside of `with`");
    probe_->next_step();
  }
  int64_t step() const { return probe_ ? probe_->step() : step_; }
  const std::vector<NormRecord>& records() const { return probe_ ? probe_->records() : records_; }
  void clear() {
    records_.clear();
    if (probe_) probe_->clear();
  }

 private:
  std::shared_ptr<nn::Module> model_;
  int64_t every_, step_ = 0;
  std::unique_ptr<Probe> probe_;
  std::vector<NormRecord> records_;
};

std::string repr(const RowMoments& r) {
  return joined("RowMoments(mean=", r.mean, ", row_mean=", r.row_mean, ", row_var=", r.row_var,
                ", norm=", r.norm, ')');
}

NormRecord make_record(const std::string& layer, const std::string& variant, int64_t step,
                       const RowMoments& x, const RowMoments& z,
                       const std::optional<RowMoments>& dz, const std::optional<RowMoments>& dx,
                       double clipped) {
  return {.layer = layer,
          .variant = variant,
          .step = step,
          .x = x,
          .z = z,
          .dz = dz.value_or(RowMoments{}),
          .dx = dx.value_or(RowMoments{}),
          .has_gradient = dz || dx,
          .clipped = clipped};
}

void bind_records(py::module_& m) {
  py::class_<RowMoments>(m, "RowMoments",
                         "Moments of a tensor seen as rows (Theorem 1 speaks of these).")
      .def(py::init([](double mean, double row_mean, double row_var, double norm) {
             return RowMoments{mean, row_mean, row_var, norm};
           }),
           py::kw_only(), py::arg("mean") = 0.0, py::arg("row_mean") = 0.0,
           py::arg("row_var") = 0.0, py::arg("norm") = 0.0)
      .def_readonly("mean", &RowMoments::mean, "Mean over all elements.")
      .def_readonly("row_mean", &RowMoments::row_mean,
                    "Mean over rows of |row mean|: what re-centring makes zero.")
      .def_readonly("row_var", &RowMoments::row_var,
                    "Mean over rows of the biased row variance: what re-scaling shrinks.")
      .def_readonly("norm", &RowMoments::norm, "Euclidean length of the whole tensor.")
      .def("__repr__", &repr);
  py::class_<NormRecord>(m, "NormRecord", "Values and gradients of one norm layer in one step.")
      .def(py::init(&make_record), py::kw_only(), py::arg("layer"), py::arg("variant"),
           py::arg("step"), py::arg("x"), py::arg("z"), py::arg("dz") = std::nullopt,
           py::arg("dx") = std::nullopt, py::arg("clipped") = 0.0,
           "Without dz and dx it has no gradient.")
      .def_readonly("layer", &NormRecord::layer,
                    "The module's dotted name, or \"norm\" and a number.")
      .def_readonly("variant", &NormRecord::variant, "The variant's name.")
      .def_readonly("step", &NormRecord::step, "The step's number.")
      .def_readonly("x", &NormRecord::x, "Activations before the norm.")
      .def_readonly("z", &NormRecord::z, "Activations after the norm.")
      .def_readonly("dz", &NormRecord::dz, "Gradient that arrives, dL/dz.")
      .def_readonly("dx", &NormRecord::dx, "Gradient that leaves, dL/dx.")
      .def_readonly("has_gradient", &NormRecord::has_gradient,
                    "True after backward(); before it dz and dx are zeros.")
      .def_readonly("clipped", &NormRecord::clipped,
                    "adanorm: share of elements with phi <= 0, that is y >= 1 / k; else 0.")
      .def("__repr__", [](const NormRecord& r) {
        return joined("NormRecord(layer='", r.layer, "', variant='", r.variant, "', step=", r.step,
                      ", x=", repr(r.x), ", z=", repr(r.z), ", dz=", repr(r.dz),
                      ", dx=", repr(r.dx), ')');
      });
}

}  // namespace

void bind_probe(py::module_& m) {
  bind_records(m);
  py::class_<ProbeScope>(m, "probe",
                         R"doc(Records what every Norm module does to activations and gradients.

While entered, forward and backward passes of ``nl.nn.Norm`` on this thread are recorded: mean and
variance of activations and gradients before and after the norm, gradient lengths, and the share
that adanorm's phi would clip. Probes nest and may end in any order; the innermost records. The
records stay after the end.
On the GPU each record waits for the values, and no graph can be captured meanwhile::

    with nl.probe(net, every=10) as probe:
        for batch in batches:
            loss(batch).backward()
            probe.next_step()
    probe.records[0].dx.row_var

Args:
    model: its layers' dotted names name the records; None: "norm0", "norm1", ... as they come.
    every: record every so-many-th step only.

Raises:
    ArgumentError: ``every`` is less than 1.

Source: Xu et al., NeurIPS 2019, Theorem 1.
)doc")
      .def(py::init<std::optional<std::shared_ptr<nn::Module>>, int64_t>(),
           py::arg("model") = py::none(), py::arg("every") = 1)
      .def("__enter__", [](ProbeScope& p) -> ProbeScope& { return p.enter(), p; })
      .def("__exit__", [](ProbeScope& p, const py::args&) { p.exit(); })
      .def("next_step", &ProbeScope::next_step, "Ends a step: later records count as the next one.")
      .def_property_readonly("step", &ProbeScope::step, "The current step's number.")
      .def_property_readonly(
          "records", [](const ProbeScope& p) { return p.records(); },
          "All records so far, a list of :class:`NormRecord`.")
      .def("clear", &ProbeScope::clear, "Forgets the records.");
  m.def("row_moments", &row_moments, py::arg("x"), py::arg("row"), ReleaseGil(),
        "Moments of x as rows of ``row`` elements; ShapeError unless that divides x's size."
        "\n\nExample:\n    >>> nl.row_moments(nl.tensor([1.0, 2.0, 3.0, 4.0]), row=4)\n"
        "    RowMoments(mean=2.5, row_mean=2.5, row_var=1.25, norm=5.47723)");
}

}  // namespace normlab::bindings
