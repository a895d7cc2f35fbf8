# ruff: noqa: RUF001  (typographic minus; Greek)
"""The command line: help, errors and exit codes, interruption, what the commands print."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import normlab as nl
from normlab.cli import values
from normlab.norm_formulas import gradient


def normlab(*words: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "normlab", *words],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"COLUMNS": "100", "NO_COLOR": "1", "NORMLAB_DEBUG": "0"} | environment,
    )


def test_help_teaches_by_example() -> None:
    assert "normlab study --quick" in normlab("--help").stdout
    text = normlab("study", "--help").stdout
    for option in (
        "--task",
        "--treebank",
        "--text",
        "--norm",
        "--seeds",
        "--epochs",
        "--out",
        "--quick",
        "--patience",
        "--C",
        "--denominator",
        "--batch",
        "--lr",
        "--threads",
        "--jobs",
        "Examples",
    ):
        assert option in text
    assert "fewer epochs" in text
    flags = re.findall(r"^│ --(?:quick|save) +(.*)$", text, re.M)
    assert len(flags) == 2 and "<bool>" not in "".join(flags), "flags take no value"
    assert normlab("--version").stdout.strip() == nl.__version__


def test_a_learning_rate_is_finite(tmp_path: Path) -> None:
    done = normlab("study", "--lr", "inf", "--out", str(tmp_path / "out"))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: --lr: must be a finite number, is inf\n"
    assert normlab("study", "--lr", "nan", "--out", str(tmp_path / "out")).returncode == 2


def test_norms_lists_every_variant() -> None:
    text = normlab("norms").stdout
    for name in nl.norm_variants():
        assert re.search(rf"^\s*{name}\s", text, re.MULTILINE)


def test_gradients_keep_what_the_traits_keep() -> None:
    formulas = {name: gradient(nl.norm_traits(name)) for name in nl.norm_variants()}
    assert formulas["none"] == "g"
    assert formulas["layernorm"] == "(G − mean G − y·mean Gy)/σ"
    assert formulas["detach_mean"] == "(G − y·mean Gy)/σ"
    assert formulas["detach_std"] == "(G − mean G)/σ"
    assert formulas["detachnorm"] == "G/σ"
    assert formulas["rmsnorm"] == "(G − y·mean Gy)/rms"


def test_info_says_what_is_here(tmp_path: Path) -> None:
    text = normlab("info", NORMLAB_DATA=str(tmp_path), XDG_CACHE_HOME="/no/cache").stdout
    for word in (
        nl.build_info()["version"],
        "oneDNN",
        "threads",
        "CUDA",
        str(tmp_path),
        "/no/cache/normlab",
        "mnist",
        "fashion_mnist",
        "www.cs.cornell.edu",
        "nlp.stanford.edu",
        "en_ewt",
    ):
        assert str(word) in text
    assert "must name a folder" in normlab("info", NORMLAB_DATA="/no/folder").stdout


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"OMP_NUM_THREADS": "3"}, "3 (OMP_NUM_THREADS=3)"),
        ({"OMP_THREAD_LIMIT": "1"}, "1 ("),
        ({"OMP_NUM_THREADS": "many"}, "for this process"),
    ],
)
def test_info_says_where_the_number_of_threads_comes_from(
    variables: dict[str, str], said: str
) -> None:
    given = {"OMP_NUM_THREADS": "", **variables}
    assert said in normlab("info", **given).stdout


def test_threads_follow_the_affinity_of_the_process() -> None:
    one = min(os.sched_getaffinity(0))
    code = (
        f"import os; os.sched_setaffinity(0, [{one}])\n"
        "import normlab as nl; print(nl.num_threads())"
    )
    env = {name: value for name, value in os.environ.items() if not name.startswith("OMP_")}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env)
    assert done.stdout == "1\n"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--norm", "layernom"], "--norm: must be of all, paper, none, layernorm"),
        (
            ["--task", "imagenet"],
            "--task: must be of mnist, fashion_mnist, rt, sst5, parse, charlm, translate; "
            "is 'imagenet'",
        ),
        (["--seeds", "x"], "--seeds: must be how many (1 or more) or a list such as 0,3,7; is 'x'"),
        (["--seeds", "0"], "--seeds: must be how many"),
        (["--epochs", str(10**23)], "--epochs: must be at most 2,147,483,647, is 100,000,"),
        (["--patience", "2147483648"], "--patience: must be at most 2,147,483,647, is"),
        (["--batch", "2147483648"], "--batch: must be at most 2,147,483,647, is 2,147,483,648"),
        (["--threads", "2147483648"], "--threads: must be at most 2,147,483,647, is"),
        (["--jobs", "2147483648"], "--jobs: must be at most 2,147,483,647, is 2,147,483,648"),
        (["--seeds", "9999999999"], "--seeds: must be at most 1,000,000, is 9,999,999,999"),
        (["--seeds", f"0,{2**64}"], "--seeds: must be at most 18,446,744,073,709,551,615, is"),
        (["--C", "1", "0"], "--C: must be positive numbers"),
        (["--C", "nan"], "--C: must be positive numbers, are 'nan'"),
        (["--treebank", "en_ewt"], "--treebank: needs --task parse"),
        (["--task", "parse", "--treebank", "/none"], "treebank must be 'en_ewt' or a folder"),
        (["--out", "/proc/none"], "/proc/none: the output folder cannot be written"),
    ],
)
def test_errors_are_one_line_and_code_2(words: list[str], message: str) -> None:
    done = normlab("study", *words)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1
    assert message in done.stderr
    assert done.stdout == ""


def test_names_are_known_in_any_case() -> None:
    known = ["mnist", "rt", "layernorm"]
    assert values.known("--x", ["LayerNorm", "MNIST,rt"], known) == ["layernorm", "mnist", "rt"]


def test_missing_data_names_three_ways(tmp_path: Path) -> None:
    done = normlab(
        "study",
        "--out",
        str(tmp_path / "out"),
        NORMLAB_DATA=str(tmp_path),
        XDG_CACHE_HOME=str(tmp_path),
        NORMLAB_MIRROR="http://127.0.0.1:9",
    )
    assert done.returncode == 2
    assert "Three ways to supply it" in done.stderr and "Traceback" not in done.stderr


def test_debug_shows_where_an_error_arose() -> None:
    assert "Traceback" in normlab("study", "--norm", "x", "--debug").stderr
    assert "Traceback" in normlab("study", "--norm", "x", NORMLAB_DEBUG="1").stderr


def test_wrong_usage_is_code_2() -> None:
    done = normlab("study", "--epochs", "0")
    assert done.returncode == 2 and "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (
            "study --norm a b --seeds 0 1 --quick",
            "study --norm a --norm b --seeds 0 --seeds 1 --quick",
        ),
        ("study --norm=a b --out x", "study --norm=a --norm b --out x"),
        ("study --norm a --norm b,c --jobs 2", "study --norm a --norm b,c --jobs 2"),
        ("study --C 0.8 1 -h", "study --C 0.8 --C 1 -h"),
        ("report x", "report x"),
    ],
)
def test_lists_may_be_written_with_spaces(words: str, expected: str) -> None:
    assert values.spread(words.split()) == expected.split()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["3"], [0, 1, 2]),
        (["0,3,7"], [0, 3, 7]),
        (["0", "3"], [0, 3]),
        (["7,"], [7]),
        (["4,4"], [4]),
    ],
)
def test_seeds(words: list[str], expected: list[int]) -> None:
    assert values.seeds(words) == expected


def test_sets_of_norms() -> None:
    assert values.norms(["paper", "none", "rmsnorm"]) == [
        "none",
        "layernorm",
        "layernorm_simple",
        "adanorm",
        "detachnorm",
        "rmsnorm",
    ]
    assert values.norms(["all"]) == list(nl.norm_variants())


def test_import_stays_light() -> None:
    code = (
        "import sys, normlab.cli, normlab.study, normlab.data; "
        "print([m for m in ('matplotlib', 'requests', 'tqdm', 'pooch') if m in sys.modules])"
    )
    assert (
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        ).stdout.strip()
        == "[]"
    )


_ENDLESS = """
from test_study import Endless
import normlab.study
from normlab.cli import main

