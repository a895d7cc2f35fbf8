"""Translators: the network, beam search beside a plain one, model files."""

import math
from pathlib import Path

import numpy as np
import pytest

import normlab as nl
from normlab import text, translate
from normlab.translate import Subwords, Translator, search

V = 40
BEGIN, END = 1, 2


def pack(lists: list[list[int]]) -> text.Packed:
    return text.pack(lists)


def toy(norm: str = "layernorm", *, sharp: float = 1.0, **options) -> Translator:
    """A network that is not trained; `sharp` spreads its logits."""
    given = {"size": 24, "heads": 2, "hidden": 32, "layers": 2, "decoder_layers": 2}
    net = Translator(V, V, norm=norm, **{**given, "dropout": 0.0, **options})
    for parameter in net.parameters():
        parameter.detach().copy_(parameter.detach() * sharp)
    net.eval()
    return net


def sentences(n: int, seed: int = 0, longest: int = 9) -> list[list[int]]:
    rng = np.random.default_rng(seed)
    return [rng.integers(3, V, rng.integers(1, longest + 1)).tolist() for _ in range(n)]


# --- network --------------------------------------------------------------------------------------


@pytest.mark.parametrize("pre_norm", [True, False])
@pytest.mark.parametrize("norm", ["layernorm", "none", "adanorm", "detachnorm", "rmsnorm"])
def test_a_sentence_has_the_same_logits_in_company_and_alone(norm: str, pre_norm: bool):
    net = toy(norm, pre_norm=pre_norm)
    sources, targets = sentences(5), [[BEGIN, *s] for s in sentences(5, 1)]
    with nl.no_grad():
        together = net(pack([[*s, END] for s in sources]), pack(targets)).numpy()
        start = 0
        for source, target in zip(sources, targets, strict=True):
            alone = net(pack([[*source, END]]), pack([target])).numpy()
            part = together[start : start + len(target)]
            np.testing.assert_allclose(part, alone, rtol=1e-4, atol=1e-5)
            start += len(target)


def test_no_logit_depends_on_a_later_subword():
    net = toy()
    source = pack([[5, 6, END]])
    with nl.no_grad():
        short = net(source, pack([[BEGIN, 7, 8]])).numpy()
        long = net(source, pack([[BEGIN, 7, 8, 9, 10]])).numpy()
    np.testing.assert_allclose(short, long[:3], rtol=1e-5, atol=1e-6)


def test_steps_with_a_cache_are_the_whole_sentence():
    net = toy()
    sources, targets = sentences(3), [[BEGIN, *s][:4] for s in sentences(3, 1)]
    targets = [(t + [5] * 4)[:4] for t in targets]
    packed = pack([[*s, END] for s in sources])
    with nl.no_grad():
        whole = net(packed, pack(targets)).numpy().reshape(3, 4, V)
        memory, cache = net.encode(packed), nl.nn.KeyValueCache()
        for i in range(4):
            step = net.decode(pack([[t[i]] for t in targets]), memory, packed.offsets, cache)
            np.testing.assert_allclose(step.numpy(), whole[:, i], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("shared", "names"),
    [
        ((True, True), {"target.weight"}),
        ((True, False), {"target.weight", "output.weight"}),
        ((False, True), {"source.weight", "target.weight"}),
        ((False, False), {"source.weight", "target.weight", "output.weight"}),
    ],
)
def test_shared_tables_are_one_parameter_with_one_gradient(shared, names: set[str]):
    embeddings, output = shared
    net = toy(share_embeddings=embeddings, share_output=output)
    tables = {
        name: p
        for name, p in net.named_parameters()
        if name.count(".") == 1 and not name.startswith(("encoder", "decoder"))
    }
    assert set(tables) == names
    source, target = pack([[5, 6, END]]), pack([[BEGIN, 7]])
    weight = nl.tensor(np.random.default_rng(0).normal(size=(2, V)).astype(np.float32))

    def loss() -> nl.Tensor:
        return (net(source, target) * weight).sum()

    loss().backward()
    rng = np.random.default_rng(1)
    for name, table in tables.items():
        along = rng.normal(size=table.shape).astype(np.float32)
        expected = float((table.grad.numpy() * along).sum())
        before = table.numpy().copy()
        values = []
        for step in (1e-3, -1e-3):
            table.detach().copy_(nl.tensor(before + step * along))
            values.append(loss().item())
        table.detach().copy_(nl.tensor(before))
        assert math.isclose((values[0] - values[1]) / 2e-3, expected, rel_tol=2e-2), name


