"""Characters, the causal Transformer, generation and model files from Python."""

import subprocess
import sys
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

import normlab as nl
from normlab import language, text

CHARACTERS = "\nabcé"


def small_network(**options):
    return language.LanguageModel(6, 8, size=8, heads=2, hidden=12, layers=2, **options)


def small_model(**options):
    vocabulary = language.Vocabulary(CHARACTERS)
    return language.Model(small_network(**options), vocabulary, {"task": "charlm"})


def trained_model(length=400):
    """A model that knows "abcé\\n" by heart."""
    nl.manual_seed(1)
    model = small_model(dropout=0.0)
    numbers = model.vocabulary.encode("abcé\n" * length)
    optimizer = nl.optim.AdamW(model.network.parameters(), lr=0.01)
    for step in range(80):
        at = 3 * step
        loss = nl.cross_entropy(model.network(numbers[at : at + 8]), numbers[at + 1 : at + 9])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model


# --- characters -------------------------------------------------------------------------------


def test_vocabulary():
    vocabulary = language.Vocabulary.of("banané\n\U0001f43b")
    assert vocabulary.characters() == "\nabné\U0001f43b"
    assert len(vocabulary) == 7
    assert vocabulary.encode("éx\U0001f43b").tolist() == [5, 0, 6]
    assert [vocabulary.character(i) for i in (0, 1, 6)] == ["\ufffd", "\n", "\U0001f43b"]
    assert repr(vocabulary) == "Vocabulary(7 characters with the unknown one)"
    assert len(language.Vocabulary()) == 1
    with pytest.raises(nl.ArgumentError, match="each character must come once"):
        language.Vocabulary("aba")
    with pytest.raises(nl.ArgumentError, match="byte 1 of the text is NUL"):
        language.Vocabulary.of("a\0")
    with pytest.raises(nl.RangeError):
        vocabulary.character(7)


# --- network ----------------------------------------------------------------------------------


def reference(model, numbers):
    """The formula, in float64."""
    state = {name: x.numpy().astype(np.float64) for name, x in model.network.state().items()}

    def norm(x, name):
        mean, var = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)
        y = (x - mean) / np.sqrt(var + 1e-5)
        return y * state[f"{name}.gain"] + state[f"{name}.bias"]

    def linear(x, name):
        return x @ state[f"{name}.weight"].T + state[f"{name}.bias"]

    n, heads = len(numbers), 2
    x = state["embedding.weight"][numbers] + state["positions.weight"][:n]
    for layer in range(2):
        at = f"encoder.{layer}"
        qkv = linear(norm(x, f"{at}.norm1"), f"{at}.attention.qkv")
        q, k, v = (part.reshape(n, heads, -1).swapaxes(0, 1) for part in np.split(qkv, 3, 1))
        scores = q @ k.swapaxes(1, 2) / np.sqrt(q.shape[-1])
        scores[:, np.triu(np.ones((n, n), bool), 1)] = -np.inf
        p = np.exp(scores - scores.max(-1, keepdims=True))
        p /= p.sum(-1, keepdims=True)
        x = x + linear((p @ v).swapaxes(0, 1).reshape(n, -1), f"{at}.attention.out")
        up = np.maximum(linear(norm(x, f"{at}.norm2"), f"{at}.up"), 0)
        x = x + linear(up, f"{at}.down")
    x = norm(x, "encoder.norm")
    if "output.weight" in state:
        return linear(x, "output")
    return x @ state["embedding.weight"].T


@pytest.mark.parametrize("tied", [False, True])
def test_the_network_is_its_formula(tied):
    model = small_model(tied=tied)
    model.network.eval()
    numbers = [1, 5, 2, 2, 0, 3, 4, 1]
    with nl.no_grad():
        found = model.network(nl.tensor(numbers)).numpy()
        packed = model.network(text.pack([numbers[:3], numbers]))
    np.testing.assert_allclose(found, reference(model, numbers), atol=2e-5)
    np.testing.assert_allclose(packed.numpy()[3:], found, atol=2e-5)
    np.testing.assert_allclose(packed.numpy()[:3], found[:3], atol=2e-5)


def test_a_cache_takes_one_character_at_a_time():
    model = small_model()
    model.network.eval()
    numbers = [1, 5, 2, 2]
    with nl.no_grad():
        whole = model.network(nl.tensor(numbers)).numpy()
        cache = nl.nn.KeyValueCache()
        for number, row in zip(numbers, whole, strict=True):
            found = model.network(text.pack([[number]]), cache)
            np.testing.assert_allclose(found.numpy()[0], row, atol=2e-5)


