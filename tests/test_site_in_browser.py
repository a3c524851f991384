"""The built site in a browser, from the disk: `make docs` builds it, and without it these tests are skipped."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from chromium import BROWSER, DRIVER, chromium

selenium = pytest.importorskip("selenium", reason="selenium drives the browser; it is in the extra 'dev'")

from selenium import webdriver  # noqa: E402
from selenium.webdriver.support.ui import WebDriverWait  # noqa: E402

SITE = Path(__file__).parent.parent / "build" / "site"
PAGES = ("index", "start", "guides", "theory", "findings", "atlas", "certificates", "api/index", "api/preimages",
         "tutorials/first-audit", "tutorials/leakage")  # fmt: skip

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not (BROWSER and DRIVER), reason="no Chromium with chromedriver here"),
    pytest.mark.skipif(not (SITE / "index.html").is_file(), reason="no site here; `make docs` builds it"),
]

COLOURS = {"runOnly": {"type": "rule", "values": ["color-contrast", "link-in-text-block"]}}
"""What axe judges that differs between a light page and a dark one."""


@pytest.fixture(name="browser", scope="module")
def _browser() -> Iterator[webdriver.Chrome]:
    with chromium("--allow-file-access-from-files", browser="ALL") as driver:
        driver.set_script_timeout(120)
        yield driver


def opened(browser: webdriver.Chrome, page: str, width: int = 1400) -> None:
    """A page of the site, at a width, and what the browser complained of before forgotten."""
    browser.set_window_size(width, 1000)
    browser.get("about:blank")
    browser.get_log("browser")
    name, _, query = page.partition("?")
    browser.get((SITE / f"{name}.html").as_uri() + (f"?{query}" if query else ""))


def complaints(browser: webdriver.Chrome) -> list[str]:
    return [entry["message"] for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]


@pytest.mark.parametrize("page", PAGES)
def test_pages_open_without_errors_and_fit_a_narrow_screen(browser: webdriver.Chrome, page: str) -> None:
    opened(browser, page, width=500)  # as narrow as the window can be
    assert browser.execute_script("return document.querySelectorAll('h1').length") == 1
    overflow = "return document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert browser.execute_script(overflow) <= 1, "the page itself scrolls sideways"
    assert complaints(browser) == []


@pytest.mark.parametrize("page", PAGES)
def test_everybody_can_read_it(browser: webdriver.Chrome, page: str) -> None:
    axe = pytest.importorskip("axe_core_python.selenium", reason="axe judges the page; it is in the extra 'dev'")
    opened(browser, page)
    for mode, options in (("light", None), ("dark", COLOURS)):
        browser.execute_script("document.documentElement.dataset.theme = arguments[0]", mode)
        found = axe.Axe().run(browser, options=options)["violations"]
        grave = [each for each in found if each["impact"] in ("serious", "critical")]
        assert [(mode, each["id"], [node["html"][:120] for node in each["nodes"]][:3]) for each in grave] == []


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("preimage", "api/preimages"),
        ("8-bit", "precision"),
        ("onnx", "networks"),
        ("threshold", "command-line"),
        ("condition number", "stability"),
        ("certificate", "certificates"),
        ("cluster", "scaling"),
        ("leakage", "leakage"),
        ("injective", "injectivity"),
        ("install torch", "start"),
        ("install gpu", "questions"),
        ("is my network invertible", "questions"),
    ],
)
def test_search_finds_what_people_ask_for(browser: webdriver.Chrome, words: str, expected: str) -> None:
    opened(browser, f"search?q={words.replace(' ', '+')}")
    finished = "return document.querySelector('#search-results .search-summary')?.textContent.includes('found')"
    WebDriverWait(browser, 60).until(lambda _: browser.execute_script(finished))
    links = "return [...document.querySelectorAll('#search-results li a')].map(a => a.getAttribute('href'))"
    pages = list(dict.fromkeys(link.split(".html")[0] for link in browser.execute_script(links)))
    assert expected in pages[:8], pages
    assert complaints(browser) == []
