#pragma once

#include "op_row.h"

// Rows of op_table.h with indices and packed sentences.

namespace normlab::test::rows {

/// x moved to where the inputs are.
inline Tensor beside(const Inputs& in, const Tensor& x) {
  return x.to(in[0].device());
}

inline void add_indexing(std::vector<OpRow>& all) {
  struct Case {
    Shape x, index;
  };
  for (const Case& c : {Case{{5, 3}, {7}}, Case{{5, 4}, {2, 3}}, Case{{1, 1}, {1}},
                        Case{{4, 0}, {3}}, Case{{9}, {513}}, Case{{300, 2, 3}, {4096}},
                        Case{{7, 33}, {4097}}, Case{{70000, 1}, {9000}}, Case{{3, 130}, {8193}},
                        Case{{2, 2}, {0}}, Case{{20, 256}, {20}}, Case{{3, 5001}, {40}}}) {
    const int64_t n = c.x[0];
    for (const DType dtype : {DType::int32, DType::int64}) {
      const Tensor index = test::indices(c.index, -n, n, 3).to(dtype);
      all.push_back({.name = "take",
                     .call = [=](const Inputs& in) { return take(in[0], beside(in, index)); },
                     .inputs = {{leaf(c.x, 4)}},
                     .bfloat16 = 0.01,
                     .refuses_integers = false});
    }
  }
  for (const int axis : {0, 1, 2})
    for (const int64_t length : {1, 7, 100})
      for (Shape shape : {Shape{3, 4, 5}, Shape{2, 3, 4}, Shape{1, 1, 1}, Shape{0, 4, 5}}) {
        if (shape.numel() > 0) shape[axis] = length;
        const int64_t n = Shape{3, 4, 5}[axis];
        const Tensor index = test::indices(shape, -n, n, 8);
        all.push_back(
            {.name = "gather",
             .call = [=](const Inputs& in) { return gather(in[0], axis, beside(in, index)); },
             .inputs = {{leaf({3, 4, 5}, 9)}},
             .bfloat16 = length < 9 ? 0.02 : 0.1,
             .refuses_integers = false});
      }
  const Tensor one_axis = test::indices({9}, 0, 7, 8);
  all.push_back({.name = "gather",
                 .call = [=](const Inputs& in) { return gather(in[0], 0, beside(in, one_axis)); },
                 .inputs = {{leaf({7}, 7)}},
                 .refuses_integers = false});
  const Tensor words = test::indices({2, 6}, 0, 5, 4);
  all.push_back({.name = "embedding",
                 .call = [=](const Inputs& in) { return embedding(in[0], beside(in, words)); },
                 .inputs = {{leaf({5, 3}, 3)}},
                 .refuses_integers = false});
  for (const int64_t count : {300, 20000}) {
    const Tensor index =  // half are 0
        test::indices({count}, 0, 40, 5) * test::indices({count}, 0, 2, 6);
    for (const std::optional<int64_t> padding : {std::optional<int64_t>(), {0}, {-1}})
      all.push_back(
          {.name = "embedding with padding",
           .call = [=](const Inputs& in) { return embedding(in[0], beside(in, index), padding); },
           .inputs = {{leaf({40, 50}, 7)}},
           .refuses_integers = false});
  }
}

inline void add_cross_attention(std::vector<OpRow>& all) {
  struct Case {
    std::vector<int64_t> queries, keys;
    int64_t heads, depth;
  };
  const std::vector<Case> cases = {{{2, 0, 1, 4}, {3, 2, 1, 4}, 2, 3},
                                   {{1}, {1}, 1, 1},
                                   {{0, 0}, {3, 0}, 2, 2},
                                   {{1}, {513}, 1, 3},
                                   {{1, 1, 1}, {40, 1, 77}, 2, 16},
                                   {{33, 31, 32}, {33, 70, 40}, 1, 33},
                                   {{50, 3}, {96, 45}, 2, 64},
                                   {{5, 37}, {5, 38}, 1, 130}};
  for (const Case& c : cases)
    for (const bool causal : {false, true}) {
      const Tensor offsets = offsets_of(c.queries), key_offsets = offsets_of(c.keys);
      const int64_t size = c.heads * c.depth;
      all.push_back({.name = causal ? "causal cross_attention" : "cross_attention",
                     .call =
                         [=](const Inputs& in) {
                           return cross_attention(in[0], in[1], beside(in, offsets),
                                                  beside(in, key_offsets), c.heads, causal);
                         },
                     .inputs = {{leaf({offsets[-1].item<int64_t>(), size}, 1),
                                 leaf({key_offsets[-1].item<int64_t>(), 2 * size}, 2)}},
                     .bfloat16 = 0.03,
                     .refuses_integers = false,
                     .gradient = 1e-7});
    }
}

inline void add_packed(std::vector<OpRow>& all) {
  struct Case {
    std::vector<int64_t> lengths;
    int64_t heads, depth;
  };
  const std::vector<Case> cases = {
      {{2, 0, 1, 4}, 2, 3}, {{43}, 1, 1},          {{3, 0, 1, 5, 45}, 2, 3}, {{1}, 1, 1},
      {{0, 70, 0}, 3, 16},  {{33, 31, 32}, 1, 33}, {{9, 40}, 2, 64},         {{5, 37}, 1, 100},
      {{5, 37}, 1, 128},    {{4, 35, 2}, 2, 130},  {{3, 34}, 1, 256},        {{200}, 1, 8}};
  for (const Case& c : cases) {
    const Tensor offsets = offsets_of(c.lengths);
    const int64_t T = offsets[-1].item<int64_t>();
    for (const bool causal : {false, true})
      all.push_back({.name = causal ? "causal attention" : "attention",
                     .call =
                         [=](const Inputs& in) {
                           return attention(in[0], beside(in, offsets), c.heads, causal);
                         },
                     .inputs = {{leaf({T, 3 * c.heads * c.depth}, 1)}},
                     .bfloat16 = 0.03,
                     .refuses_integers = false,
                     .gradient = 1e-7});
  }
  add_cross_attention(all);
  for (const std::vector<int64_t>& lengths :
       {std::vector<int64_t>{2, 0, 3}, {3, 0, 1, 5, 45}, {700}, {0, 0}, {}})
    for (const int64_t size : {0, 1, 3, 33, 513}) {
      const Tensor offsets = offsets_of(lengths);
      const int64_t T = offsets[-1].item<int64_t>();
      all.push_back(
          {.name = "segment_mean",
           .call = [=](const Inputs& in) { return segment_mean(in[0], beside(in, offsets)); },
           .inputs = {{leaf({T, size}, 1)}},
           .bfloat16 = 0.01,
           .refuses_integers = false,
           .gradient = 1e-8});
    }
}

}  // namespace normlab::test::rows
