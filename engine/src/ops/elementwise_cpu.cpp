#include "ops/elementwise_loops.h"

namespace normlab::NORMLAB_ISA {
namespace {

template <class T>
constexpr int kIndex = static_cast<int>(dtype_of<T>);

template <size_t I, class T>
void unary(const void* x, void* z, int64_t n) {
  map(static_cast<T*>(z), n, std::get<I>(kUnary).z, Array<T>{x});
}

template <size_t I, class T>
void unary_grad(const void* dz, const void* x, const void* z, void* dx, int64_t n) {
  constexpr Reads reads = std::get<I>(kUnary).reads;
  const auto& f = std::get<I>(kUnary).dx;
  const Array<T> g{dz};
  T* out = static_cast<T*>(dx);
  if constexpr (reads == Reads::x)
    map(
        out, n, [&](auto v, auto w) { return f(v, w, w); }, g, Array<T>{x});
  else if constexpr (reads == Reads::z)
    map(
        out, n, [&](auto v, auto w) { return f(v, w, w); }, g, Array<T>{z});
  else
    map(
        out, n, [&](auto v) { return f(v, v, v); }, g);
}

template <size_t I, class T>
void binary(const LoopOperand& a, const LoopOperand& b, void* z, int64_t n) {
  with_reader<T>(a, [&](auto ra) {
    with_reader<T>(b, [&](auto rb) { map(static_cast<T*>(z), n, std::get<I>(kBinary).z, ra, rb); });
  });
}

/// Calls loop(reader of a, reader of b); what the derivative does not read is not loaded.
template <Reads reads, class T, class Loop>
void with_readers(const LoopOperand& a, const LoopOperand& b, const Loop& loop) {
  const Same<T> unread(T{});
  if constexpr (reads == Reads::both)
    with_reader<T>(a, [&](auto ra) { with_reader<T>(b, [&](auto rb) { loop(ra, rb); }); });
  else if constexpr (reads == Reads::a)
    with_reader<T>(a, [&](auto ra) { loop(ra, unread); });
  else if constexpr (reads == Reads::b)
    with_reader<T>(b, [&](auto rb) { loop(unread, rb); });
  else
    loop(unread, unread);
}

template <size_t I, class T>
void binary_da(const void* dz, const LoopOperand& a, const LoopOperand& b, void* da, int64_t n) {
  constexpr auto& row = std::get<I>(kBinary);
  with_readers<row.da_reads, T>(
      a, b, [&](auto ra, auto rb) { map(static_cast<T*>(da), n, row.da, Array<T>{dz}, ra, rb); });
}

template <size_t I, class T>
void binary_db(const void* dz, const LoopOperand& a, const LoopOperand& b, void* db, int64_t n) {
  constexpr auto& row = std::get<I>(kBinary);
  with_readers<row.db_reads, T>(
      a, b, [&](auto ra, auto rb) { map(static_cast<T*>(db), n, row.db, Array<T>{dz}, ra, rb); });
}

template <size_t I, class T>
void compare(const LoopOperand& a, const LoopOperand& b, void* z, int64_t n) {
  const T *pa = a.as<T>(), *pb = b.as<T>();
  bool* out = static_cast<bool*>(z);
  const auto& f = std::get<I>(kCompare);
  if (b.scalar)
    for (int64_t i = 0; i < n; ++i) out[i] = f(pa[i], *pb);
  else if (a.scalar)
    for (int64_t i = 0; i < n; ++i) out[i] = f(*pa, pb[i]);
  else
    for (int64_t i = 0; i < n; ++i) out[i] = f(pa[i], pb[i]);
}

/// Calls add.operator()<T>() for the element types of the domain.
template <Domain domain, class Add>
constexpr void for_types(const Add& add) {
  add.template operator()<float>();
  add.template operator()<double>();
  if constexpr (domain == Domain::numeric) {
    add.template operator()<int32_t>();
    add.template operator()<int64_t>();
    add.template operator()<uint8_t>();
  }
}

template <size_t I>
constexpr UnaryOp unary_op() {
  constexpr auto& row = std::get<I>(kUnary);
  static_assert(row.op == static_cast<Unary>(I));
  UnaryOp op{row.name, row.summary, row.reads, row.cost, row.activation, {}, {}};
  const auto add = [&]<class T>() { op.forward[kIndex<T>] = unary<I, T>; };
  const auto add_grad = [&]<class T>() { op.backward[kIndex<T>] = unary_grad<I, T>; };
  for_types<row.domain>(add);
  if constexpr (row.reads != Reads::no_derivative) for_types<Domain::floating>(add_grad);
  return op;
}

template <size_t I>
constexpr BinaryOp binary_op() {
  constexpr auto& row = std::get<I>(kBinary);
  static_assert(row.op == static_cast<Binary>(I));
  BinaryOp op{row.name, row.da_reads, row.db_reads, row.cost, {}, {}, {}};
  const auto add = [&]<class T>() { op.forward[kIndex<T>] = binary<I, T>; };
  const auto add_grad = [&]<class T>() {
    op.da[kIndex<T>] = binary_da<I, T>;
    op.db[kIndex<T>] = binary_db<I, T>;
  };
  for_types<row.domain>(add);
  for_types<Domain::floating>(add_grad);
  return op;
}

template <size_t... U, size_t... B, size_t... C>
constexpr ElementwiseOps make(std::index_sequence<U...>, std::index_sequence<B...>,
                              std::index_sequence<C...>) {
  return {{unary_op<U>()...},
          {binary_op<B>()...},
          {{compare<C, float>, compare<C, double>, compare<C, int32_t>, compare<C, int64_t>,
            compare<C, uint8_t>, compare<C, uint8_t>}...}};
}

}  // namespace

constinit extern const ElementwiseOps elementwise_ops =
    make(std::make_index_sequence<kUnaryOps>(), std::make_index_sequence<kBinaryOps>(),
         std::make_index_sequence<kComparisons>());

}  // namespace normlab::NORMLAB_ISA
