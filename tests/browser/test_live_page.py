"""The live page as its reader meets it: in a real browser, with mouse, keyboard and phone, while the campaign runs.

Pictures are kept in build/browser for whoever changes the page to look at.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from controller.lab import Lab
from controller.notices import not_running
from controller.reports.report import write_reports
from controller.text.figures import clock_text
from tests.browser.chromium import Page, Pipe, tab
from tests.browser.site import HELD, WAITING, Site

PICTURES = Path(__file__).resolve().parents[2] / "build" / "browser"
NOON = 35
"""An experiment with a hostile title and hypothesis."""


@pytest.fixture
def page(browser: Pipe, site: Site) -> Iterator[Page]:
    """A tab that, in the end, has asked for nothing outside the controller's port and had nothing to complain of."""
    with tab(browser) as page:
        yield page
        page.evaluate("1")
        outside = [url for url in page.requests if not url.startswith((site.origin + "/", "data:"))]
        assert page.requests
        assert outside == []
        assert page.complaints == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("device", "width", "height"), [("desktop", 1280, 900), ("phone", 390, 844)])
def test_page_fits_its_window_and_can_be_read(
    site: Site, page: Page, scheme: str, device: str, width: int, height: int
) -> None:
    page.open(f"{site.origin}/", width=width, height=height, dark=scheme == "dark")
    page.screenshot(PICTURES / f"{device}-{scheme}.png")

    assert page.evaluate("document.documentElement.scrollWidth") <= width
    trains = f"Experiments {HELD} and {HELD + 1} of mar8 are training"
    page.wait(f"document.querySelector('.sentence').innerText.includes({json.dumps(trains)})")
    assert re.search(r"\b1[0-2] s of 20 s", page.text(".running"))
    assert "step 412" in page.text(".running")
    assert page.evaluate("document.querySelectorAll('.dot').length") > HELD
    until = clock_text(WAITING.until or 0)
    waits = f"the agent waits for the API until {until}: rate_limit_error: too many <b>tokens</b>"
    assert waits in page.text(".running")
    assert "for each experiment" in page.text(".costs")
    brought = page.text(".yields").split()
    assert brought[:6] == ["strategy", "proposed", "kept", "gain", "kept", "cost"]
    assert {"open", "bolder", "delete", "combine"} <= set(brought)
    faint = page.evaluate(FAINT_TEXTS)
    assert faint == []


FAINT_TEXTS = """(() => {
  const channels = (colour) => colour.match(/[0-9.]+/g).map(Number);
  const light = (colour) => channels(colour).slice(0, 3).map((c) => c / 255)
    .map((c) => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  const paper = light(getComputedStyle(document.body).backgroundColor);
  const faint = new Set();
  const small = "h1, p, li span, .waiting, .yields :is(th, td), .legend span, .row span, .row a, .chart text";
  for (const element of document.querySelectorAll(small)) {
    const style = getComputedStyle(element), ink = light(element.ownerSVGElement ? style.fill : style.color);
    const contrast = (Math.max(ink, paper) + 0.05) / (Math.min(ink, paper) + 0.05);
    if (contrast < 4.5) faint.add(`${element.className?.baseVal ?? element.className} ${contrast.toFixed(2)}`);
  }
  return [...faint];
})()"""
"""Texts with less contrast than WCAG asks of small print, 4.5 to 1."""


def test_labels_of_kept_experiments_do_not_run_into_each_other(site: Site, page: Page) -> None:
    page.open(f"{site.origin}/")

    crossings = page.evaluate("""(() => {
      const ends = [...document.querySelectorAll(".label")].map((label) => {
        const matrix = label.getCTM(), length = label.getComputedTextLength();
        const at = (x) => new DOMPoint(x, 0).matrixTransform(matrix);
        return [at(-length), at(0)];
      });
      const across = ([a, b], p) => (b.x - a.x) * (a.y - p.y) - (a.x - p.x) * (b.y - a.y);
      const apart = ([a, b], p) => Math.abs(across([a, b], p)) / Math.hypot(b.x - a.x, b.y - a.y);
      const close = ends.filter((one, i) => ends.some((other, j) => i < j && apart(one, other[1]) < 10));
      return [ends.length, close.length];
    })()""")

    assert crossings[0] >= 5
    assert crossings[1] == 0


