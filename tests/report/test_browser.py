"""The page in a browser: opened from the disk, without a network, used as a reader uses it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from chromium import BROWSER, DRIVER, chromium
from fiberscope.audits.store import Results
from fiberscope.cli import main
from fiberscope.network.affine import Dense
from fiberscope.network.network import Network
from fiberscope.network.stage import affine_stage, relu_stage
from fiberscope.report.html import read_content, render
from small_audits import rows, spectra_rows

selenium = pytest.importorskip("selenium", reason="selenium drives the browser; it is in the extra 'dev'")

from selenium import webdriver  # noqa: E402
from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402
from selenium.webdriver.support.ui import Select, WebDriverWait  # noqa: E402

SAMPLES, SIDE, STEP = 300, 6, 48
HOSTILE = "<script>document.title = 'taken over'</script><img src=x onerror=\"document.title = 'taken over'\">"

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(
        not (BROWSER and DRIVER), reason="no Chromium with chromedriver here (Debian: chromium, chromium-driver)"
    ),
]


def write_pictures(folder: Path) -> list[str]:
    """A network for pictures of 6 x 6, and more pictures than fit on one sheet."""
    rng = np.random.default_rng(3)
    sizes = (SIDE * SIDE, 10, 24)
    stages = []
    for i in range(2):
        weight = rng.integers(-4, 5, size=(sizes[i + 1], sizes[i])) / 8.0
        stages += [affine_stage(f"dense{i}", Dense(weight, rng.integers(-2, 3, size=sizes[i + 1]) / 8.0))]
        stages += [relu_stage(f"relu{i}", sizes[i + 1])]
    Network(tuple(stages), (SIDE, SIDE)).save(folder / "model.safetensors")
    x = rng.integers(0, 5, size=(SAMPLES, SIDE, SIDE)) / 4.0
    np.savez(folder / "pictures.npz", x=x, y=np.arange(SAMPLES) % 3)
    return [str(folder / "model.safetensors"), str(folder / "pictures.npz")]


@pytest.fixture(name="audited", scope="module")
def _audited(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    options = ["--domain", "0,1", "--spectra", "4", "--invariance", "1"]
    assert main(["audit", *write_pictures(folder), "--out", str(folder / "out"), *options]) == 0
    return folder / "out"


@pytest.fixture(name="browser", scope="module")
def _browser() -> Iterator[webdriver.Chrome]:
    with chromium("--window-size=1400,1000", browser="ALL", performance="ALL") as driver:
        yield driver


@pytest.fixture(name="page")
def _page(browser: webdriver.Chrome, audited: Path) -> Iterator[webdriver.Chrome]:
    """The report, opened anew; afterwards, nothing was asked of the network and nothing went wrong."""
    opened(browser, audited / "report.html")
    yield browser
    assert_offline_and_without_errors(browser)


def opened(browser: webdriver.Chrome, path: Path) -> None:
    browser.get("about:blank")  # a change of the fragment alone would not load the page
    for log in ("browser", "performance"):
        browser.get_log(log)
    browser.get(path.as_uri())


def assert_offline_and_without_errors(browser: webdriver.Chrome) -> None:
    assert [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"] == []
    messages = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    asked = [each["params"]["request"]["url"] for each in messages if each["method"] == "Network.requestWillBeSent"]
    assert asked, "the page itself, otherwise nothing is recorded"
    assert {url.split(":")[0] for url in asked} <= {"file", "data", "blob"}
    assert sum(url.startswith("file:") for url in asked) == 1


def choose(page: webdriver.Chrome, name: str, text: str) -> None:
    Select(page.find_element(By.NAME, name)).select_by_visible_text(text)


def count(page: webdriver.Chrome) -> str:
    return page.find_element(By.ID, "count").text


def tiles(page: webdriver.Chrome) -> list[list[str]]:
    """The lines of text on the tiles."""
    return page.execute_script(
        "return [...document.querySelectorAll('#tiles a')].map(a => [...a.children].map(c => c.textContent).slice(1))"
    )


def of_group(folder: Path, layer: int, domain: str) -> list[tuple[Any, ...]]:
    return [row for row in rows(folder) if row[1:3] == (layer, domain)]


def waited(page: webdriver.Chrome, script: str) -> Any:
    return WebDriverWait(page, 20).until(lambda _: page.execute_script(script))


def await_sample(page: webdriver.Chrome, sample: int) -> None:
    """The address changes at once, the page soon after."""
    waited(page, f"return document.querySelector('#sample-heading').textContent.startsWith('Sample {sample},')")


def go_to(page: webdriver.Chrome, sample: int) -> None:
    page.execute_script(f"location.hash = 'sample-{sample}'")
    await_sample(page, sample)


@pytest.mark.quick
def test_the_gallery_counts_and_shows_what_the_filters_let_through(page, audited):
    assert count(page) == f"{SAMPLES} of {SAMPLES} samples, the first {STEP} shown."
    choose(page, "group", "layer 1 dense1, x >= 0")
    found = of_group(audited, 1, "x >= 0")
    kinds = [row[4] for row in found]
    assert len(set(kinds)) > 1, "otherwise there is nothing to tell apart"
    for kind in sorted(set(kinds)):
        choose(page, "kind", kind)
        assert count(page).startswith(f"{kinds.count(kind)} of {SAMPLES} samples")
        assert {tile[2] for tile in tiles(page)} == {kind}
        choose(page, "label", "2")
        expected = [row[0] for row in found if row[4] == kind and row[0] % 3 == 2]
        assert count(page).startswith(f"{len(expected)} of {SAMPLES} samples")
        assert [tile[:2] for tile in tiles(page)] == [[f"sample {i}", "class 2"] for i in expected[:STEP]]
        choose(page, "label", "any")


def test_the_gallery_is_sorted(page, audited):
    choose(page, "group", "layer 0 dense0, box [0,1]")
    found = {row[0]: row for row in of_group(audited, 0, "box [0,1]")}

    def shown(order: str) -> list[int]:
        choose(page, "order", order)
        return [int(tile[0].removeprefix("sample ")) for tile in tiles(page)]

    assert shown("largest dimension first") == sorted(found, key=lambda i: (-found[i][5], i))[:STEP]
    lines = [tile[4] for tile in tiles(page)]
    assert "1 positive" in lines, "otherwise there is no singular"
    assert {line.removesuffix("s") for line in lines if line.startswith("1 ")} == {"1 positive"}
    assert "1 positives" not in lines
    assert shown("smallest dimension first") == sorted(found, key=lambda i: (found[i][5], i))[:STEP]
    assert shown("smallest margin first") == sorted(found, key=lambda i: (float(f"{found[i][6]:.3g}"), i))[:STEP]
    rank = ("singleton", "bounded", "unbounded").index
    assert (
        shown("most invertible first")
        == sorted(found, key=lambda i: (rank(found[i][4]), found[i][5], -found[i][3], i))[:STEP]
    )
    condition = {row["sample"]: row["condition_number"] for row in spectra_rows(audited) if row["stage"] == 1}
    worst = shown("largest condition number first")
    assert worst[:4] == sorted(condition, key=lambda i: -condition[i])
    assert worst[4] == 4, "samples without one come last, in their order"


def test_more_samples_come_when_asked_for_by_keyboard(page):
    page.find_element(By.ID, "more").send_keys(Keys.ENTER)
    assert len(tiles(page)) == 2 * STEP
    assert count(page) == f"{SAMPLES} of {SAMPLES} samples, the first {2 * STEP} shown."
    assert page.switch_to.active_element.get_attribute("href").endswith(f"#sample-{STEP}")
    page.switch_to.active_element.send_keys(Keys.ENTER)
    await_sample(page, STEP)
    heading = page.switch_to.active_element
    assert (heading.get_attribute("id"), heading.text) == ("sample-heading", f"Sample {STEP}, class {STEP % 3}")
    choose(page, "order", "largest dimension first")
    first, second = (int(tile[0].removeprefix("sample ")) for tile in tiles(page)[:2])
    back, forth = page.find_elements(By.CSS_SELECTOR, "[data-step]")
    go_to(page, first)
    assert (back.is_enabled(), forth.is_enabled()) == (False, True)
    forth.send_keys(Keys.ENTER)
    await_sample(page, second)
    assert back.is_enabled()


@pytest.mark.parametrize("sample", [5, 299])
def test_the_page_of_a_sample_has_all_verdicts_about_it(page, audited, sample):
    field = page.find_element(By.NAME, "sample")
    field.clear()
    field.send_keys(str(sample), Keys.ENTER)
    await_sample(page, sample)
    lines = page.execute_script(
        "return [...document.querySelectorAll('#shown tbody tr')].map(r => [...r.cells].map(c => c.textContent))"
    )
    found = [row for row in rows(audited) if row[0] == sample]
    assert {(line[1], int(line[0][0]), line[2], line[3], line[4]) for line in lines} == {
        (row[2], row[1], row[4], str(row[5]), str(row[3])) for row in found
    }
    assert len(lines) == 4


@pytest.mark.parametrize("sample", [0, 17, 255, 256, 299])
def test_thumbnails_show_their_own_sample(page, audited, sample):
    go_to(page, sample)
    script = (
        "const c = document.querySelector('#shown canvas');"
        "const p = [...c.getContext('2d').getImageData(0, 0, c.width, c.height).data];"
        f"return c.getAttribute('aria-label') === 'picture of sample {sample}, class {sample % 3}'"
        " && p.some(v => v > 0 && v < 255) && p.filter((_, i) => i % 4 === 0);"
    )
    pixels = np.array(waited(page, script), dtype=np.float64).reshape(SIDE, SIDE)
    x = np.asarray(Results(audited).subject().x)
    differences = [np.abs(255 * other - pixels).mean() for other in x]
    assert int(np.argmin(differences)) == sample


def test_a_sample_with_examples_has_directions_and_a_slider(page):
    go_to(page, 0)
    article = page.find_element(By.CSS_SELECTOR, "article[data-sample='0']")
    assert article.is_displayed()
    assert article.find_elements(By.CSS_SELECTOR, ".directions img[alt='input direction, weakest']")
    example = article.find_element(By.CSS_SELECTOR, "[data-example]")
    under, over = (example.find_element(By.CSS_SELECTOR, f"[data-{place}]") for place in ("under", "over"))
    slider = example.find_element(By.CSS_SELECTOR, "input[type=range]")
    assert slider.get_attribute("aria-label")
    before = over.value_of_css_property("opacity")
    slider.send_keys(*[Keys.ARROW_RIGHT] * 25)
    assert (before, over.value_of_css_property("opacity")) == ("0", "0.25")
    assert under.get_attribute("src") != over.get_attribute("src")
    go_to(page, 20)
    assert not article.is_displayed()
    assert "invariance examples of single samples, further below, say whether they are" in page.page_source


def test_figures_are_drawn_when_they_come_into_view_and_follow_the_choice(page, audited):
    drawn = "return document.querySelector('[data-figure=positives] .main-svg') && window.Plotly.version"
    assert not page.execute_script("return document.querySelector('[data-figure=decay]').data"), "far below"
    page.find_element(By.CSS_SELECTOR, "nav a[href='#layers']").click()
    assert waited(page, drawn)
    page.find_element(By.CSS_SELECTOR, "[data-choose='1 R^n']").send_keys(Keys.ENTER)
    counted = "return document.querySelector('[data-figure=positives]').data.map(t => t.y.reduce((a, b) => a + b))"
    assert sum(page.execute_script(counted)) == SAMPLES
    names = "return document.querySelector('[data-figure=positives]').data.map(trace => trace.name)"
    assert set(page.execute_script(names)) == {row[4] for row in of_group(audited, 1, "R^n")}
    assert page.find_element(By.ID, "layer").get_attribute("value") == "1 R^n"


def test_dark_and_light_figures_follow_the_system(page):
    page.execute_script("document.getElementById('layers').scrollIntoView()")
    waited(page, "return document.querySelector('[data-figure=positives] .main-svg')")
    colours = {}
    for scheme in ("light", "dark"):
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        text = "getComputedStyle(document.documentElement).getPropertyValue('--text').trim()"
        figure = "document.querySelector('[data-figure=positives]').layout.font.color"
        assert waited(page, f"return {figure} === {text}")
        colours[scheme] = page.execute_script(f"return [{figure}, getComputedStyle(document.body).backgroundColor]")
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    assert colours["light"] == ["#1c2127", "rgb(255, 255, 255)"]
    assert colours["dark"] == ["#e6e9ed", "rgb(20, 23, 27)"]


def broken_rules(page: webdriver.Chrome, scheme: str) -> list[tuple[str, list[str]]]:
    """The rules of accessibility that elements break, in a colour scheme."""
    axe = pytest.importorskip("axe_core_python.selenium", reason="axe judges the page; it is in the extra 'dev'")
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    result = axe.Axe().run(page)
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    assert {rule["id"] for rule in result["passes"]} >= {"color-contrast", "image-alt", "label", "region"}
    return [(rule["id"], [node["html"] for node in rule["nodes"]]) for rule in result["violations"]]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_report_keeps_the_rules_of_accessibility(page, scheme):
    go_to(page, 0)
    page.execute_script("document.querySelectorAll('details').forEach(each => { each.open = true })")
    assert broken_rules(page, scheme) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_of_invariance_examples_keeps_the_rules_of_accessibility(browser, audited, tmp_path, scheme):
    files = [str(audited.parent / name) for name in ("model.safetensors", "pictures.npz")]
    pair = ["--source", "0", "--target", "1", "--domain", "0,1"]
    assert main(["invariance", *files, *pair, "--out", str(tmp_path)]) == 0
    opened(browser, tmp_path / "invariance.html")
    assert broken_rules(browser, scheme) == []
    assert_offline_and_without_errors(browser)


def test_on_paper_everything_is_unfolded_and_drawn(page):
    assert page.execute_script("return document.querySelector('details').open") is False
    assert page.execute_cdp_cmd("Page.printToPDF", {})["data"].startswith("JVBERi0"), "%PDF-"
    undrawn = "return [...document.querySelectorAll('[data-figure]')].filter(f => !f.hidden && !f.data).length"
    assert page.execute_script(undrawn) == 0
    assert page.execute_script("return [...document.querySelectorAll('details')].every(each => each.open)")
    assert page.execute_script("return document.documentElement.className") == "scripted"


def test_text_from_outside_is_text(browser, audited, tmp_path):
    content = read_content(Results(audited))
    layers = tuple(replace(layer, name=HOSTILE) for layer in content.manifest.network_layers)
    manifest = replace(content.manifest, model=HOSTILE, data=HOSTILE, network_layers=layers)
    kind = np.array(["undecided"] * len(content.findings), dtype=object)
    reason = np.array([HOSTILE] * len(content.findings), dtype=object)
    findings = replace(content.findings, kind=kind, reason=reason)
    path = tmp_path / "hostile <b>.html"
    path.write_text(render(replace(content, manifest=manifest, findings=findings)), encoding="utf-8")
    opened(browser, path)
    assert browser.find_element(By.TAG_NAME, "h1").text == f"fiberscope {HOSTILE}"
    assert browser.find_element(By.CSS_SELECTOR, "#shown td").text == f"0 {HOSTILE}"
    assert HOSTILE in browser.find_element(By.CSS_SELECTOR, "#shown td:nth-child(3)").text
    browser.execute_script("document.getElementById('layers').scrollIntoView()")
    waited(browser, "return document.querySelector('[data-figure=positives] .main-svg')")
    assert browser.title == f"fiberscope: {HOSTILE} on {HOSTILE}"
    assert not browser.find_elements(By.CSS_SELECTOR, "[onerror]")
    assert_offline_and_without_errors(browser)


def test_classes_are_called_what_their_folders_are(browser, audited, tmp_path):
    x = np.asarray(Results(audited).subject().x)[:6]
    names = ["zebra", "<b>cat", "zebra", "zebra", "<b>cat", "dog"]
    for i, (name, picture) in enumerate(zip(names, x, strict=True)):
        (tmp_path / "animals" / name).mkdir(parents=True, exist_ok=True)
        Image.fromarray((255 * picture).astype(np.uint8)).save(tmp_path / "animals" / name / f"{i}.png")
    files = [str(audited.parent / "model.safetensors"), str(tmp_path / "animals")]
    options = ["--domain", "0,1", "--invariance", "1"]
    assert main(["audit", *files, "--out", str(tmp_path / "out"), *options]) == 0
    opened(browser, tmp_path / "out" / "report.html")
    assert [tile[1] for tile in tiles(browser)] == [f"class {name}" for name in sorted(names)]
    choose(browser, "label", "<b>cat")
    assert [tile[:2] for tile in tiles(browser)] == [[f"sample {i}", "class <b>cat"] for i in range(2)]
    go_to(browser, 3)
    assert browser.find_element(By.ID, "sample-heading").text == "Sample 3, class zebra"
    go_to(browser, 0)
    article = browser.find_element(By.CSS_SELECTOR, "article[data-sample='0']")
    assert "sample 0, class <b>cat, towards sample" in article.find_element(By.CSS_SELECTOR, "[data-example] h4").text
    assert_offline_and_without_errors(browser)


def test_nothing_is_wider_than_a_telephone(page):
    metrics = {"width": 400, "height": 800, "deviceScaleFactor": 1, "mobile": True}
    page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    assert waited(page, "return document.documentElement.scrollWidth === 400")
    page.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_on_a_narrow_screen_the_menu_is_one_line_and_tables_say_that_they_go_on(browser, audited):
    opened(browser, audited / "report.html")
    wide = "document.querySelectorAll('.wide.overflows').length"
    assert browser.execute_script(f"return {wide}") == 0, "at this width, nothing is hidden"
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride", {"width": 380, "height": 760, "deviceScaleFactor": 1, "mobile": True}
    )
    try:
        WebDriverWait(browser, 10).until(lambda _: browser.execute_script(f"return {wide}") > 0)
        nav = (
            "const nav = document.querySelector('nav'); return [nav.clientHeight, nav.querySelector('a').offsetHeight]"
        )
        height, line = browser.execute_script(nav)
        assert height < 2 * line
        overflow = "return document.documentElement.scrollWidth - document.documentElement.clientWidth"
        assert browser.execute_script(overflow) <= 0, "the page itself scrolls sideways"
        hint = "return getComputedStyle(document.querySelector('.wide.overflows'), '::before').content"
        assert "scroll" in browser.execute_script(hint)
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_the_line_below_a_row_goes_through_all_of_its_cells(browser, audited):
    opened(browser, audited / "report.html")
    borders = (
        "return [...document.querySelector('#network tbody tr').cells].map(c => getComputedStyle(c).borderBottomWidth)"
    )
    assert set(browser.execute_script(borders)) == {"1px"}
