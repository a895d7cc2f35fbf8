"""`normlab export` and nl.onnx: every variant in ONNX Runtime, padding, ties, errors."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from test_study_text import SETTINGS, reviews

import normlab as nl
from normlab import language, text, translate
from normlab.data import standin_digits, standin_text
from normlab.onnx import norms
from normlab.onnx.graph import Graph
from normlab.settings import Settings
from normlab.study import Study, Task
from normlab.study.charlm import CharacterSettings, CharacterTask
from normlab.study.images import ImageTask, load_network
from normlab.study.text import TextTask

VARIANTS = nl.norm_variants()
DENOMINATORS = ("var_eps", "std_eps")
OPSETS = (17, 23)
MOST = 1e-5

Array = NDArray[Any]


def run(path: Path, **feeds: Array) -> Array:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (result,) = session.run(None, feeds)
    return np.asarray(result)


def operators(path: Path) -> list[str]:
    return [node.op_type for node in onnx.load(path).graph.node]


def metadata(path: Path) -> dict[str, str]:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return dict(session.get_modelmeta().custom_metadata_map)


def command(*words: str | Path, **environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "normlab", "export", *map(str, words)],
        capture_output=True,
        text=True,
        timeout=300,
        env=os.environ | {"NORMLAB_DEBUG": "0"} | environment,
    )


def without_discovery(said: str) -> str:
    """Without what ONNX Runtime says of a machine's graphics cards, whatever it loads."""
    return "".join(line for line in said.splitlines(True) if "device_discovery" not in line)


# --- one norm -------------------------------------------------------------------------------------


def shuffled(module: nl.nn.Module) -> nl.nn.Module:
    """With parameters and running statistics far from their first values."""
    numbers = np.random.default_rng(1)
    for name, value in module.state().items():
        drawn = numbers.uniform(0.5, 2.0, value.shape) * (1 if "var" in name else -1)
        value.detach().copy_(nl.tensor(drawn.astype(np.float32)))
    return module


def rows(*shape: int) -> Array:
    """Normal ones, of which the first has ties and the last equal elements."""
    x = np.random.default_rng(2).standard_normal(shape).astype(np.float32)
    x[0] = np.round(2 * x[0]) / 2
    x[-1] = 0.3
    return x


def options(variant: str) -> dict[str, Any]:
    traits = nl.norm_traits(variant)
    chosen: dict[str, Any] = {"topk_share": 0.2} if traits["clamp"] else {}
    return chosen | ({"C": 1.5, "k": 0.3} if traits["output"] == "adaptive" else {})


def compare(module: nl.nn.Module, x: Array, path: Path, opset: int = 17) -> float:
    """The greatest difference, measured here; of another batch than the file was made with."""
    done = nl.onnx.export(module, path, x[:2], opset=opset)
    assert done.difference is not None
    assert done.difference < MOST
    module.eval()
    with nl.no_grad():
        expected = module(nl.tensor(x)).numpy()
    found = run(path, x=x)
    assert found.shape == expected.shape
    return float(np.abs(found - expected).max())


@pytest.mark.parametrize("opset", OPSETS)
@pytest.mark.parametrize("denominator", DENOMINATORS)
@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("size", [(33,), (4, 3, 5), (32, 2)], ids=str)
def test_a_norm_is_the_same(
    tmp_path: Path, variant: str, denominator: str, opset: int, size: tuple[int, ...]
) -> None:
    norm = nl.nn.Norm(variant, size, denominator=denominator, **options(variant))
    x = rows(6, *size)
    if variant == "instancenorm" and len(size) == 1 and denominator == "std_eps":
        with pytest.raises(nl.ShapeError, match="unbiased deviation"):
            nl.onnx.export(norm, tmp_path / "a", x)
        return
    assert compare(shuffled(norm), x, tmp_path / "norm.onnx", opset) < MOST


@pytest.mark.parametrize("denominator", DENOMINATORS)
@pytest.mark.parametrize("variant", VARIANTS)
def test_a_row_of_equal_elements_without_eps_is_zero(
    tmp_path: Path, variant: str, denominator: str
) -> None:
    norm = nl.nn.Norm(variant, (4, 6), denominator=denominator, eps=0.0, **options(variant))
    x = rows(5, 4, 6)
    x[-2] = 0.0
    assert compare(shuffled(norm), x, tmp_path / "norm.onnx") < MOST


