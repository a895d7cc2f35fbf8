"""Packages: the source distribution, the recipes of other managers, CMake's FetchContent."""

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
import yaml

import normlab as nl

ROOT = Path(__file__).parents[2]
NOT_IN_IT = (".ci/", ".github/")  # what only the repository's host reads
PACKAGING = ROOT / "packaging"
# Nothing answers there: whatever asks the network fails at once.
NO_NETWORK = {f"{name}_proxy": "http://127.0.0.1:9" for name in ("http", "https", "all")}


def offline(*words: str | Path) -> None:
    """Runs a command with the network off, by the kernel where that is allowed."""
    alone = ["unshare", "--net", "--map-root-user"]
    can = shutil.which("unshare") and subprocess.run([*alone, "true"], capture_output=True)
    command = [*(alone if can and can.returncode == 0 else []), *map(str, words)]
    environment = os.environ | NO_NETWORK | {"PIP_NO_INDEX": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr


# --- the source distribution ----------------------------------------------------------------------


CHECKOUT = (ROOT / ".git").exists()


def files_of_git() -> dict[str, bool]:
    """What is committed or may be, by name: True for programs."""
    command = ["git", "-C", ROOT, "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    names = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    paths = {name: ROOT / name for name in names.split("\0") if name}
    return {name: os.access(path, os.X_OK) for name, path in paths.items() if path.exists()}


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checkout without what only this machine has; an unpacked sdist as it is."""
    if not CHECKOUT:
        return ROOT
    folder = tmp_path_factory.mktemp("source")
    for name in files_of_git():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, folder / name)
    return folder


@pytest.fixture(scope="module")
def sdist(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sdist")
    offline(
        *(sys.executable, "-m", "build", "--sdist", "--no-isolation", "--skip-dependency-check"),
        *("--outdir", folder, source),
    )
    (path,) = folder.iterdir()
    assert path.name == f"normlab-{nl.__version__}.tar.gz"
    return path


@pytest.fixture(scope="module")
def unpacked(sdist: Path) -> Path:
    with tarfile.open(sdist) as archive:
        archive.extractall(sdist.parent)
    return sdist.with_name(f"normlab-{nl.__version__}")


@pytest.mark.skipif(not CHECKOUT, reason="not a checkout, but what came out of one")
def test_has_every_file_of_the_build_and_the_tests_and_no_other(unpacked: Path) -> None:
    there = {
        path.relative_to(unpacked).as_posix(): os.access(path, os.X_OK)
        for path in unpacked.rglob("*")
        if path.is_file()
    }
    assert not there.pop("PKG-INFO")
    asked = files_of_git()
    assert there == {name: asked[name] for name in asked if not name.startswith(NOT_IN_IT)}
    assert there["tests/run"] and "tests/cpp/CMakeLists.txt" in there


PYTHON = (f"-DPython_EXECUTABLE={sys.executable}", f"-DPython3_EXECUTABLE={sys.executable}")
NO_CUDA = ("-DNORMLAB_CUDA=OFF", "-DCMAKE_DISABLE_FIND_PACKAGE_CUDAToolkit=ON")


def test_configures_with_the_network_off(unpacked: Path, tmp_path: Path) -> None:
    offline(
        *("cmake", "-S", unpacked, "-B", tmp_path, "-DNORMLAB_PYTHON=ON", "-DNORMLAB_TESTS=ON"),
        *(*NO_CUDA, *PYTHON),
    )


def test_the_index_takes_its_description(sdist: Path) -> None:
    offline(sys.executable, "-m", "twine", "check", "--strict", sdist)


# --- an installation without its libraries --------------------------------------------------------


@pytest.mark.parametrize(
    ("library", "advice"),
    [
        ("libdnnl.so.3", "pip install --force-reinstall onednn-cpu-gomp=="),
        ("libgomp.so.1", "apt-get"),
    ],
)
def test_the_import_says_what_to_install(library: str, advice: str) -> None:
    said = f"{library}: cannot open shared object file: No such file or directory"
    code = f"""
import importlib.abc, sys
class Loader(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == "normlab._core":
            raise ImportError({said!r})
sys.meta_path.insert(0, Loader())
import normlab
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    last = done.stderr.splitlines()[-1]
    assert last.startswith(f"ImportError: normlab's engine does not load: {said}; ")
    assert advice in last


def test_the_advice_names_the_version_that_is_required() -> None:
    (asked,) = re.findall(
        r"onednn-cpu-gomp==[\d.]+", (ROOT / "python/normlab/_libraries.py").read_text()
    )
    assert f'"{asked}",' in (ROOT / "pyproject.toml").read_text("utf-8")


# --- other package managers -----------------------------------------------------------------------


def requirements(words: list[str]) -> set[str]:
    """Requirements without spaces, oneDNN's and Python's left out: managers name those anew."""
    plain = {word.replace(" ", "").replace("matplotlib-base", "matplotlib") for word in words}
    return {word for word in plain if not word.startswith(("onednn", "python", "pip"))}


def test_the_recipe_of_conda_has_our_version_and_requirements() -> None:
    tomllib = pytest.importorskip("tomllib", reason="Python 3.10 reads no TOML")
    ours = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    recipe = yaml.safe_load((PACKAGING / "conda" / "recipe.yaml").read_text("utf-8"))
    assert recipe["package"] == {"name": "normlab", "version": nl.__version__}
    asked = recipe["requirements"]
    assert requirements(asked["run"]) == requirements(ours["project"]["dependencies"])
    assert requirements(asked["host"]) == requirements(ours["build-system"]["requires"])
    assert recipe["about"]["summary"] == ours["project"]["description"]
    for test in recipe["tests"]:
        assert all((ROOT / file).exists() for file in test["files"]["source"])


def test_the_port_of_vcpkg_has_our_version_and_sources() -> None:
    folder = PACKAGING / "vcpkg" / "normlab"
    port = json.loads((folder / "vcpkg.json").read_text("utf-8"))
    assert (port["name"], port["version"]) == ("normlab", nl.__version__)
    (up,) = re.findall(
        r"\{CMAKE_CURRENT_LIST_DIR\}/([./]+)\"", (folder / "portfile.cmake").read_text()
    )
    assert (folder / up).resolve() == ROOT


def test_the_workflow_builds_what_cibuildwheel_is_told() -> None:
    tomllib = pytest.importorskip("tomllib", reason="Python 3.10 reads no TOML")
    told = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["cibuildwheel"]
    (minors,) = re.findall(r"cp3\{([\d,]+)\}-manylinux_x86_64", told["build"])
    workflow = ROOT / ".github" / "workflows" / "wheel.yml"
    if not workflow.exists():
        pytest.skip("not a checkout, but what came out of one")
    jobs = yaml.safe_load(workflow.read_text("utf-8"))["jobs"]
    built = jobs["wheel"]["strategy"]["matrix"]["python"]
    assert built == [f"cp3{minor}" for minor in minors.split(",")]


# --- CMake's FetchContent -------------------------------------------------------------------------


@pytest.mark.parametrize("shared", ["ON", "OFF"])
def test_an_application_may_fetch_the_sources(shared: str, tmp_path: Path) -> None:
    page = (ROOT / "docs" / "cpp.md").read_text("utf-8")
    _, lines = re.findall(r"```cmake\n(.*?)```", page, re.DOTALL)
    assert f"normlab-{nl.__version__}.tar.gz" in lines
    (tmp_path / "main.cpp").write_text("int main() {}\n")
    (tmp_path / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.25)\nproject(app CXX)\nadd_executable(app main.cpp)\n"
        + lines
    )
    offline(
        *("cmake", "-S", tmp_path, "-B", tmp_path / "b", f"-DBUILD_SHARED_LIBS={shared}"),
        *(f"-DFETCHCONTENT_SOURCE_DIR_NORMLAB={ROOT}", *NO_CUDA, *PYTHON),
    )