def test_click_unfolds_a_row_with_its_diff_and_log(site: Site, page: Page) -> None:
    page.open(f"{site.origin}/")
    page.click("#e36 summary")
    page.wait("document.querySelector('#e36 pre.diff')")

    assert page.evaluate("document.querySelector('#e36').open")
    body = page.text("#e36 .body")
    assert "larger steps should pay" in body
    assert "CUDA out of memory in train" in body
    assert "OutOfMemoryError" in body
    assert "K10 = " in page.text("#e36 pre.diff .added")
    page.evaluate("document.querySelector('#e36').scrollIntoView()")
    page.screenshot(PICTURES / "unfolded.png")

    page.click("#e36 summary")
    assert not page.evaluate("document.querySelector('#e36').open")


def test_keyboard_alone_reaches_and_unfolds_a_row(site: Site, page: Page) -> None:
    page.open(f"{site.origin}/")
    for _ in range(300):
        page.press("Tab")
        if page.evaluate("document.activeElement.matches('#e39 summary')"):
            break
    page.press("Enter")
    page.wait("document.querySelector('#e39 pre.diff')")

    assert page.evaluate("document.querySelector('#e39').open")
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"


def test_mouse_and_keyboard_on_a_dot_show_its_title_and_diff(site: Site, page: Page) -> None:
    page.open(f"{site.origin}/")
    page.hover('.dot[data-number="12"]')
    page.wait("!document.querySelector('.hint').hidden")
    page.screenshot(PICTURES / "hint.png")

    hint = page.text(".hint")
    assert re.match("12 (keep|discard): model: replace ReLU²", hint)
    assert "+K" in hint
    assert page.evaluate("document.querySelector('.hint').getBoundingClientRect().right") <= 1280

    page.leave()
    page.wait("document.querySelector('.hint').hidden")
    page.evaluate("document.querySelector('.dot[data-number=\"11\"]').focus()")
    page.wait("!document.querySelector('.hint').hidden")
    page.press("Escape")
    assert page.evaluate("document.querySelector('.hint').hidden")


def test_click_on_a_dot_leads_to_its_row_by_an_address_that_can_be_sent(site: Site, page: Page, browser: Pipe) -> None:
    page.open(f"{site.origin}/")
    page.click('.dot[data-number="14"]')
    page.wait("document.querySelector('#e14 pre.diff')")

    with tab(browser) as colleague:
        colleague.open(page.evaluate("location.href"), width=390, height=844)
        colleague.wait("document.querySelector('#e14 pre.diff')")
        colleague.screenshot(PICTURES / "phone-unfolded.png")
        assert -1 < colleague.evaluate("document.querySelector('#e14').getBoundingClientRect().top") < 844


def test_hostile_text_stays_text(site: Site, page: Page) -> None:
    page.open(f"{site.origin}/#e{NOON}")
    page.wait(f"document.querySelector('#e{NOON} pre.diff')")

    assert page.text(f"#e{NOON} .what") == "<script>alert(1)</script>"
    assert "<img src=http://elsewhere.example" in page.text(f"#e{NOON} .body")
    assert page.evaluate("document.querySelectorAll('main script, main img, main [onerror]').length") == 0