def test_tables_begin_small_and_are_scaled():
    net = Translator(2000, 2000, 64)
    weights = dict(net.named_parameters())["target.weight"].numpy()
    assert abs(weights.std() - 64**-0.5) < 0.003


def test_what_the_network_refuses():
    with pytest.raises(nl.ArgumentError, match="share_embeddings needs one vocabulary"):
        Translator(10, 11)
    with pytest.raises(nl.ArgumentError, match="more than the first 3 subwords"):
        Translator(3, 3)
    net = toy(positions=5)
    with pytest.raises(nl.ArgumentError, match="sentence 1 has 6 subwords, the network has 5"):
        net(pack([[5], [5] * 6]), pack([[1], [1]]))
    with pytest.raises(nl.ArgumentError, match="as many sentences, got 1 and 2"):
        net(pack([[5]]), pack([[1], [1]]))


# --- search ---------------------------------------------------------------------------------------


def plain_search(net: Translator, source: list[int], beam: int, alpha: float, gnmt: bool):
    """Beam search as it is defined: no cache, one sentence and one beginning at a time."""
    longest = min(2 * len(source) + 50, net._arguments()["positions"] - 1)
    packed = pack([[*source, END]])
    live: list[tuple[list[int], float]] = [([], 0.0)]
    best, ended = None, 0
    for length in range(1, longest + 1):
        candidates = []
        for i, (tokens, score) in enumerate(live):
            logits = net(packed, pack([[BEGIN, *tokens]])).numpy()[-1].astype(np.float64)
            logs = logits - logits.max() - np.log(np.exp(logits - logits.max()).sum())
            allowed = [END] if length == longest else range(END, V)
            candidates += [(-(score + logs[token]), i, token) for token in allowed]
        candidates.sort()
        following = []
        for rank, (minus, i, token) in enumerate(candidates[: 2 * beam]):
            if token == END:
                if rank < beam:
                    ended += 1
                    penalty = ((5 + length) / 6 if gnmt else length) ** alpha
                    found = (-minus / penalty, live[i][0])
                    best = found if best is None or found[0] > best[0] else best
            elif len(following) < beam:
                following.append(([*live[i][0], token], -minus))
        live = following
        if ended >= beam or not live:
            break
    return best


@pytest.mark.parametrize("beam", [1, 4, 5])
def test_beam_search_is_the_plain_one_on_200_sentences(beam: int):
    net = toy(sharp=1.6, size=16, hidden=16, layers=1, decoder_layers=1)
    sources = sentences(200, 2, 7)
    gnmt = beam == 4
    found = search(net, sources, beam=beam, alpha=0.6, penalty="gnmt" if gnmt else "power")
    lengths = set()
    with nl.no_grad():
        for source, (tokens, score) in zip(sources, found, strict=True):
            expected = plain_search(net, source, beam, 0.6, gnmt)
            assert tokens == expected[1]
            assert math.isclose(score, expected[0], rel_tol=1e-4, abs_tol=1e-5)
            lengths.add(len(tokens))
    assert len(lengths) > 2  # neither always empty nor always of one length


def test_nothing_depends_on_company_and_threads():
    net = toy(sharp=1.5)
    sources = sentences(60, 3)
    expected = search(net, sources)
    assert len({tuple(tokens) for tokens, _ in expected}) > 20
    for together in (1, 2, 7, 48, 1000):
        assert search(net, sources, sentences=together) == expected
    assert [search(net, [source])[0] for source in sources] == expected
    assert search(net, sources[::-1]) == expected[::-1]
    for threads in (1, 2, 3):
        nl.set_num_threads(threads)
        assert search(net, sources) == expected


