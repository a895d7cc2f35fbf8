"""Words, vocabulary, batches, the classifier and model files from Python."""

import gc
import os
import subprocess
import threading
import weakref
from pathlib import Path

import numpy as np
import pytest

import normlab as nl
from normlab import text

EXAMPLE = Path(__file__).parents[2] / "engine/examples/classify/model.safetensors"
LINES = ["Good, good film.", "", "bad", "É ... good . bad bad bad unheard-of"]


def small_classifier(**options):
    return text.Classifier(5, 3, size=8, heads=2, hidden=12, layers=2, **options)


def small_model(**options):
    vocabulary = text.Vocabulary(["good", "bad", "é", "."])
    labels = ["negative", "so so", "positive"]
    return text.Model(small_classifier(**options), vocabulary, labels, {"task": "rt"})


# --- words ------------------------------------------------------------------------------------


def test_tokenize():
    assert text.tokenize("It's “good”, isn't it?") == [
        "it", "'s", '"', "good", '"', ",", "is", "n't", "it", "?",
    ]  # fmt: skip
    assert text.tokenize(b"caf\xc3\xa9 -LRB-") == ["café", "("]
    assert text.tokenize("") == []
    with pytest.raises(nl.ArgumentError, match="byte 1 of the line is NUL"):
        text.tokenize("a\0")
    with pytest.raises(nl.ArgumentError, match="must be UTF-8, at byte 2 it is not"):
        text.tokenize(b"ab\xff")
    with pytest.raises(nl.ArgumentError, match="half a surrogate pair at 0"):
        text.tokenize("\ud800")
    with pytest.raises(TypeError):
        text.tokenize(5)


def test_vocabulary():
    vocabulary = text.Vocabulary.of([["b", "a", "é"], ("c", "b"), []])
    assert vocabulary.words() == ["b", "a", "c", "é"]
    assert len(vocabulary) == 5
    assert [vocabulary.number(word) for word in ("é", "<unk>", "z")] == [4, 0, 0]
    assert "a" in vocabulary
    assert "z" not in vocabulary
    assert [vocabulary.word(i) for i in (0, 1)] == ["<unk>", "b"]
    assert text.Vocabulary.of([["b", "a"], ["b"]], least=2).words() == ["b"]
    assert len(text.Vocabulary()) == 1
    for number in (-1, 5):
        with pytest.raises(nl.RangeError, match=r"in \[0, 5\)"):
            vocabulary.word(number)
    for words in (["a", "a"], [""], ["a b"], ["a\u3000"]):
        with pytest.raises(nl.ArgumentError):
            text.Vocabulary(words)


# --- batches ----------------------------------------------------------------------------------


def test_pack_takes_lists_tuples_arrays_and_iterators():
    packed = text.pack(s for s in ([5, 6], (), np.array([7, 8], np.int32), nl.tensor([9])))
    assert len(packed) == 4
    assert packed.tokens.dtype == packed.offsets.dtype == np.int64
    assert packed.tokens.numpy().tolist() == [5, 6, 7, 8, 9]
    assert packed.offsets.numpy().tolist() == [0, 2, 2, 4, 5]
    assert len(text.pack([])) == 0
    assert repr(packed) == "Packed(4 sentences, 5 tokens)"
    same = text.Packed(packed.tokens, packed.offsets).to("cpu")
    assert text.take(same, np.array([2])).tokens.numpy().tolist() == [7, 8]


@pytest.mark.parametrize("wrong", [[1], ["ab"], [[1.5]], [[True]], [None], [[[1]]], 5, None])
def test_pack_refuses_what_is_no_list_of_ints(wrong):
    with pytest.raises(TypeError):
        text.pack(wrong)


def test_take_and_packed_check_what_they_get():
    packed = text.pack([[1, 2], [3]])
    for index in ([2], [-1]):
        with pytest.raises(nl.RangeError, match=r"in \[0, 2\)"):
            text.take(packed, nl.tensor(index))
    with pytest.raises(nl.DtypeError):
        text.take(packed, nl.tensor([0.0]))
    with pytest.raises(nl.ArgumentError, match="must not fall"):
        text.take(text.Packed(packed.tokens, nl.tensor([0, 9, 3])), nl.tensor([0]))
    with pytest.raises(nl.ShapeError):
        text.Packed(packed.tokens, nl.tensor(np.empty(0, np.int64)))


