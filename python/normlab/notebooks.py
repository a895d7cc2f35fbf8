"""The notebooks that come with the package: into a folder of the user's, and into JupyterLab."""

import importlib.util
import os
import sys
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import NoReturn

from ._core import ArgumentError, FileError

__all__ = ["Copied", "available", "copy", "lab_command", "open_lab"]

_IN_PACKAGE = "_notebooks"
_IN_SOURCE = Path(__file__).resolve().parents[2] / "notebooks"  # where nothing is installed


@dataclass(frozen=True)
class Copied:
    """Names of the notebooks by what copy() did with them.

    Attributes:
        written: New in the folder, or overwritten.
        kept: There already, and changed since: left as they were.
        same: There already, and the same.
    """

    written: tuple[str, ...]
    kept: tuple[str, ...]
    same: tuple[str, ...]


def available() -> dict[str, bytes]:
    """The notebooks as they are shipped, by file name.

    Raises:
        FileError: They are not there.
    """
    for folder in (files(__package__).joinpath(_IN_PACKAGE), _IN_SOURCE):
        if folder.is_dir():
            found = {
                entry.name: entry.read_bytes()
                for entry in folder.iterdir()
                if entry.name.endswith(".ipynb")
            }
            if found:
                return dict(sorted(found.items()))
    raise FileError("notebooks: this installation has none; install normlab again")


def copy(folder: str | os.PathLike[str], *, force: bool = False) -> Copied:
    """Copies the notebooks into a folder, which is made where it is not there.

    Args:
        folder: Where they go.
        force: Overwrite those that were changed there; else these are left alone.

    Raises:
        FileError: The folder cannot be written.
    """
    folder = Path(folder)
    found: dict[str, list[str]] = {"written": [], "kept": [], "same": []}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, data in available().items():
            target = folder / name
            there = target.read_bytes() if target.exists() else None
            what = "same" if there == data else "kept" if there is not None else "written"
            if what == "written" or (what == "kept" and force):
                what = "written"
                part = folder / f".{name}.part"
                part.write_bytes(data)
                os.replace(part, target)
            found[what].append(name)
    except OSError as error:
        if isinstance(error, FileError):
            raise
        raise FileError(f"{folder}: cannot be written: {error.strerror or error}") from error
    return Copied(**{what: tuple(names) for what, names in found.items()})


def lab_command(folder: str | os.PathLike[str], *, browser: bool = True) -> list[str]:
    """The command that opens JupyterLab there, in this Python's environment.

    Raises:
        ArgumentError: JupyterLab is not installed.
    """
    if importlib.util.find_spec("jupyterlab") is None:
        raise ArgumentError(
            "notebooks: JupyterLab is not installed here. Either `pip install normlab[notebooks]` "
            "into this environment, or --copy-only and open the files in an editor"
        )
    command = [sys.executable, "-m", "jupyterlab", f"--ServerApp.root_dir={Path(folder).resolve()}"]
    if not browser:
        command.append("--no-browser")
    if os.geteuid() == 0:  # in a container one is root, and JupyterLab would refuse
        command.append("--allow-root")
    return command


def open_lab(command: list[str]) -> NoReturn:
    """Becomes JupyterLab: its messages, Ctrl-C and exit code are its own."""
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(command[0], command)
