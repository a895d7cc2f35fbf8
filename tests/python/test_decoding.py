"""Decoding token by token with a cache beside the same network over whole sentences."""

import numpy as np
import pytest

import normlab as nl

SIZE, HEADS, HIDDEN = 24, 3, 40  # heads of 8 elements
LENGTHS = np.array([7, 1, 90, 65])
MEMORY = np.array([3, 70, 1, 9])


def offsets_of(lengths):
    return nl.tensor(np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64))


def rows_of(x, lengths, begin, end):
    """Rows [begin[s], end[s]) of each sentence s of packed x."""
    first = np.concatenate([[0], np.cumsum(lengths)])[:-1]
    return np.concatenate(
        [np.arange(f + b, f + e) for f, b, e in zip(first, begin, end, strict=True)]
    )


class Encoder:
    """A language model's network, and its steps."""

    def __init__(self, dtype="float32", device="cpu", **options):
        self.net = nl.nn.TransformerEncoder(SIZE, HEADS, HIDDEN, 2, causal=True, **options)
        self.net.eval().to(dtype).to(device)

    def whole(self, x, lengths):
        return self.net(x, offsets_of(lengths).to(x.device))

    def step(self, x, lengths, cache):
        return self.net(x, offsets_of(lengths).to(x.device), cache)


class Decoder:
    """A translator's network with its memory, and its steps."""

    def __init__(self, dtype="float32", device="cpu", **options):
        self.net = nl.nn.TransformerDecoder(SIZE, HEADS, HIDDEN, 2, **options)
        self.net.eval().to(dtype).to(device)
        memory = nl.randn((int(MEMORY.sum()), SIZE), generator=nl.Generator(5))
        self.memory = memory.to(dtype).to(device)
        self.offsets = offsets_of(MEMORY).to(device)

    def whole(self, x, lengths):
        return self.net(x, self.memory, offsets_of(lengths).to(x.device), self.offsets)

    def step(self, x, lengths, cache):
        offsets = offsets_of(lengths).to(x.device)
        if cache.lengths:
            return self.net(x, None, offsets, cache=cache)
        return self.net(x, self.memory, offsets, self.offsets, cache)


DEVICES = [
    "cpu",
    pytest.param("cuda", marks=pytest.mark.skipif(not nl.cuda.is_available(), reason="no GPU")),
]


def parts(rng):
    """Where each sentence's calls begin and end: a prompt, some tokens, then one each."""
    first = np.minimum(LENGTHS, rng.integers(1, 50, len(LENGTHS)))
    second = np.minimum(LENGTHS, first + rng.integers(0, 20, len(LENGTHS)))
    ends = [first, second]
    while (ends[-1] < LENGTHS).any():
        ends.append(np.minimum(LENGTHS, ends[-1] + 1))
    return ends


@pytest.mark.parametrize("kind", [Encoder, Decoder])
@pytest.mark.parametrize("pre_norm", [True, False])
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [("float64", 1e-13), ("float32", 5e-6), ("bfloat16", 0.1)]
)
@pytest.mark.parametrize("device", DEVICES)
def test_steps_are_the_whole(kind, pre_norm, dtype, tolerance, device):
    model = kind(dtype, device, pre_norm=pre_norm)
    rng = np.random.default_rng(1)
    x = nl.tensor(rng.normal(size=(LENGTHS.sum(), SIZE))).to(dtype).to(device)
    with nl.no_grad():
        whole = model.whole(x, LENGTHS).to("cpu").to("float64").numpy()
        cache = nl.nn.KeyValueCache()
        begin = np.zeros_like(LENGTHS)
        for end in parts(rng):
            rows = rows_of(x, LENGTHS, begin, end)
            z = model.step(nl.take(x, nl.tensor(rows).to(device)), end - begin, cache)
            np.testing.assert_allclose(
                z.to("cpu").to("float64").numpy(), whole[rows], atol=tolerance, rtol=tolerance
            )
            assert cache.lengths == end.tolist()
            begin = end


def decode(model, x, steps):
    cache = nl.nn.KeyValueCache()
    z = [model.step(nl.tensor(x[:, 0]), [1] * len(x), cache)]
    for t in range(1, steps):
        z.append(model.step(nl.tensor(x[:, t]), [1] * len(x), cache))
    return np.stack([part.numpy() for part in z], axis=1)