def test_verdicts_arrive_by_themselves_and_leave_an_open_row_a_selection_and_the_focus_alone(
    site: Site, page: Page
) -> None:
    page.open(f"{site.origin}/")
    page.click("#e38 summary")
    page.wait("document.querySelector('#e38 pre.diff')")
    page.evaluate("""(() => {
      window.marked = document.querySelector("#e38 pre.diff");
      const range = document.createRange(); range.selectNodeContents(window.marked);
      getSelection().removeAllRanges(); getSelection().addRange(range);
      document.querySelector("#e38 summary").focus();
    })()""")
    running = int(page.evaluate("document.querySelector('.row.open a.number').textContent"))
    number = site.executor.held[0].id.experiment
    word = f"document.querySelector('#e{number} .verdict').textContent"
    assert page.evaluate(word) == "running"

    while site.campaign.campaign_state.experiments[number].judgement is None:
        site.end_one()
    page.wait(f"['keep', 'discard'].includes({word})")
    page.wait(f"document.getElementById('e{running + 1}')")
    page.screenshot(PICTURES / "renewed.png")

    assert page.evaluate("document.querySelector('#e38').open")
    assert page.evaluate("window.marked === document.querySelector('#e38 pre.diff')")
    assert "@@" in page.evaluate("getSelection().toString()")
    assert page.evaluate("document.activeElement.matches('#e38 summary')")
    assert page.evaluate(f"document.querySelectorAll('.dot.open[data-number=\"{number}\"]').length") == 0
    numbers = page.evaluate("[...document.querySelectorAll('details a.number')].map((a) => Number(a.textContent))")
    assert numbers == sorted(numbers, reverse=True)


def test_row_that_is_open_when_its_experiment_ends_shows_the_end(site: Site, page: Page) -> None:
    number = site.executor.held[0].id.experiment
    page.open(f"{site.origin}/")
    page.click(f"#e{number} summary")
    page.wait(f"document.querySelector('#e{number} pre.diff')")
    assert "not ended" in page.text(f"#e{number} .body")

    while site.campaign.campaign_state.experiments[number].judgement is None:
        site.end_one()
    page.wait(f"document.querySelector('#e{number} .body').innerText.includes('expected gain')")

    assert page.evaluate(f"document.querySelector('#e{number}').open")
    assert "not ended" not in page.text(f"#e{number} .body")


def test_focus_on_a_dot_survives_a_new_chart(site: Site, page: Page) -> None:
    page.open(f"{site.origin}/")
    page.evaluate(
        "document.querySelector('.dot[data-number=\"20\"]').focus(); window.chart = document.querySelector('.chart')"
    )
    number = site.executor.held[0].id.experiment
    while site.campaign.campaign_state.experiments[number].judgement is None:
        site.end_one()
    page.wait("window.chart !== document.querySelector('.chart')")

    assert page.evaluate("document.activeElement.dataset.number") == "20"


def test_report_file_works_without_a_controller(site: Site, browser: Pipe, tmp_path: Path) -> None:
    experiments = tuple(site.campaign.campaign_state.experiments.values())
    path, _ = write_reports(
        experiments,
        site.settings,
        diff=Lab.open(site.lab).diff,
        folder=tmp_path,
        dollars=0.0,
        activity=not_running("mar8"),
        studies=(),
    )
    with tab(browser) as page:
        page.open(f"file://{path}")
        page.click("#e12 summary")

        assert "+K" in page.text("#e12 pre.diff")
        assert {url for url in page.requests if not url.startswith("data:")} == {f"file://{path}"}
        assert page.complaints == []
        page.evaluate("scrollTo(0, 0)")
        page.screenshot(PICTURES / "report.png")


def test_page_says_so_when_the_controller_is_gone(site: Site, browser: Pipe, tmp_path: Path) -> None:
    with tab(browser) as page:
        page.open(f"{site.origin}/")
        page.call(
            "Network.emulateNetworkConditions", offline=True, latency=0, downloadThroughput=-1, uploadThroughput=-1
        )
        page.wait("document.body.classList.contains('stale')")
        page.screenshot(PICTURES / "gone.png")
        assert "does not answer" in json.dumps(
            page.evaluate("getComputedStyle(document.querySelector('header'), '::after').content")
        )

        page.call(
            "Network.emulateNetworkConditions", offline=False, latency=0, downloadThroughput=-1, uploadThroughput=-1
        )
        page.wait("!document.body.classList.contains('stale')")