def test_token_batches():
    lengths = np.random.default_rng(1).integers(0, 60, 500)
    batches = text.token_batches(lengths, 256, generator=nl.Generator(3))
    assert sorted(i for batch in batches for i in batch.numpy()) == list(range(500))
    assert max(lengths[batch.numpy()].sum() for batch in batches) <= 256

    def drawn(generator):
        batches = text.token_batches(nl.tensor(lengths), 256, 8, generator=generator)
        return [batch.numpy().tolist() for batch in batches]

    assert drawn(nl.Generator(3)) == drawn(nl.Generator(3)) != drawn(nl.Generator(4))
    nl.manual_seed(3)
    assert drawn(None) == drawn(nl.Generator(3)) != drawn(None)
    with pytest.raises(nl.ArgumentError, match=r"lengths\[1\] is -1"):
        text.token_batches(nl.tensor([1, -1]), 10)


# --- classifier -------------------------------------------------------------------------------


def test_classifier_trains_on_packed_sentences():
    classifier = small_classifier(norm="adanorm", C=2.0, dropout=0.0)
    packed = text.pack([[1, 2], [], [4, 4, 4]])
    optimizer = nl.optim.Adam(classifier.parameters(), lr=0.01)
    losses = []
    for _ in range(60):
        loss = nl.cross_entropy(classifier(packed), nl.tensor([0, 1, 2]))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.3 * losses[0]
    assert classifier(packed).shape == (3, 3)
    assert classifier(nl.tensor([1, 2])).shape == (3,)
    with pytest.raises(nl.RangeError):
        classifier(text.pack([[5]]))
    with pytest.raises(TypeError):
        classifier([[1]])


def test_classifier_says_what_options_are_wrong():
    for options in ({"size": 7}, {"layers": 0}, {"dropout": 1.0}, {"norm": "x"}, {"vocabulary": 0}):
        with pytest.raises(nl.ArgumentError):
            text.Classifier(**{"vocabulary": 5, "heads": 2, **options})


# --- model ------------------------------------------------------------------------------------


def test_logits_do_not_depend_on_company():
    model = small_model()
    logits = model.logits(LINES)
    assert logits.shape == (4, 3)
    assert not logits.requires_grad
    for line, row in zip(LINES, logits.numpy(), strict=True):
        one, label = model.label(line)
        np.testing.assert_array_equal(one.numpy(), row)
        assert label == model.labels[int(row.argmax())]
    assert model.logits([]).shape == (0, 3)
    assert model.classifier.training
    with pytest.raises(nl.ArgumentError, match="line 1: tokenize"):
        model.logits(["a", "\0"])


def test_a_model_keeps_its_classifier():
    model = small_model()
    classifier = model.classifier
    assert model.classifier is classifier
    gone = weakref.ref(classifier)
    del classifier
    gc.collect()
    assert gone() is None
    assert model.classifier.num_parameters() > 0
    assert model.logits(["good"]).shape == (1, 3)
    assert (model.labels, model.notes) == (["negative", "so so", "positive"], {"task": "rt"})
    assert model.vocabulary.words()[0] == "good"
    with pytest.raises(TypeError):
        text.Model(None, model.vocabulary, model.labels)


def test_model_files_come_back_bit_for_bit(tmp_path):
    model = small_model(norm="detachnorm", pre_norm=False, activation="gelu")
    path = tmp_path / "é.safetensors"
    text.save_model(path, model)
    before = nl.get_rng_state()
    loaded = text.load_model(str(path))
    assert nl.get_rng_state() == before
    assert not loaded.classifier.training
    assert (loaded.labels, loaded.notes) == (model.labels, model.notes)
    np.testing.assert_array_equal(loaded.logits(LINES).numpy(), model.logits(LINES).numpy())
    _, metadata = nl.load_with_metadata(path)
    assert metadata["norm"] == "detachnorm"
    assert metadata["note.task"] == "rt"


