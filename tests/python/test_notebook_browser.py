"""A notebook in a real JupyterLab, in a real browser: what a reader sees after "Run All"."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

playwright = pytest.importorskip("playwright.sync_api")
CHROMIUM = shutil.which("chromium")
NOTEBOOK = "06_parsing.ipynb"
LIMIT = 600  # seconds: only what hangs takes so long
SETTINGS = {
    # All cells stay on the page, seen or not.
    "notebook-extension/tracker": {"windowingMode": "none"},
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
}

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium on this machine")


def prepared(folder: Path) -> dict[str, str]:
    """JupyterLab's environment: nothing of the user's own, all its files in that folder."""
    for name, values in SETTINGS.items():
        extension, _, part = name.partition("/")
        path = folder / "settings" / "@jupyterlab" / extension / f"{part}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(values))
    places = {
        "JUPYTERLAB_SETTINGS_DIR": "settings",
        "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
        "JUPYTER_CONFIG_DIR": "config",
        "JUPYTER_DATA_DIR": "data",
        "JUPYTER_RUNTIME_DIR": "runtime",
    }
    found = {name: str(folder / place) for name, place in places.items()}
    return os.environ | found | {"JUPYTER_PORT": "0", "JUPYTER_TOKEN": "secret"}


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[str]:
    """Address of a JupyterLab that `normlab notebooks` has opened."""
    environment = prepared(tmp_path)
    command = [sys.executable, "-m", "normlab", "notebooks", "lessons", "--no-browser"]
    log = tmp_path / "lab.log"
    with log.open("w") as output:
        process = subprocess.Popen(
            command, cwd=tmp_path, env=environment, stdout=output, stderr=output
        )
    try:
        place = tmp_path / "runtime" / f"jpserver-{process.pid}.json"
        begin = time.monotonic()
        while not place.exists():
            assert process.poll() is None, log.read_text()
            assert time.monotonic() - begin < LIMIT, log.read_text()
            time.sleep(0.1)
        yield json.loads(place.read_text())["url"]
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(LIMIT)


@pytest.fixture
def page() -> Iterator[Any]:
    """A page of a headless browser, as wide as a laptop's."""
    with playwright.sync_playwright() as tools:
        browser = tools.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        shown = browser.new_page(viewport={"width": 1280, "height": 900})
        shown.set_default_timeout(1000 * LIMIT)
        yield shown
        browser.close()


def run_all(page: Any) -> None:
    """By the menu, as a reader does, until every cell has its number."""
    page.locator(".jp-Notebook .jp-CodeCell").first.wait_for()
    page.get_by_text("Python 3 (ipykernel) | Idle").wait_for()  # before, nothing would run
    page.get_by_text("Run", exact=True).first.click()
    page.get_by_text("Run All Cells", exact=True).click()
    page.wait_for_function(
        """() => document.querySelector('[data-mime-type="application/vnd.jupyter.error"]')
                 || [...document.querySelectorAll('.jp-CodeCell .jp-InputPrompt')]
                      .every(prompt => /^\\[\\d+\\]:$/.test(prompt.textContent.trim()))"""
    )
    assert page.locator('[data-mime-type="application/vnd.jupyter.error"]').all_inner_texts() == []


def test_a_notebook_in_jupyterlab(lab: str, page: Any, output_folder: Path) -> None:
    page.goto(f"{lab}lab/tree/{NOTEBOOK}?token=secret")
    try:
        run_all(page)
        said = page.locator('[data-mime-type="application/vnd.jupyter.stderr"]')
        assert said.all_inner_texts() == []

        # Pictures: every one has arrived and has a size.
        pictures = page.locator(".jp-RenderedImage img")
        sizes = pictures.evaluate_all("all => all.map(each => each.naturalWidth)")
        assert len(sizes) >= 3 and min(sizes) > 300
        assert page.locator(".jp-RenderedHTMLCommon svg").count() >= 3  # trees
        assert page.locator(".jp-RenderedHTMLCommon table").count() >= 2

        # Progress bars, full: training, and the tagger.
        bars = page.locator(".jp-OutputArea-output .progress-bar")
        assert bars.count() == 2
        for i in range(2):
            assert bars.nth(i).evaluate("bar => bar.style.width") == "100%"
        bars.first.scroll_into_view_if_needed()
        page.screenshot(path=output_folder / "browser_bars.png")
        pictures.first.scroll_into_view_if_needed()
        page.screenshot(path=output_folder / "browser_pictures.png")

        # The widgets: a sentence that is typed becomes a tree, and so it does with another norm.
        line = page.locator(".widget-text input")
        line.scroll_into_view_if_needed()
        drawing = page.locator(".widget-html svg")
        before = drawing.inner_html()
        line.fill("Parsers draw trees.")
        line.press("Enter")
        page.wait_for_function(
            "() => /Parsers/.test(document.querySelector('.widget-html svg')?.textContent)"
        )
        assert drawing.inner_html() != before
        assert all(word in drawing.inner_html() for word in ("Parsers", "draw", "trees"))
        page.locator(".widget-dropdown select").select_option("detachnorm")
        page.locator(".widget-html").get_by_text("with detachnorm parses it").wait_for()
        page.screenshot(path=output_folder / "browser_widgets.png")
        line.fill("")
        line.press("Enter")
        page.locator(".widget-html").get_by_text("must have words").wait_for()
    finally:
        page.screenshot(path=output_folder / "browser_last.png")