@pytest.mark.parametrize("share", [0.0, 0.05, 0.3, 0.5, 0.8, 1.0])
@pytest.mark.parametrize("values", [2, 3, 8])
def test_ties_of_topk(tmp_path: Path, share: float, values: int) -> None:
    """Shares above a half, where the two ends cross, too."""
    x = np.random.default_rng(3).integers(0, values, (64, 21)).astype(np.float32)
    norm = nl.nn.Norm("topk", 21, topk_share=share)
    assert compare(shuffled(norm), x, tmp_path / "norm.onnx") < MOST


@pytest.mark.parametrize("groups", [1, 2, 8])
def test_groups(tmp_path: Path, groups: int) -> None:
    norm = shuffled(nl.nn.Norm("groupnorm", (8, 3, 3), groups=groups))
    assert compare(norm, rows(4, 8, 3, 3), tmp_path / "norm.onnx") < MOST


def test_instancenorm_with_running_statistics(tmp_path: Path) -> None:
    norm = shuffled(nl.nn.Norm("instancenorm", (3, 4, 4), track_running_stats=True))
    assert compare(norm, rows(4, 3, 4, 4), tmp_path / "norm.onnx") < MOST


@pytest.mark.parametrize("denominator", DENOMINATORS)
def test_a_huge_mean_costs_no_accuracy_of_elementary_operations(
    tmp_path: Path, denominator: str
) -> None:
    norm = nl.nn.Norm("adanorm", 33, denominator=denominator)
    x = np.random.default_rng(0).standard_normal((8, 33)).astype(np.float32) + 1e4
    assert compare(norm, x, tmp_path / "norm.onnx") < MOST


def test_every_shape_of_parameters_is_exported(tmp_path: Path) -> None:
    """So that a forgotten gain or bias cannot hide: each changes the result."""
    x = rows(3, 4, 5)
    for variant in VARIANTS:
        norm = shuffled(nl.nn.Norm(variant, (4, 5)))
        nl.onnx.export(norm, tmp_path / "norm.onnx", x)
        before = run(tmp_path / "norm.onnx", x=x)
        for _, parameter in norm.named_parameters():
            parameter.detach().copy_(parameter.detach() * 1.5)
            nl.onnx.export(norm, tmp_path / "norm.onnx", x)
            after = run(tmp_path / "norm.onnx", x=x)
            assert np.abs(after - before).max() > 1e-3
            before = after


@pytest.mark.parametrize(
    ("variant", "opset", "expected"),
    [
        ("layernorm", 17, ["LayerNormalization"]),
        ("detachnorm", 17, ["LayerNormalization"]),
        ("gradnorm", 17, ["LayerNormalization", "Add"]),
        ("rmsnorm", 23, ["RMSNormalization"]),
        ("adanorm", 17, ["AdaNorm"]),
        ("none", 17, []),
    ],
)
def test_names_of_operators(tmp_path: Path, variant: str, opset: int, expected: list[str]) -> None:
    norm = nl.nn.Norm(variant, 8)
    nl.onnx.export(norm, tmp_path / "norm.onnx", rows(2, 8), opset=opset)
    assert operators(tmp_path / "norm.onnx") == [*expected, "Identity"]


def test_standard_operators_are_for_the_denominator_that_they_have(tmp_path: Path) -> None:
    for variant, opset in (("layernorm", 17), ("rmsnorm", 22)):
        denominator = "std_eps" if variant == "layernorm" else "var_eps"
        norm = nl.nn.Norm(variant, 8, denominator=denominator)
        nl.onnx.export(norm, tmp_path / "norm.onnx", rows(2, 8), opset=opset)
        assert {"ReduceSum", "Div"} <= set(operators(tmp_path / "norm.onnx"))