def test_model_files_of_version_1_stay_readable():
    model = text.load_model(EXAMPLE)
    assert model.notes["task"] == "sentiment"
    assert [model.label(line)[1] for line in ("A good film.", "so dull")] == [
        "positive",
        "negative",
    ]


def test_model_files_that_are_wrong(tmp_path):
    path = tmp_path / "m.safetensors"
    with pytest.raises(nl.FileError, match="No such file"):
        text.load_model(path)
    text.save_model(path, small_model())
    tensors, metadata = nl.load_with_metadata(path)
    nl.save(path, tensors, metadata | {"format": "normlab.mnist"})
    with pytest.raises(nl.FileError, match=r'm\.safetensors.*of another task, "normlab\.mnist"'):
        text.load_model(path)
    nl.save(path, tensors | {"output.bias": nl.zeros(4)}, metadata)
    with pytest.raises(nl.FileError, match=r'"output\.bias" must have shape \[3\], got \[4\]'):
        text.load_model(path)
    wrong = text.Model(small_classifier(), text.Vocabulary(["a"]), ["a", "b", "c"])
    with pytest.raises(nl.ArgumentError, match="5 words, it has 2"):
        text.save_model(path, wrong)


def test_threads_share_a_model_in_evaluation_mode():
    model = small_model()
    model.classifier.eval()
    expected = model.logits(LINES * 50).numpy()
    results = []
    threads = [
        threading.Thread(target=lambda: results.append(model.logits(LINES * 50).numpy()))
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for result in results:
        np.testing.assert_array_equal(result, expected)
    assert len(results) == 3


# --- the host application ---------------------------------------------------------------------


@pytest.fixture
def classify():
    """Runs engine/examples/classify, as tests/run built it."""
    application = os.environ.get("NORMLAB_CLASSIFY")
    if not application:
        pytest.skip("NORMLAB_CLASSIFY does not name the host application (tests/run builds it)")

    def run(*arguments, lines=b""):
        return subprocess.run([application, *arguments], input=lines, capture_output=True)

    return run


def test_the_host_application_has_the_same_logits(tmp_path, classify):
    model = small_model()
    path = tmp_path / "m.safetensors"
    text.save_model(path, model)
    lines = [*LINES, "2,000 words: " + "good or bad " * 667]
    ran = classify(path, "--logits", lines="\n".join(lines).encode())
    assert ran.returncode == 0, ran.stderr.decode()
    printed = [line.split("\t") for line in ran.stdout.decode().splitlines()]
    logits = np.array([[np.float32(x) for x in fields[1].split(" ")] for fields in printed])
    expected = model.logits(lines).numpy()
    np.testing.assert_array_equal(logits, expected)
    assert [fields[-1] for fields in printed] == lines
    assert [fields[0] for fields in printed] == [model.labels[i] for i in expected.argmax(1)]


def test_the_host_application_labels_lines_as_they_come(classify):
    ran = classify(EXAMPLE, lines=b"A good film.\r\nso dull")
    assert ran.stdout == b"positive\tA good film.\nnegative\tso dull\n"
    with subprocess.Popen(
        [os.environ["NORMLAB_CLASSIFY"], EXAMPLE], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        for line in (b"charming\n", b"boring\n"):
            process.stdin.write(line)
            process.stdin.flush()
            assert process.stdout.readline().endswith(b"\t" + line)
        process.stdin.close()
        assert process.wait() == 0


def test_the_host_application_says_what_is_wrong(tmp_path, classify):
    ran = classify(tmp_path / "absent")
    assert (ran.returncode, ran.stdout) == (1, b"")
    assert b"absent" in ran.stderr
    path = tmp_path / "m.safetensors"
    text.save_model(path, small_model())
    ran = classify(path, lines=b"good\n\xff\nbad\n")
    assert ran.returncode == 1
    assert len(ran.stdout.splitlines()) == 1
    assert b"line 2: tokenize: the line must be UTF-8" in ran.stderr
    assert b"usage" in classify().stderr
