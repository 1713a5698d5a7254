"""report.html in a real browser: nothing to complain of, every figure drawn, readable on a phone, light and dark."""

import base64
import shutil

import pytest

from actors.protocols import PROTOCOLS
from tests.browser.chromium import Page
from workloads.outcome.compare_report import render
from workloads.outcome.read import read_comparison

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(
        not shutil.which("chromium"), reason="needs chromium (Debian package chromium)"
    ),
]
PHONE, DESK = 360, 1280
AA = 4.5  # WCAG 2.1, contrast of text
FIGURES = {"violated": 4, "stopped": 0, "seeds": 4, "comparison": 3, "sweep": 2}
every_page = pytest.mark.parametrize("name", FIGURES)

OPEN_ALL = "document.querySelectorAll('details').forEach(found => found.open = true)"
SIZES = """[...document.querySelectorAll('figure svg')].map(svg => {
  const outer = svg.getBoundingClientRect(), inner = svg.getBBox();
  return {width: outer.width, height: outer.height, right: outer.right, drawn: inner.width * inner.height,
          shapes: svg.querySelectorAll('path, use').length,
          cut: [...svg.querySelectorAll('text')].filter(t => {
            const found = t.getBoundingClientRect();
            return found.left < outer.left - 1 || found.right > outer.right + 1;
          }).map(t => t.textContent),
          letters: Math.min(...[...svg.querySelectorAll('text')].map(t => t.getBoundingClientRect().height))};
})"""
CONTRASTS = """(() => {
  const numbers = text => text.match(/[\\d.]+/g).slice(0, 3).map(Number);
  const linear = c => (c /= 255) <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
  const light = rgb => rgb.map(linear).reduce((sum, c, n) => sum + c * [0.2126, 0.7152, 0.0722][n], 0);
  const paper = light(numbers(getComputedStyle(document.body).backgroundColor));
  const worded = element => [...element.childNodes].some(n => n.nodeType === 3 && n.data.trim());
  const seen = element => worded(element) && !element.closest('title, desc, style, script');
  return [...document.body.querySelectorAll('*')].filter(seen).map(element => {
    const style = getComputedStyle(element), svg = element instanceof SVGElement;
    const ink = light(numbers(svg ? style.fill : style.color));
    return [element.textContent.slice(0, 40), (Math.max(ink, paper) + 0.05) / (Math.min(ink, paper) + 0.05)];
  });
})()"""
PAPER = "getComputedStyle(document.body).backgroundColor"


def opened(browser, path, width=DESK, **how):
    """The page, with all that is folded."""
    page = Page(browser, width, **how)
    page.open(path)
    page.ask(OPEN_ALL)
    return page


@every_page
def test_the_console_stays_empty_and_nothing_is_fetched(name, browser, pages):
    page = opened(browser, pages[name])
    assert page.complaints() == []
    assert page.requests() == [pages[name].absolute().as_uri()]


@every_page
@pytest.mark.parametrize("width", [PHONE, DESK])
def test_every_figure_is_drawn_and_readable(name, width, browser, pages):
    page = opened(browser, pages[name], width)
    sizes = page.ask(SIZES)
    assert len(sizes) >= FIGURES[name]
    for size in sizes:
        assert size["width"] > 300 and size["height"] > 80
        assert size["drawn"] > 0 and size["shapes"] > 10
        assert size["right"] <= width
        assert size["cut"] == []
        assert size["letters"] >= 8, "pixels, with the room above and below the letters"


def test_the_first_screen_has_the_verdict_and_a_figure(browser, pages):
    page = opened(browser, pages["violated"])
    top = "document.querySelector('{}').getBoundingClientRect().top"
    verdict, figure = (page.ask(top.format(one)) for one in (".verdict", "figure svg"))
    assert 0 <= verdict < figure < 750, "of 800"


@every_page
def test_a_phone_need_not_scroll_sideways(name, browser, pages):
    page = opened(browser, pages[name], PHONE)
    assert page.ask("document.documentElement.scrollWidth") <= PHONE
    assert page.ask("innerWidth") == PHONE


@every_page
@pytest.mark.parametrize(
    ("scheme", "paper"), [("light", "rgb(255, 255, 255)"), ("dark", "rgb(13, 17, 23)")]
)
def test_all_text_stands_out_in_light_and_dark(name, scheme, paper, browser, pages):
    page = opened(browser, pages[name], scheme=scheme)
    assert page.ask(PAPER) == paper
    contrasts = page.ask(CONTRASTS)
    assert len(contrasts) > 20
    assert [found for found in contrasts if found[1] < AA] == []


@every_page
def test_it_prints_black_on_white_also_where_the_screen_is_dark(name, browser, pages):
    page = opened(browser, pages[name], scheme="dark", media="print")
    assert page.ask(PAPER) == "rgb(255, 255, 255)"
    assert [found for found in page.ask(CONTRASTS) if found[1] < AA] == []
    printed = base64.b64decode(page.send("Page.printToPDF")["data"])
    assert printed.startswith(b"%PDF") and len(printed) > 10_000


@every_page
def test_who_cannot_see_a_figure_is_told_of_it(name, browser, pages):
    page = opened(browser, pages[name])
    nodes = page.send("Accessibility.getFullAXTree")["nodes"]
    images = [node for node in nodes if node.get("role", {}).get("value") in ("image", "img")]
    assert len(images) == len(page.ask(SIZES))
    assert all(node["name"]["value"] and node["description"]["value"] for node in images)


WIDE = "(found => found.scrollWidth - found.clientWidth)(document.querySelector('.wide'))"


@pytest.mark.parametrize("width", [PHONE, 800, DESK])
def test_eight_protocols_stand_beside_one_another_or_below_and_never_beyond_the_edge(
    width, browser, pages, tmp_path
):
    record = read_comparison(pages["comparison"].with_name("compare.json"))
    summary = record["protocols"]["undo"]
    path = tmp_path / "eight.html"
    path.write_text(render({**record, "protocols": dict.fromkeys(PROTOCOLS, summary)}, {}))
    page = opened(browser, path, width)
    assert page.ask(WIDE) <= 0
    assert page.ask("document.documentElement.scrollWidth") <= width


BAD = """<!DOCTYPE html><meta name="viewport" content="width=device-width"><body style="color:#eee;background:#fff">
<figure><svg viewBox="0 0 9 9"><title>t</title></svg></figure><p style="width:900px">pale</p>
<script>nobody.knows()</script><img src="missing.png">"""


def test_what_is_wrong_with_a_page_is_seen(browser, tmp_path):
    path = tmp_path / "bad.html"
    path.write_text(BAD)
    page = opened(browser, path, PHONE)
    assert any("nobody" in str(event) for event in page.complaints())
    assert [address.rpartition("/")[2] for address in page.requests()] == [
        "bad.html",
        "missing.png",
    ]
    assert page.ask("document.documentElement.scrollWidth") > PHONE
    assert page.ask(CONTRASTS)[0][1] < AA
    assert page.ask(SIZES)[0]["drawn"] == 0