def test_adanorm_is_a_function_with_its_numbers(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    net = nl.nn.Sequential(
        nl.nn.Norm("adanorm", 8, C=1.5, k=0.3),
        nl.nn.Norm("adanorm", 8, C=2.0, denominator="std_eps"),
        nl.nn.Norm("adanorm", 8, eps=1e-3),
    )
    assert compare(net, rows(4, 8), path) < MOST
    model = onnx.load(path)
    assert [(f.domain, f.name) for f in model.functions] == [
        ("normlab", "AdaNorm"),
        ("normlab", "AdaNormStdEps"),
    ]
    calls = [node for node in model.graph.node if node.domain == "normlab"]
    numbers = [{a.name: round(a.f, 6) for a in node.attribute} for node in calls]
    assert numbers == [
        {"C": 1.5, "k": 0.3, "epsilon": 1e-5},
        {"C": 2.0, "k": 0.1, "epsilon": 1e-5},
        {"C": 1.0, "k": 0.1, "epsilon": 1e-3},
    ]


def normalized(scale: str, x: Array) -> Array:
    """y in float64, by the definitions."""
    centred = x - x.mean(-1, keepdims=True) if scale == "std" else x
    squares = (centred**2).sum(-1, keepdims=True) / (1 if scale == "l2" else x.shape[-1])
    return np.asarray(centred / np.sqrt(squares + 1e-5))


@pytest.mark.parametrize("opset", OPSETS)
@pytest.mark.parametrize("output", ["plain", "affine", "gain", "bias", "residual", "adaptive"])
@pytest.mark.parametrize("scale", ["std", "rms", "l2"])
def test_a_new_row_of_known_traits_needs_no_code(
    monkeypatch: pytest.MonkeyPatch, scale: str, output: str, opset: int
) -> None:
    """Rows that the table does not have, against the definitions."""
    traits = {**nl.norm_traits("layernorm"), "scale": scale, "output": output}
    monkeypatch.setattr("normlab.onnx.norms.norm_traits", lambda name: traits)
    module = shuffled(nl.nn.Norm("layernorm", 9))
    graph = Graph(opset)
    x = graph.input("x", np.float32, ["batch", 9])
    graph.output(norms.norm(graph, module, x), "z", np.float32, ["batch", 9])
    given = rows(4, 9)
    session = onnxruntime.InferenceSession(graph.model("row", "0", {}).SerializeToString())
    (found,) = session.run(None, {"x": given})
    wide = given.astype(np.float64)
    y = normalized(scale, wide)
    gain, bias = module.gain.detach().numpy(), module.bias.detach().numpy()
    expected = {
        "plain": y,
        "affine": y * gain + bias,
        "gain": y * gain,
        "bias": y + bias,
        "residual": wide + y,
        "adaptive": (1 - 0.1 * y) * y,
    }[output]
    np.testing.assert_allclose(found, expected, atol=MOST)


def test_formulas_are_found_by_traits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No variant's name stands in the source; an unknown trait is told."""
    known = {f'"{name}"' for name in VARIANTS if name != "none"}  # the name of a trait, too
    for file in Path(nl.onnx.__file__).parent.glob("*.py"):
        assert not [name for name in known if name in file.read_text("utf-8")], file
    traits = {**nl.norm_traits("layernorm"), "scale": "median"}
    monkeypatch.setattr("normlab.onnx.norms.norm_traits", lambda name: traits)
    with pytest.raises(nl.ArgumentError, match="'layernorm' has scale 'median', which has no for"):
        nl.onnx.export(nl.nn.Norm("layernorm", 8), tmp_path / "a", rows(2, 8))


# --- layers ---------------------------------------------------------------------------------------

LAYERS: dict[str, tuple[nl.nn.Module, tuple[int, ...]]] = {
    "linear": (nl.nn.Linear(7, 5, activation="gelu"), (3, 7)),
    "linear of words": (nl.nn.Linear(7, 5, bias=False), (3, 2, 7)),
    "conv": (nl.nn.Conv2d(3, 4, (3, 2), stride=2, padding=(1, 2), dilation=2), (2, 3, 9, 8)),
    "depthwise": (nl.nn.Conv2d(4, 8, 3, groups=4, bias=False, activation="silu"), (2, 4, 6, 5)),
    "same": (nl.nn.Conv2d(2, 3, (4, 3), padding="same"), (2, 2, 6, 7)),
    "max pool": (nl.nn.MaxPool2d(3, stride=2, padding=1), (2, 3, 7, 8)),
    "mean pool": (nl.nn.AvgPool2d((3, 2), stride=2, padding=1), (2, 3, 7, 8)),
    "mean of what is there": (
        nl.nn.AvgPool2d(3, padding=1, count_include_pad=False),
        (2, 3, 7, 8),
    ),
    "flatten": (nl.nn.Flatten(), (2, 3, 4)),
    "flatten the middle": (nl.nn.Flatten(1, 2), (2, 3, 4, 5)),
    "flatten the end": (nl.nn.Flatten(2), (2, 3, 4, 5)),
    "dropout": (nl.nn.Dropout(0.9), (3, 7)),
    "leaky": (nl.nn.LeakyReLU(0.2), (3, 7)),
    **{
        name: (nl.nn.Activate(name), (5, 9))
        for name in ("none", "relu", "gelu", "tanh", "sigmoid", "silu", "softplus")
    },
    **{
        kind.__name__: (kind(), (5, 9))
        for kind in (
            nl.nn.ReLU,
            nl.nn.GELU,
            nl.nn.Tanh,
            nl.nn.Sigmoid,
            nl.nn.SiLU,
            nl.nn.Softplus,
        )
    },
}


@pytest.mark.parametrize("opset", OPSETS)
@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_is_the_same(tmp_path: Path, name: str, opset: int) -> None:
    module, shape = LAYERS[name]
    x = 3 * np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    assert compare(module, x, tmp_path / "layer.onnx", opset) < MOST


def test_embedding(tmp_path: Path) -> None:
    net = nl.nn.Sequential(nl.nn.Embedding(9, 4), nl.nn.Norm("rmsnorm", 4), nl.nn.Flatten())
    x = np.random.default_rng(0).integers(0, 9, (5, 3))
    assert compare(net, x, tmp_path / "net.onnx") < MOST


def test_training_goes_on_as_it_was(tmp_path: Path) -> None:
    net = nl.nn.Sequential(nl.nn.Norm("batchnorm", 8), nl.nn.Dropout(0.5), nl.nn.Dropout(0.5))
    net[1].eval()
    before = {name: value.numpy().copy() for name, value in net.state().items()}
    random = nl.get_rng_state()
    nl.onnx.export(net, tmp_path / "net.onnx", rows(4, 8))
    assert [part.training for part in (net, *net)] == [True, True, False, True]
    assert nl.get_rng_state() == random
    for name, value in net.state().items():
        np.testing.assert_array_equal(value.numpy(), before[name])


# --- models of studies ----------------------------------------------------------------------------


@pytest.fixture(scope="module", autouse=True)
def _no_reports() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("normlab.report.write_report", lambda folder: [])
        yield


def digits() -> ImageTask:
    task = ImageTask(
        "digits",
        "Digits",
        lambda: standin_digits(0, train=64, valid=20, test=20),
        mean=0.13,
        std=0.31,
    )
    task.settings = Settings(epochs=1, patience=1, batch=32, lr=1e-3)
    return task


def toy() -> TextTask:
    """Of a size whose groups of channels have more than one element."""
    return TextTask("toy", "Toy", reviews, replace(SETTINGS, epochs=1, size=24))


def trained(out: Path, task: Task[Any], norm: str, denominator: str = "var_eps") -> Path:
    task.settings = replace(task.settings, denominator=denominator)
    Study(tasks=[task], out=out, norms=(norm,), seeds=(0,), scales=(1.5,), save=True).run()
    return out / "model.safetensors"


@pytest.mark.parametrize("denominator", DENOMINATORS)
@pytest.mark.parametrize("norm", VARIANTS)
def test_a_trained_network_for_images(tmp_path: Path, norm: str, denominator: str) -> None:
    model = trained(tmp_path, digits(), norm, denominator)
    path = tmp_path / "model.onnx"
    done = nl.onnx.export(model, path)
    assert done.difference is not None
    assert done.difference < MOST
    images = digits().load().splits["test"].images
    network, _ = load_network(model)
    assert network[2]._arguments()["denominator"] == (
        denominator if nl.norm_traits(norm)["scale"] in ("std", "rms", "l2") else "var_eps"
    )
    with nl.no_grad():
        expected = network(images).numpy()
    assert np.abs(run(path, images=images.numpy()) - expected).max() < MOST
    notes = metadata(path)
    assert notes["note.norm"] == norm
    assert json.loads(notes["norm"])["variant"] == norm
    assert (notes["mean"], notes["std"]) == ("0.13", "0.31")


def placed(sentences: Sequence[Array], where: str) -> dict[str, Array]:
    """Padded sentences, with numbers of no word where there is none."""
    numbers = np.random.default_rng(5)
    length = max(map(len, sentences)) + 3
    ids = numbers.choice([-7, 10**9], (len(sentences), length))
    mask = np.zeros_like(ids)
    for i, words in enumerate(sentences):
        spare = length - len(words)
        start = {"behind": 0, "before": spare, "around": spare // 2}.get(where, 0)
        at = np.arange(start, start + len(words))
        if where == "between":
            at = np.sort(numbers.choice(length, len(words), replace=False))
        ids[i, at], mask[i, at] = words, 1
    return {"input_ids": ids, "attention_mask": mask}


def engine_refuses(folder: Path, task: Any, norm: str, denominator: str) -> bool:
    """True for the norm that the engine refuses: a channel of one element has no such deviation."""
    if (norm, denominator) != ("instancenorm", "std_eps"):
        return False
    with pytest.raises(nl.ShapeError, match="unbiased deviation"):
        trained(folder, task, norm, denominator)
    return True


def sentences_of(vocabulary: int) -> list[Array]:
    numbers = np.random.default_rng(4)
    return [numbers.integers(0, vocabulary, n) for n in (9, 1, 30, 0, 2, 17)]


@pytest.mark.parametrize("denominator", DENOMINATORS)
@pytest.mark.parametrize("norm", VARIANTS)
def test_a_trained_classifier_of_text(tmp_path: Path, norm: str, denominator: str) -> None:
    if engine_refuses(tmp_path, toy(), norm, denominator):
        return
    model = trained(tmp_path, toy(), norm, denominator)
    path = tmp_path / "model.onnx"
    done = nl.onnx.export(model, path)
    assert done.difference is not None
    assert done.difference < MOST
    classifier = text.load_model(model).classifier
    sentences = sentences_of(classifier._arguments()["vocabulary"])
    with nl.no_grad():
        expected = classifier(text.pack(sentences)).numpy()
    for where in ("behind", "before", "around", "between"):
        found = run(path, **placed(sentences, where))
        assert np.abs(found - expected).max() < MOST, where


def test_the_vocabulary_and_labels_are_in_the_file(tmp_path: Path) -> None:
    model = text.load_model(trained(tmp_path, toy(), "adanorm"))
    path = tmp_path / "model.onnx"
    nl.onnx.export(model, path)
    notes = metadata(path)
    words, labels = json.loads(notes["vocabulary"]), json.loads(notes["labels"])
    lines = ["a good film .", "the dull unheard-of plot", "bad"]
    sentences = [
        np.array([words.index(w) if w in words else 0 for w in text.tokenize(line)])
        for line in lines
    ]
    found = run(path, **placed(sentences, "behind"))
    np.testing.assert_allclose(found, model.logits(lines).numpy(), atol=MOST)
    assert [labels[i] for i in found.argmax(1)] == [model.label(line)[1] for line in lines]
    assert words[0] == "<unk>"
    assert notes["note.norm"] == "adanorm"
    assert operators(path).count("AdaNorm") == 2 * SETTINGS.layers + 1


@pytest.mark.parametrize("pre_norm", [True, False])
@pytest.mark.parametrize("activation", ["gelu", "silu"])
@pytest.mark.parametrize("size", [12, 15])
def test_other_shapes_of_the_classifier(
    tmp_path: Path, pre_norm: bool, activation: str, size: int
) -> None:
    """Odd sizes, whose last column has a sine alone; a thousand words, late in the sines."""
    classifier = text.Classifier(
        50, 3, size, 3, 20, 1, pre_norm=pre_norm, activation=activation, position_scale=0.7
    )
    nl.onnx.export(classifier, tmp_path / "model.onnx")
    sentences = [np.random.default_rng(0).integers(0, 50, n) for n in (1000, 3)]
    classifier.eval()
    with nl.no_grad():
        expected = classifier(text.pack(sentences)).numpy()
    found = run(tmp_path / "model.onnx", **placed(sentences, "around"))
    assert np.abs(found - expected).max() < MOST


def novel(context: int = 24, **changes: Any) -> CharacterTask:
    settings = {"size": 24, "heads": 2, "hidden": 16, "layers": 2, "batch": 16, "lr": 1e-3}
    short = {"epochs": 1, "patience": 1, "train_items": 500, "context": context, "dropout": 0.1}
    task = CharacterTask("toy", CharacterSettings(**settings, **short, **changes))
    task.load = lambda quick=False: task.codes(standin_text(sentences=80))  # type: ignore[method-assign]
    return task


def logits_of(network: language.LanguageModel, ids: Array) -> Array:
    """Ours, one text after the other."""
    network.eval()
    with nl.no_grad():
        return np.stack([network(nl.tensor(row)).numpy() for row in ids])


@pytest.mark.parametrize("denominator", DENOMINATORS)
@pytest.mark.parametrize("norm", VARIANTS)
def test_a_trained_language_model(tmp_path: Path, norm: str, denominator: str) -> None:
    if engine_refuses(tmp_path, novel(), norm, denominator):
        return
    path = tmp_path / "model.onnx"
    done = nl.onnx.export(trained(tmp_path, novel(), norm, denominator), path)
    assert done.difference is not None and done.difference < MOST
    network = language.load_model(tmp_path / "model.safetensors").network
    for batch, length in ((1, 1), (2, 24), (5, 7)):
        shape = (batch, length)
        ids = np.random.default_rng(length).integers(0, network._arguments()["vocabulary"], shape)
        found = run(path, input_ids=ids)
        assert np.abs(found - logits_of(network, ids)).max() < MOST, shape


@pytest.mark.parametrize("opset", OPSETS)
@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("pre_norm", [True, False])
def test_other_shapes_of_a_language_model(
    tmp_path: Path, tied: bool, pre_norm: bool, opset: int
) -> None:
    """Of which the test batch of the export is not wider than the context."""
    for context in (1, 3, 40):
        network = language.LanguageModel(
            30,
            context,
            12,
            3,
            20,
            1,
            tied=tied,
            pre_norm=pre_norm,
            activation="gelu",
            norm="rmsnorm",
        )
        done = nl.onnx.export(network, tmp_path / "model.onnx", opset=opset)
        assert done.results == 3 * min(17, context) * 30
        ids = np.random.default_rng(0).integers(0, 30, (4, context))
        found = run(tmp_path / "model.onnx", input_ids=ids)
        assert np.abs(found - logits_of(network, ids)).max() < MOST
        ids[:, -1] = (ids[:, -1] + 1) % 30  # of which nothing before depends
        again = run(tmp_path / "model.onnx", input_ids=ids)
        np.testing.assert_array_equal(again[:, :-1], found[:, :-1])


def test_a_language_models_file_has_its_characters_and_writes_on(tmp_path: Path) -> None:
    model = language.load_model(trained(tmp_path, novel(), "adanorm"))
    path = tmp_path / "model.onnx"
    nl.onnx.export(model, path)
    notes = metadata(path)
    characters = json.loads(notes["vocabulary"])
    assert (notes["context"], notes["note.norm"]) == ("24", "adanorm")
    assert characters[0] == "\ufffd" and "".join(characters[1:]) == model.vocabulary.characters()
    assert operators(path).count("AdaNorm") == 5
    # The likeliest characters, as the engine's own writer draws them.
    written, prompt = "", "the plot"
    for _ in range(12):
        ids = np.array([[characters.index(c) for c in prompt + written]])
        logits = run(path, input_ids=ids)[0, -1]
        written += characters[1 + int(logits[1:].argmax())]
    writer = language.Writer(model, prompt, temperature=0.0)
    assert written == "".join(next(writer) for _ in range(12))


def test_more_characters_than_the_context_are_an_error_of_the_runtime(tmp_path: Path) -> None:
    for context in (1, 8):
        network = language.LanguageModel(9, context, 8, 2, 8, 1)
        nl.onnx.export(network, tmp_path / "model.onnx")
        with pytest.raises(Exception, match=r"out of (data )?bounds"):
            run(tmp_path / "model.onnx", input_ids=np.ones((2, context + 1), np.int64))


def test_a_translator_is_refused_in_words(tmp_path: Path) -> None:
    subwords = translate.Subwords(list("abc"))
    network = translate.Translator(len(subwords), len(subwords), 8, 2, 8, 1, 1)
    model = translate.Model(network, subwords, subwords, "en", "de")
    translate.save_model(tmp_path / "model", model)
    for given, kind in (
        (network, nl.ArgumentError),
        (model, nl.ArgumentError),
        (tmp_path / "model", nl.FileError),
    ):
        with pytest.raises(kind, match="is a translator, which cannot be exported: a search goes"):
            nl.onnx.export(given, tmp_path / "out.onnx")
    assert "normlab translate does that" in refused(tmp_path / "model", "-o", tmp_path / "out.onnx")
    assert not (tmp_path / "out.onnx").exists()


# --- the command ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("models")
    return {
        "images": trained(folder / "images", digits(), "rmsnorm"),
        "text": trained(folder / "text", toy(), "adanorm"),
        "language": trained(folder / "language", novel(), "layernorm"),
    }


@pytest.mark.parametrize("opset", OPSETS)
@pytest.mark.parametrize("kind", ["images", "text", "language"])
def test_export(models: dict[str, Path], tmp_path: Path, kind: str, opset: int) -> None:
    out = tmp_path / "out.onnx"
    done = command(models[kind], "-o", out, "--opset", str(opset))
    assert (done.returncode, without_discovery(done.stderr)) == (0, "")
    first, second = done.stdout.splitlines()
    assert first.startswith(f"{out}: opset {opset}, ")
    assert "greatest difference from ONNX Runtime over " in second
    assert float(second.split()[-1]) < MOST
    model = onnx.load(out)
    onnx.checker.check_model(model, full_check=True)
    assert {each.domain: each.version for each in model.opset_import}[""] == opset
    assert [each.name for each in tmp_path.iterdir()] == ["out.onnx"]


def test_a_file_loads_without_a_warning(models: dict[str, Path], tmp_path: Path) -> None:
    for name, model in models.items():
        nl.onnx.export(model, tmp_path / f"{name}.onnx")
    code = (
        "import sys, onnxruntime\n"
        "onnxruntime.set_default_logger_severity(2)\n"
        "for path in sys.argv[1:]: onnxruntime.InferenceSession(path)\n"
    )
    files = [str(path) for path in tmp_path.iterdir()]
    done = subprocess.run(
        [sys.executable, "-c", code, *files], capture_output=True, text=True, timeout=120
    )
    assert (done.returncode, done.stdout, without_discovery(done.stderr)) == (0, "", "")


def test_the_file_lies_beside_the_model(models: dict[str, Path]) -> None:
    done = command(models["text"])
    assert done.returncode == 0, done.stderr
    assert models["text"].with_suffix(".onnx").exists()


def test_without_onnx_runtime_the_command_says_that_nothing_ran(
    models: dict[str, Path], tmp_path: Path
) -> None:
    (tmp_path / "onnxruntime.py").write_text("raise ImportError('none here')")
    path = os.pathsep.join(filter(None, [str(tmp_path), os.environ.get("PYTHONPATH")]))
    done = command(models["text"], "-o", tmp_path / "a.onnx", PYTHONPATH=path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[1] == "not run: ONNX Runtime is not installed"
    onnx.checker.check_model(onnx.load(tmp_path / "a.onnx"))


def test_without_onnx_the_error_names_the_extra(models: dict[str, Path], tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['onnx'] = None\n"
        "import normlab as nl\n"
        "try: nl.onnx.export\n"
        "except ImportError as error: print(error)\n"
        f"sys.argv = ['normlab', 'export', {str(models['text'])!r}]\n"
        "from normlab.cli import main; main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=120,
        env=os.environ | {"NORMLAB_DEBUG": "0"},
    )
    reason = "nl.onnx: needs the package onnx; install it: pip install 'normlab[onnx]'\n"
    assert (done.returncode, done.stdout, done.stderr) == (2, reason, f"error: {reason}")


def test_folders_of_the_names_are_not_the_packages(tmp_path: Path) -> None:
    """As a folder onnx/ for the files is, where the package is not installed."""
    for name in ("onnx", "onnxruntime"):
        (tmp_path / name).mkdir()
    code = (
        "import sys, normlab as nl\n"
        "from normlab.onnx import runtime\n"
        "for name in [n for n in sys.modules if n.startswith('onnx')]: del sys.modules[name]\n"
        "del sys.modules['normlab.onnx'], nl.onnx\n"
        f"sys.path[:] = [{str(tmp_path)!r}, *(p for p in sys.path if 'site-packages' not in p)]\n"
        "print(runtime.run(b'', {}))\n"
        "try: nl.onnx\n"
        "except ImportError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    said = "None\nnl.onnx: needs the package onnx; install it: pip install 'normlab[onnx]'\n"
    assert (done.stdout, done.stderr) == (said, "")


def refused(*words: str | Path) -> str:
    done = command(*words)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    return done.stderr


def test_what_the_command_refuses(models: dict[str, Path], tmp_path: Path) -> None:
    out = tmp_path / "out.onnx"
    tensors, notes = nl.load_with_metadata(models["images"])
    parser, old, plain, broken = (tmp_path / name for name in "abcd")
    nl.save(parser, tensors, {"format": "normlab.parser"})
    nl.save(old, tensors, {"format": "normlab.image_classifier", "note.norm": "layernorm"})
    nl.save(plain, tensors)
    nl.save(broken, tensors, notes | {"norm": '{"variant": "layernorm", "eps": -1}'})
    for path, reason in (
        (parser, "is a model of format 'normlab.parser'; what can be exported are normlab."),
        (old, "an earlier version wrote it, without the norm's options; train it again"),
        (plain, "is no model of a study; what can be exported are"),
        (broken, "eps must be finite and not negative, got -1"),
        (tmp_path / "none", "No such file"),
    ):
        assert reason in refused(path, "-o", out)
    assert "opset: must be 17 to 23, is 16" in refused(models["text"], "-o", out, "--opset", "16")
    assert "MODEL: must be a path, is empty" in refused("", "-o", out)
    assert "is a folder, not a file" in refused(models["text"], "-o", tmp_path)
    assert "path: must be a file; standard output" in refused(models["text"], "-o", "-")
    assert not out.exists()


def test_the_model_is_not_overwritten(models: dict[str, Path], tmp_path: Path) -> None:
    model, link = tmp_path / "model.onnx", tmp_path / "link"
    shutil.copy(models["text"], model)
    link.symlink_to(model)
    for words in ((model,), (model, "-o", model), (link, "-o", model), (model, "-o", link)):
        assert "is the model, which the export would overwrite" in refused(*words)
    assert model.read_bytes() == models["text"].read_bytes()


def test_a_module_without_a_finite_result_is_refused(tmp_path: Path) -> None:
    net = nl.nn.Linear(8, 4)
    net.weight.detach().copy_(nl.full((4, 8), np.nan))
    with pytest.raises(nl.Error, match="no result for the test batch is a finite number"):
        nl.onnx.export(net, tmp_path / "out.onnx", rows(2, 8))
    assert not (tmp_path / "out.onnx").exists()


@pytest.mark.filterwarnings("error")
def test_equal_infinities_differ_by_nothing(tmp_path: Path) -> None:
    net, x = nl.nn.ReLU(), rows(2, 8)
    x[0, 0] = np.inf
    done = nl.onnx.export(nl.nn.Sequential(net), tmp_path / "a.onnx", x)
    assert done.difference == 0


@pytest.mark.parametrize(
    "norm",
    [
        "[" * 100_000,
        "[]",
        '"layernorm"',
        "{",
        "{}",
        '{"variant": 3}',
        '{"variant": "none", "no": 1}',
    ],
    ids=list("abcdefg"),
)
def test_options_that_are_none_are_told(models: dict[str, Path], tmp_path: Path, norm: str) -> None:
    tensors, notes = nl.load_with_metadata(models["images"])
    nl.save(tmp_path / "a", tensors, notes | {"norm": norm})
    with pytest.raises(nl.FileError, match="is no model of a study of images: "):
        nl.onnx.export(tmp_path / "a", tmp_path / "out.onnx")
    assert not (tmp_path / "out.onnx").exists()


def test_what_python_refuses(tmp_path: Path) -> None:
    class Mine(nl.nn.Sequential):
        def forward(self, x: nl.Tensor) -> nl.Tensor:
            return 2.0 * x

    out, x = tmp_path / "a", rows(2, 8)
    linear = nl.nn.Linear(8, 8)
    refusals: list[tuple[type[Exception], str, Any]] = [
        (
            nl.ArgumentError,
            "1.0 is a Mine, which cannot be exported; what can are a text.Classifier, a ",
            lambda: nl.onnx.export(
                nl.nn.Sequential(linear, nl.nn.Sequential(Mine())), out, x
            ),
        ),
        (nl.ArgumentError, "the model is a SelfAttention", lambda: nl.onnx.export(
            nl.nn.SelfAttention(8, 2), out, x
        )),
        (nl.ArgumentError, "a module needs x", lambda: nl.onnx.export(linear, out)),
        (nl.ArgumentError, r"x must be \[batch", lambda: nl.onnx.export(linear, out, x[0])),
        (nl.ArgumentError, "x: is for modules", lambda: nl.onnx.export("model", out, x)),
        (nl.ArgumentError, "opset: must be 17 to 23", lambda: nl.onnx.export(
            linear, out, x, opset=24
        )),
        (nl.ArgumentError, r"must be 17 to 23, is 17\.0", lambda: nl.onnx.export(
            linear, out, x, opset=17.0  # type: ignore[arg-type]
        )),
        (nl.DtypeError, "path: must be a str or a Path, is a int", lambda: nl.onnx.export(
            linear, 3, x  # type: ignore[arg-type]
        )),
        (nl.DtypeError, "model: must be a module, .* is a int", lambda: nl.onnx.export(3, out)),
        (nl.DtypeError, "must be float32, is float64; convert it", lambda: nl.onnx.export(
            nl.nn.Linear(8, 8).to("float64"), out, x.astype(np.float64)
        )),
        (nl.DtypeError, "must be float32, is bfloat16", lambda: nl.onnx.export(
            text.Classifier(9, 2, 8, 2, 8, 1, dtype="bfloat16"), out
        )),
    ]  # fmt: skip
    for kind, reason, call in refusals:
        with pytest.raises(kind, match=reason):
            call()
    assert not out.exists()


def test_a_wrong_graph_is_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the comparison is for: a formula that is not the engine's."""
    out = tmp_path / "a"
    monkeypatch.setitem(nl.onnx.norms._Z, "bias", lambda to, x, y, s: to.op("Sub", y, s.bias))
    with pytest.raises(nl.Error, match=r"results differ by [34]\.[0-9]e\+00 from ours"):
        nl.onnx.export(shuffled(nl.nn.Norm("bias_only", 8, denominator="std_eps")), out, rows(4, 8))
    assert not out.exists()
