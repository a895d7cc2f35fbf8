"""The report in a real browser: on a phone, a tablet, a screen, in the dark, and on paper."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from test_report import ORDER, losses, result

from normlab import paper
from normlab.report import groups
from normlab.report.page import page as html_of

CHROMIUM = shutil.which("chromium")
sync_api = pytest.importorskip("playwright.sync_api", reason="playwright's client is not installed")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="Debian's chromium is not installed")

TREES = """1\tA\t_\tDET\t_\t_\t2\tdet\t_\t_
2\tdog\t_\tNOUN\t_\t_\t0\troot\t_\t_

"""
OTHERS = TREES.replace("2\tdet", "0\troot").replace("0\troot\t_\t_\n\n", "1\tobj\t_\t_\n\n")


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page with all that a page may have."""
    names = (*paper.NORMS, "gain_only", "bias_only")
    lines = [
        losses(norm, seed, [0.6, 0.4, 0.2, 0.1], [0.7, 0.6, 0.65, 0.8])
        | {"test": 99 + 0.01 * i + 0.02 * seed, "trees": [[TREES * 2, OTHERS * 2]]}
        for i, norm in enumerate(names)
        for seed in range(3)
    ]
    lines += [result(norm, title="A second task", task="x") for norm in ORDER]
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(html_of(groups(lines, ORDER)), "utf-8")
    return path


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


def opened(browser: Any, report: Path, width: int, **options: Any) -> Any:
    page = browser.new_page(viewport={"width": width, "height": 800}, **options)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(report.as_uri())
    assert asked == [report.as_uri()], "the page is complete in itself"
    page.screenshot(path=report.parent / f"{width}.png", full_page=True)
    return page


# What juts out of the page without scrolling by itself.
JUTTING = """() => [...document.querySelectorAll("main *")].filter(e =>
    e.getBoundingClientRect().right > innerWidth + 0.5 && !e.closest(".scroll, .tree"))
    .map(e => e.outerHTML.slice(0, 80))"""
SMALLEST = """() => Math.min(...[...document.querySelectorAll("figure:not(.tree) svg text")]
    .map(e => [parseFloat(getComputedStyle(e).fontSize), e.getScreenCTM()])
    .map(([size, turned]) => size * Math.hypot(turned.a, turned.b)))"""


@pytest.mark.parametrize(("width", "letters"), [(360, 8.5), (800, 7), (1400, 9)])
def test_everything_fits_and_is_legible(
    browser: Any, report: Path, width: int, letters: float
) -> None:
    page = opened(browser, report, width)
    assert page.evaluate("document.documentElement.scrollWidth") == width
    assert page.evaluate(JUTTING) == []
    assert page.evaluate(SMALLEST) >= letters, "pixels"
    page.close()


def test_on_a_phone_a_table_scrolls_and_its_names_stay(browser: Any, report: Path) -> None:
    page = opened(browser, report, 360)
    before, after = page.evaluate("""() => {
        const box = document.querySelector(".scroll"), name = box.querySelector("tbody th");
        const before = name.getBoundingClientRect().left;
        box.scrollLeft = box.scrollWidth;
        return [before, name.getBoundingClientRect().left]; }""")
    assert abs(before - after) <= 1
    assert page.evaluate('document.querySelector(".scroll").scrollLeft') > 0
    assert (
        page.evaluate("""() => { const box = document.querySelector(".scroll");
        const cell = box.querySelector("tbody td").getBoundingClientRect();
        box.scrollLeft = 0;
        return box.querySelector("tbody td").getBoundingClientRect().right; }""")
        <= 360
    )
    page.close()


def _luminance(colour: str) -> float:
    red, green, blue = (int(x) for x in colour.strip("rgb()").split(",")[:3])
    return (0.2126 * red + 0.7152 * green + 0.0722 * blue) / 255


@pytest.mark.parametrize(
    ("scheme", "media", "dark"),
    [("light", "screen", False), ("dark", "screen", True), ("dark", "print", False)],
)
def test_text_stands_out_in_light_in_dark_and_on_paper(
    browser: Any, report: Path, scheme: str, media: str, dark: bool
) -> None:
    page = opened(browser, report, 800, color_scheme=scheme)
    page.emulate_media(media=media, color_scheme=scheme)
    ink, ground = (
        _luminance(page.evaluate(f"getComputedStyle(document.body).{name}"))
        for name in ("color", "backgroundColor")
    )
    assert (ink > 0.8 and ground < 0.2) if dark else (ink < 0.2 and ground > 0.9)
    page.close()


def test_dotted_arcs_are_seen(browser: Any, report: Path) -> None:
    """Their dots are the round ends of lines without length, which no other sheet may cut off."""
    page = opened(browser, report, 800)
    for what, count in (("g.nl-missing > path", 4), ("g.nl-legend > path", 2)):
        ends = page.evaluate(f"""() => [...document.querySelectorAll("{what}")]
            .filter(e => e.getAttribute("stroke-dasharray") == "0.1 4")
            .map(e => getComputedStyle(e).strokeLinecap)""")
        assert ends == ["round"] * count
    page.close()


def test_on_a_phone_curves_name_their_colours_and_trees_have_a_shade(
    browser: Any, report: Path
) -> None:
    shown = """() => [...document.querySelectorAll("section:first-of-type .key")]
        .filter(e => e.getClientRects().length).map(e => e.innerText.split("\\n"))"""
    page = opened(browser, report, 360)
    names = page.evaluate(shown)
    assert len(names) == 3 and all({*paper.NORMS} <= set(found) for found in names)
    shades = page.evaluate("""() => [...document.querySelectorAll(".tree > div, .scroll")]
        .map(e => getComputedStyle(e).backgroundImage.split("linear-gradient").length)""")
    assert len(shades) > 4 and set(shades) == {3}
    page.close()
    page = opened(browser, report, 1400)
    assert page.evaluate(shown) == []
    page.close()


def test_on_paper_nothing_is_cut_off(browser: Any, report: Path) -> None:
    page = opened(browser, report, 695)  # the width of A4 between the margins
    page.emulate_media(media="print")
    cut = page.evaluate("""() => [...document.querySelectorAll("table, figure, svg")]
        .filter(e => e.getClientRects().length && e.getBoundingClientRect().right > innerWidth + 1)
        .map(e => e.outerHTML.slice(0, 80))""")
    assert cut == []
    rules = page.evaluate("""() => [...document.querySelectorAll("figure, table")]
        .filter(e => e.getClientRects().length).map(e => getComputedStyle(e).breakInside)""")
    assert len(rules) > 10 and set(rules) == {"avoid"}
    after = page.evaluate("""() => [...document.querySelectorAll("h3.part, h3.part + .notes")]
        .map(e => getComputedStyle(e).breakAfter)""")
    assert len(after) > 2 and set(after) == {"avoid"}, "headings and what follows stay with it"
    pdf = page.pdf(prefer_css_page_size=True, path=report.parent / "report.pdf")
    assert pdf.startswith(b"%PDF-")
    page.close()
