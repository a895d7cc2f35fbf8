"""engine/examples/generate, the host application in C++, beside the package."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from test_language import small_model, trained_model

import normlab as nl
from normlab import language

Run = Callable[..., "subprocess.CompletedProcess[bytes]"]


@pytest.fixture
def run() -> Run:
    """The program, as tests/run built it."""
    application = os.environ.get("NORMLAB_GENERATE")
    if not application:
        pytest.skip("NORMLAB_GENERATE does not name the host application (tests/run builds it)")

    def run(*arguments: Path | str) -> "subprocess.CompletedProcess[bytes]":
        return subprocess.run([application, *map(str, arguments)], capture_output=True)

    return run


@pytest.mark.parametrize("norm", ["layernorm", "adanorm", "none"])
def test_the_host_application_writes_what_the_command_writes(
    tmp_path: Path, run: Run, norm: str
) -> None:
    path = tmp_path / "m.safetensors"
    language.save_model(path, small_model(norm=norm))
    ran = run(path, "aé", "60", "7", "0.8", "4")
    assert (ran.returncode, ran.stderr) == (0, b"")
    words = ["--prompt", "aé", "--length", "60", "--seed", "7"]
    options = ["--temperature", "0.8", "--top-k", "4"]
    command = [sys.executable, "-X", "utf8", "-m", "normlab", "generate", str(path)]
    expected = subprocess.run([*command, *words, *options], capture_output=True)
    assert ran.stdout == expected.stdout
    text = language.generate(language.load_model(path), "aé", 60, seed=7, temperature=0.8, top_k=4)
    assert ran.stdout.decode() == f"aé{text}\n"


def test_the_host_application_has_the_packages_defaults(tmp_path: Path, run: Run) -> None:
    path = tmp_path / "m.safetensors"
    model = trained_model()
    language.save_model(path, model)
    assert run(path, "ab", "20", "0", "0").stdout.decode() == "ab" + "cé\nab" * 4 + "\n"
    written = language.generate(model, "ab", 50)
    assert run(path, "ab", "50").stdout.decode() == f"ab{written}\n"


def test_the_host_application_says_what_is_wrong(tmp_path: Path, run: Run) -> None:
    assert b"usage" in run().stderr
    path = tmp_path / "m.safetensors"
    language.save_model(path, small_model())
    for arguments, message in (
        ([tmp_path / "absent", "a", "3"], b"absent"),
        ([path, "", "3"], b"the prompt must have a character or more"),
        ([path, "z", "3"], b'does not know character 1 of the prompt, "z"'),
        ([path, "a", "x"], b"LENGTH must be a number, is x"),
        ([path, "a", "-1"], b"LENGTH must be 0 or more, is -1"),
        ([path, "a", "3", "-1"], b"SEED must be a number, is -1"),
        ([path, "a", "3", "1", "-1"], b"temperature must be finite and 0 or more"),
    ):
        ran = run(*arguments)
        assert (ran.returncode, ran.stdout) == (1, b"")
        assert ran.stderr.startswith(b"generate: ") and message in ran.stderr
    classifier = nl.text.Classifier(2, 2, size=8, heads=2, hidden=12, layers=1)
    words = nl.text.Vocabulary(["a"])
    nl.text.save_model(path, nl.text.Model(classifier, words, ["x", "y"]))
    assert b'this is a model of another task, "normlab.text_classifier"' in run(path, "a", 3).stderr