def test_wide_beams_and_short_positions():
    net = toy(sharp=1.5, positions=6)
    sources = sentences(10, 4, 5)
    wide = search(net, sources, beam=60)
    assert all(len(tokens) <= 5 for tokens, _ in wide)
    assert search(net, sources, beam=60, sentences=1) == wide
    assert search(net, []) == []


def test_a_translation_ends_at_twice_the_length_and_50_more():
    net = toy(norm="none")
    for parameter in net.parameters():
        parameter.detach().copy_(parameter.detach() * 0)
    table = dict(net.named_parameters())["target.weight"]
    values = np.zeros(table.shape, np.float32)
    values[7], values[END] = 1, -1  # sines make the sum of a row positive: always 7, never END
    table.detach().copy_(nl.tensor(values))
    ((tokens, _),) = search(net, [[5, 6]], beam=1)
    assert tokens == [7] * 53


def test_a_network_of_nan_translates_to_nothing():
    net = toy()
    for parameter in net.parameters():
        parameter.detach().copy_(parameter.detach() * math.nan)
    assert search(net, [[5, 6], [7]]) == [([], 0.0), ([], 0.0)]


def test_searches_that_are_refused():
    net = toy(positions=6)
    with pytest.raises(
        nl.ArgumentError, match="sentence 1 has 6 subwords, the model takes at most 5"
    ):
        search(net, [[5], [5] * 6])
    for beam in (0, 1001):
        with pytest.raises(nl.ArgumentError, match=f"beam must be 1 to 1000, got {beam}"):
            search(net, [[5]], beam=beam)
    with pytest.raises(nl.ArgumentError, match="penalty: must be 'power' or 'gnmt', got \"x\""):
        search(net, [[5]], penalty="x")


def test_the_search_leaves_training_mode_as_it_was():
    net = toy(dropout=0.5)
    net.train()
    found = search(net, sentences(5))
    assert net.training
    assert search(net, sentences(5)) == found


# --- model ----------------------------------------------------------------------------------------

PIECES = ["\u2581", *"abcdefghijklmnopqrstuvwxyz", "\u2581a", "\u2581the", "he", "th"]


def model(**options) -> translate.Model:
    pieces = Subwords(PIECES)
    return translate.Model(
        toy(sharp=1.5, **{"positions": 32, **options}) if len(pieces) == V else sized(options),
        pieces,
        pieces,
        "en",
        "de",
        {"task": "translate"},
    )


def sized(options) -> Translator:
    n = len(PIECES) + 3
    net = Translator(n, n, 24, 2, 32, 2, 2, positions=options.get("positions", 32), dropout=0.0)
    for parameter in net.parameters():
        parameter.detach().copy_(parameter.detach() * 1.5)
    net.eval()
    return net


LINES = ["the cat", "", "a the he", "zebra 7 \U0001f600", "  ", "x"]


def test_a_model_file_translates_as_the_model_did(tmp_path: Path):
    made = model()
    path = tmp_path / "m.safetensors"
    translate.save_model(path, made)
    read = translate.load_model(path)
    assert read.translate(LINES) == made.translate(LINES)
    assert read.translate(LINES)[1] == read.translate(LINES)[4] == ""
    assert [read.translate([line])[0] for line in LINES] == read.translate(LINES)
    assert (read.source_language, read.target_language) == ("en", "de")
    assert read.notes == {"task": "translate"}
    assert read.source.pieces() == PIECES
    assert read.translator._arguments() == made.translator._arguments()