def test_what_does_not_fit_is_refused():
    network = small_network()
    with pytest.raises(nl.ArgumentError, match="at most 8 characters, the context"):
        network(nl.zeros(9, dtype="int64"))
    with pytest.raises(nl.RangeError):
        network(nl.tensor([6]))
    with pytest.raises(nl.ArgumentError, match="vocabulary and context must be positive"):
        language.LanguageModel(0)
    with pytest.raises(nl.ArgumentError, match="the vocabulary must have the network's 6"):
        language.generate(language.Model(network, language.Vocabulary("ab")), "a", 1)


# --- generation -------------------------------------------------------------------------------


def test_a_trained_model_writes_on():
    model = trained_model()
    assert language.generate(model, "ab", 30, temperature=0) == ("cé\nab" * 6)
    assert language.generate(model, "ab", 10, temperature=0.05) == "cé\nab" * 2
    writer = language.Writer(model, "é", temperature=0)
    assert "".join(islice(writer, 6)) == "\nabcé\n"
    assert model.network.training


def test_the_same_characters_for_a_seed():
    model = small_model()
    written = [language.generate(model, "a", 50, seed=seed) for seed in (3, 3, 4)]
    assert written[0] == written[1] != written[2]
    state = nl.get_rng_state()
    for threads in (1, 2):
        nl.set_num_threads(threads)
        assert language.generate(model, "a", 50, seed=3) == written[0]
    assert nl.get_rng_state() == state
    assert language.generate(model, "a", 50, seed=3, top_k=5) == written[0], "all there are"
    few = language.generate(model, "a", 200, seed=3, top_k=1)
    assert few == language.generate(model, "a", 200, temperature=0)
    assert "\ufffd" not in language.generate(model, "a", 500, temperature=100.0)


@pytest.mark.parametrize(
    ("prompt", "options", "message"),
    [
        ("", {}, "the prompt must have a character or more"),
        ("abé?", {}, 'does not know character 4 of the prompt, "\\?"'),
        ("a", {"temperature": -1.0}, "temperature must be finite and 0 or more"),
        ("a", {"temperature": float("inf")}, "temperature must be finite"),
        ("a", {"top_k": 0}, "top_k must be 1 or more, got 0"),
    ],
)
def test_generation_refuses(prompt, options, message):
    model = small_model()
    with pytest.raises(nl.ArgumentError, match=message):
        language.generate(model, prompt, 3, **options)
    with pytest.raises(nl.ArgumentError, match=message):
        language.Writer(model, prompt, **options)


@pytest.mark.parametrize("options", [{}, {"temperature": 0.0}, {"top_k": 2}])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_logit_that_is_not_finite_is_refused(options, value):
    model = small_model()
    last = dict(model.network.named_parameters())["output.bias"].detach().numpy()
    last[3] = value
    with pytest.raises(nl.ArgumentError, match="generate: the network's logits are not finite"):
        language.generate(model, "a", 3, **options)
    last[3] = -float("inf")  # a character that never comes
    assert model.vocabulary.character(3) not in language.generate(model, "a", 50, **options)


# --- model files ------------------------------------------------------------------------------


@pytest.mark.parametrize("tied", [False, True])
def test_a_model_file_writes_the_same_in_another_process(tmp_path, tied):
    model = small_model(norm="adanorm", C=0.5, tied=tied)
    path = tmp_path / "m.safetensors"
    language.save_model(path, model)
    loaded = language.load_model(path)
    assert loaded.notes == {"task": "charlm"}
    assert loaded.vocabulary.characters() == CHARACTERS
    assert not loaded.network.training
    expected = language.generate(model, "aé", 40, seed=5)
    assert language.generate(loaded, "aé", 40, seed=5) == expected
    code = (
        "import sys, normlab as nl\n"
        "model = nl.language.load_model(sys.argv[1])\n"
        "text = nl.language.generate(model, 'a\\u00e9', 40, seed=5)\n"
        "sys.stdout.buffer.write(text.encode())"
    )
    ran = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, check=True)
    assert ran.stdout.decode() == expected


def test_model_files_of_others_are_refused(tmp_path):
    path = tmp_path / "m.safetensors"
    classifier = text.Classifier(2, 2, size=8, heads=2, hidden=12, layers=1)
    text.save_model(path, text.Model(classifier, text.Vocabulary(["a"]), ["x", "y"]))
    with pytest.raises(nl.FileError, match="a model of another task"):
        language.load_model(path)
    with pytest.raises(nl.FileError):
        language.load_model(Path("absent"))
    with pytest.raises(nl.FileError, match="a model of another task"):
        language.save_model(path, small_model())
        text.load_model(path)