if __name__ == "__main__":
    normlab.study.TASKS = {"mnist": Endless}
    main()
"""


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_ctrl_c_is_code_130_and_says_how_to_go_on(tmp_path: Path, jobs: str) -> None:
    script, out = tmp_path / "endless.py", tmp_path / "out"
    script.write_text(_ENDLESS)
    words = ["study", "--norm", "none", "--jobs", jobs, "--out", str(out)]
    here = str(Path(__file__).parent)
    process = subprocess.Popen(
        [sys.executable, str(script), *words],
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([here, os.environ.get("PYTHONPATH", "")])},
    )
    assert process.stdout
    while process.stdout.readline() != "training\n":
        assert process.poll() is None
    os.killpg(process.pid, signal.SIGINT)  # a terminal tells every process
    _, stderr = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "Interrupted: 0 of 5 runs are finished" in stderr
    assert f"to go on: normlab {' '.join(words)}" in stderr
    assert "normlab report" not in stderr, "there is nothing to report"
    assert "Traceback" not in stderr
    assert not list(out.glob("running/*"))


def test_report_is_made_anew(tmp_path: Path) -> None:
    from test_report import FIVE

    done = normlab("report", str(tmp_path))
    assert done.returncode == 2 and "has no finished results" in done.stderr
    file = nl.study.ResultFile(tmp_path)
    for line in FIVE:
        file.append(line)
    done = normlab("report", str(tmp_path))
    assert done.returncode == 0
    assert "| layernorm |" in done.stdout and "report.html" in done.stdout


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
def test_reports_where_nobody_listens(tmp_path: Path, closed: str) -> None:
    from test_report import FIVE

    file = nl.study.ResultFile(tmp_path)
    for line in FIVE:
        file.append(line)
    command = f'"{sys.executable}" -m normlab report "{tmp_path}" {closed}'
    assert subprocess.run(["sh", "-c", command], capture_output=True).returncode == 0
    assert (tmp_path / "report.html").exists()
