#include "bind.h"
#include "shapes.h"

namespace normlab::bindings {
namespace {

void bind_generator(py::module_& m) {
  py::class_<Generator>(m, "Generator", R"doc(A stream of random numbers of its own.

Philox4x32-10 (Salmon et al., SC 2011): the i-th number depends on seed and offset + i alone, so
every number of threads draws the same. Give it to ``rand``, ``randn``, ... as ``generator=``.
Not to be used by two threads at once.
)doc")
      .def(py::init([](Seed seed) { return Generator(seed.value); }), py::arg("seed") = 0,
           "ArgumentError unless the seed is from 0 to 2**64 - 1.")
      .def_property_readonly("seed", &Generator::seed, "The seed.")
      .def_property_readonly("offset", &Generator::offset,
                             "Blocks drawn so far; (seed, offset) is the whole state.")
      .def("set_state", &Generator::set_state, py::arg("seed"), py::arg("offset"),
           "Goes to that place of that seed's stream.");
  m.def(
      "manual_seed", [](Seed n) { manual_seed(n.value); }, py::arg("n"),
      "Restarts this thread's random numbers from seed ``n``. ArgumentError unless it is from 0 to "
      "2**64 - 1.\n\nExample:\n"
      "    >>> nl.manual_seed(0)\n    >>> nl.randint(0, 10, 5).tolist()\n    [8, 6, 3, 0, 3]");
  m.def(
      "get_rng_state",
      [] { return std::pair(default_generator().seed(), default_generator().offset()); },
      "(seed, offset): the whole state of this thread's random numbers.\n\nExample:\n"
      "    >>> nl.manual_seed(7)\n    >>> nl.get_rng_state()\n    (7, 0)");
  m.def(
      "set_rng_state",
      [](const std::pair<uint64_t, uint64_t>& state) {
        default_generator().set_state(state.first, state.second);
      },
      py::arg("state"),
      "Restores what ``get_rng_state()`` returned.\n\nExample:\n"
      "    >>> state = nl.get_rng_state()\n    >>> first = nl.rand(3).tolist()\n"
      "    >>> nl.set_rng_state(state)\n    >>> nl.rand(3).tolist() == first\n    True");
}

/// rand() or randn(). `first`, `second`: the names and defaults of the distribution's numbers.
template <Tensor (*draw)(const Shape&, double, double, DType, Generator&)>
void bind_drawn(py::module_& m, const char* name, const char* doc, const py::arg_v& first,
                const py::arg_v& second) {
  const auto make = [](const Shape& shape, double a, double b, std::optional<DType> dtype,
                       MaybeGenerator g, const std::string& device, bool requires_grad) {
    const Tensor x = draw(shape, a, b, dtype.value_or(DType::float32), chosen(g));
    return finished(x.to(device_named(device)), requires_grad);
  };
  def_shaped(m, name, +make, doc, first, second, py::arg("dtype") = py::none(),
             py::arg("generator") = py::none(), py::arg("device") = "cpu",
             py::arg("requires_grad") = false);
}

}  // namespace

void bind_random(py::module_& m) {
  bind_generator(m);
  bind_drawn<&rand>(m, "rand",
                    "Numbers uniform in [low, high), float32 or float64.\n\nExample:\n"
                    "    >>> nl.rand(2, generator=nl.Generator(0)).tolist()\n"
                    "    [0.3990464210510254, 0.8805201649665833]",
                    py::arg("low") = 0.0, py::arg("high") = 1.0);
  bind_drawn<&randn>(m, "randn",
                     "Normal numbers of that mean and standard deviation, float32 or float64."
                     "\n\nExample:\n    >>> nl.randn(2, 3, generator=nl.Generator(0)).shape\n"
                     "    (2, 3)",
                     py::arg("mean") = 0.0, py::arg("std") = 1.0);
  m.def(
      "randint",
      [](int64_t low, int64_t high, const Shape& shape, MaybeGenerator g,
         const std::string& device) {
        return randint(low, high, shape, chosen(g)).to(device_named(device));
      },
      py::arg("low"), py::arg("high"), py::arg("shape"), py::kw_only(),
      py::arg("generator") = py::none(), py::arg("device") = "cpu", ReleaseGil(),
      "Integers uniform in [low, high), int64. ArgumentError unless low < high.\n\nExample:\n"
      "    >>> nl.randint(0, 10, 5, generator=nl.Generator(0)).tolist()\n    [8, 6, 3, 0, 3]");
  m.def(
      "permutation",
      [](int64_t n, MaybeGenerator g, const std::string& device) {
        return permutation(n, chosen(g)).to(device_named(device));
      },
      py::arg("n"), py::kw_only(), py::arg("generator") = py::none(), py::arg("device") = "cpu",
      ReleaseGil(),
      "0, 1, ..., n - 1 in random order, int64.\n\nExample:\n"
      "    >>> nl.permutation(5, generator=nl.Generator(0)).tolist()\n    [3, 2, 4, 0, 1]");
}

}  // namespace normlab::bindings