def test_the_company_and_the_threads_do_not_change_a_bit():
    model = Encoder()
    x = np.random.default_rng(2).normal(size=(9, 70, SIZE)).astype(np.float32)
    threads = nl.num_threads()
    with nl.no_grad():
        together = decode(model, x, 70)
        for sentence in (0, 4, 8):
            np.testing.assert_array_equal(
                decode(model, x[sentence : sentence + 1], 70)[0], together[sentence]
            )
        try:
            for n in (1, 3):
                nl.set_num_threads(n)
                np.testing.assert_array_equal(decode(model, x, 70), together)
        finally:
            nl.set_num_threads(threads)


@pytest.mark.parametrize("kind", [Encoder, Decoder])
@pytest.mark.parametrize("device", DEVICES)
def test_take_goes_on_with_the_sentences_that_it_names(kind, device):
    model = kind(device=device)
    rng = np.random.default_rng(3)
    histories = [rng.normal(size=(n, SIZE)).astype(np.float32) for n in (4, 2, 6, 3)]
    sources = [0, 1, 2, 3]
    cache = nl.nn.KeyValueCache()
    with nl.no_grad():
        model.step(
            nl.tensor(np.concatenate(histories)).to(device), [len(h) for h in histories], cache
        )
        for index in ([0, 1, 2, 3], [3, 1, 1, 0, 3, 2], [5, 0, 2], [0, 0, 0, 0, 0, 2, 1], [6]):
            cache.take(index)
            histories = [histories[i] for i in index]
            sources = [sources[i] for i in index]
            assert cache.lengths == [len(h) for h in histories]
            new = rng.normal(size=(len(index), SIZE)).astype(np.float32)
            histories = [np.concatenate([h, x[None]]) for h, x in zip(histories, new, strict=True)]
            z = model.step(nl.tensor(new).to(device), [1] * len(index), cache).to("cpu").numpy()
            for s, history in enumerate(histories):
                given = nl.tensor(history).to(device)
                if kind is Encoder:
                    whole = model.net(given)
                else:
                    at = np.concatenate([[0], np.cumsum(MEMORY)])[sources[s] :][:2]
                    whole = model.net(given, model.memory[int(at[0]) : int(at[1])])
                np.testing.assert_allclose(z[s], whole.to("cpu").numpy()[-1], atol=5e-6)


def test_what_a_cache_refuses():
    encoder, cache = Encoder().net, nl.nn.KeyValueCache()
    x, offsets = nl.zeros((3, SIZE)), nl.tensor([0, 1, 3])
    assert cache.lengths == []
    with pytest.raises(nl.ArgumentError, match=r"no gradients; call it within nl\.no_grad\(\)"):
        encoder(x, offsets, cache)
    with nl.no_grad():
        with pytest.raises(nl.ArgumentError, match="needs causal attention"):
            nl.nn.TransformerEncoder(SIZE, HEADS, HIDDEN, 2)(x, offsets, cache)
        encoder(x, offsets, cache)
        with pytest.raises(nl.ArgumentError, match="holds 2 sentences, offsets are of 1"):
            encoder(x, nl.tensor([0, 3]), cache)
        with pytest.raises(nl.ArgumentError, match="another module's, of 2 layers of size 24"):
            nl.nn.TransformerEncoder(SIZE, HEADS, HIDDEN, 1, causal=True)(x, offsets, cache)
        with pytest.raises(nl.ArgumentError, match="an encoder's"):
            nl.nn.TransformerDecoder(SIZE, HEADS, HIDDEN, 2)(x, x, offsets, offsets, cache)
        for index in ([2], [0, -1]):
            with pytest.raises(nl.RangeError, match=r"in \[0, 2\), the number of its sentences"):
                cache.take(index)
        decoder, fresh = Decoder().net, nl.nn.KeyValueCache()
        with pytest.raises(nl.ArgumentError, match="first call with a cache needs a memory"):
            decoder(x, None, offsets, None, fresh)
        with pytest.raises(nl.ArgumentError, match="the memory of sentence 1 is empty"):
            decoder(x, x, offsets, nl.tensor([0, 3, 3]), fresh)
        assert fresh.lengths == []
        decoder(x, x, offsets, offsets, fresh)
        assert fresh.lengths == [1, 2]
    assert cache.lengths == [1, 2]


def test_a_cache_grows_by_doubling():
    net = nl.nn.TransformerEncoder(16, 1, 16, 1, causal=True).eval()
    cache, x, offsets = nl.nn.KeyValueCache(), nl.zeros((1, 16)), nl.tensor([0, 1])
    allocated = []
    with nl.no_grad():
        for _ in range(1000):
            net(x, offsets, cache)
            allocated.append(nl.memory_stats()["in_use"])
    assert len(set(allocated)) <= 8