def test_a_model_of_lower_case_says_so_in_its_file(tmp_path: Path):
    nl.manual_seed(0)
    n = len(PIECES) + 3
    net = Translator(n, n, 24, 2, 32, 2, 2, positions=40, share_output=False, dropout=0.0)
    for parameter in net.parameters():
        parameter.detach().copy_(parameter.detach() * 2.0)
    made = translate.Model(net, Subwords(PIECES), Subwords(PIECES), "en", "de")
    small = translate.Model(made.translator, made.source, made.target, "en", "de", lower=True)
    translate.save_model(tmp_path / "m", small)
    read = translate.load_model(tmp_path / "m")
    assert read.lower and not made.lower
    assert read.translate(["THE Cat", "a"]) == made.translate(["the cat", "a"])
    assert made.translate(["THE Cat"]) != made.translate(["the cat"])
    translate.save_model(tmp_path / "m", made)
    tensors, metadata = nl.load_with_metadata(tmp_path / "m")
    assert "lower" not in metadata and not translate.load_model(tmp_path / "m").lower
    nl.save(tmp_path / "m", tensors, metadata | {"lower": "yes"})
    with pytest.raises(nl.FileError, match='lower: must be true or false, is "yes"'):
        translate.load_model(tmp_path / "m")


def test_lower_case_is_that_of_the_common_alphabets():
    capitals = "ABCXYZ ÀÄÖÜÉÑØÞ ĀĘŁŇŠŽ ΑΒΓΣΩ АБВЯЁЇ ԱԲՖ ẤỀỄ \uff21\uff3a"
    assert translate.lower_case(capitals) == capitals.lower()
    other = "abc ß ÷ 漢字 \U0001f600 İ ẞ \0 123 \u2581"  # no capitals, or of other lengths
    assert translate.lower_case(other) == other
    assert translate.lower_case(b"A\xff\xe2\x96B") == "a\ufffd\ufffd\ufffdb"


def test_a_line_that_is_too_long_is_named():
    made = model(positions=10)
    with pytest.raises(nl.ArgumentError, match="line 1 has 21 subwords, the model takes at most 9"):
        made.translate(["a", "b" * 20])
    with pytest.raises(nl.ArgumentError, match="the line has 21 subwords"):
        made.translate(["b" * 20])


def test_models_that_cannot_be_saved(tmp_path: Path):
    net = sized({})
    other = translate.Model(net, Subwords(["a"]), Subwords(PIECES), "en", "de")
    with pytest.raises(nl.ArgumentError, match="must have the translator's 34 and 34 subwords"):
        translate.save_model(tmp_path / "m", other)
    turned = Subwords(PIECES[::-1])
    with pytest.raises(nl.ArgumentError, match="both languages must have the same subwords"):
        translate.save_model(
            tmp_path / "m", translate.Model(net, turned, Subwords(PIECES), "a", "b")
        )
    with pytest.raises(nl.ArgumentError, match="language: must be a name such as 'en', got \"\""):
        pieces = Subwords(PIECES)
        translate.save_model(tmp_path / "m", translate.Model(net, pieces, pieces, "", "de"))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"format": "normlab.parser"}, "a model of another task"),
        ({"version": "9"}, "version: must be 1"),
        ({"target_language": None}, '"target_language" is missing'),
        ({"positions": "-5"}, "positions must be at least 2"),
        ({"positions": "99999999999"}, "positions: must be at most"),
        ({"size": "25"}, '"target.weight" must have shape'),
        ({"decoder_layers": "3"}, '"decoder.2.attention.qkv.weight" is missing'),
        ({"target_pieces": "a\nb"}, '"target.weight" must have shape'),
        ({"norm": "none"}, "unexpected"),
        ({"surplus": "1"}, '"surplus" is not known'),
    ],
)
def test_files_that_are_refused(tmp_path: Path, change: dict[str, str | None], said: str):
    path = tmp_path / "m.safetensors"
    translate.save_model(path, model())
    tensors, metadata = nl.load_with_metadata(path)
    for key, value in change.items():
        metadata.pop(key, None)
        if value is not None:
            metadata[key] = value
    nl.save(path, tensors, metadata)
    with pytest.raises(nl.FileError, match=said):
        translate.load_model(path)
