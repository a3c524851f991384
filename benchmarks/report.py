"""How large a report is, and how soon it can be read, for 1,000 and for 10,000 samples of the same audit.

    python benchmarks/report.py [--samples 1000 10000] [--layers 5] [--opened 5] [--spectra 10] [--smoke]

The network is that of table 1 with fresh weights, the samples are the Fashion-MNIST test images where they are
installed, else noise; with five layers on two domains each, 10,000 samples are 100,000 findings. Pages are opened from
the disk in headless Chromium, where it and its driver are installed; times are those of its performance API, the median
of several openings. The ratio is that of the larger report to the smaller.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

import fiberscope as fs
from fiberscope.audits.store import Results
from fiberscope.cli import main as fiberscope
from fiberscope.data.datasets import load_data
from fiberscope.demo.perceptron import glorot
from fiberscope.errors import InputError
from fiberscope.report.html import write_report
from fiberscope_paper.architectures import table1

PIXELS, CLASSES = 784, 10
SORTED = """
const order = document.querySelector("#filters [name=order]"), began = performance.now();
order.value = "largest";
order.dispatchEvent(new Event("change", { bubbles: true }));
return document.getElementById("tiles").offsetHeight && performance.now() - began;
"""
"""Sorts the gallery, lays it out, and tells how many milliseconds that took."""

TIMES = """
const page = performance.getEntriesByType("navigation")[0];
return [performance.getEntriesByName("first-contentful-paint")[0].startTime, page.loadEventEnd];
"""


@dataclass(frozen=True)
class Report:
    """Megabytes, seconds to write them, and milliseconds in a browser: to the first paint, to the end, and to sort."""

    size: float
    written: float
    seen: float = float("nan")
    loaded: float = float("nan")
    sorted: float = float("nan")


def main() -> None:
    """Print size and times."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--samples", type=int, nargs="+", default=[1_000, 10_000])
    parser.add_argument("--layers", type=int, default=5)
    parser.add_argument("--opened", type=int, default=5, help="openings of each page")
    parser.add_argument("--spectra", type=int, default=10, help="samples with singular values")
    parser.add_argument("--smoke", action="store_true", help="5 and 15 samples of a layer, each opened once")
    options = parser.parse_args()
    if options.smoke:
        options.samples, options.layers, options.opened, options.spectra = [5, 15], 1, 1, 1
    with browser() as driver:
        asked = [f"--layers={','.join(map(str, range(options.layers)))}", f"--spectra={options.spectra}"]
        reports = [measured(samples, asked, options.opened, driver) for samples in options.samples]
    ratios = [last / first for first, last in zip(astuple(reports[0]), astuple(reports[-1]), strict=True)]
    print("ratio: size {:.2f}, writing {:.2f}, first paint {:.2f}, load {:.2f}, sorting {:.2f}".format(*ratios))


@contextlib.contextmanager
def browser() -> Iterator[Any]:
    """A headless Chromium, or None where there is none."""
    program, driver = shutil.which("chromium"), shutil.which("chromedriver")
    try:
        from selenium import webdriver
        from selenium.webdriver.chrome.service import Service
    except ImportError:
        program = None
    if program is None or driver is None:
        print("no Chromium with chromedriver and selenium here: pages are written, and not opened")
        yield None
        return
    options = webdriver.ChromeOptions()
    options.binary_location = program
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--window-size=1400,1000"):
        options.add_argument(argument)
    opened = webdriver.Chrome(options=options, service=Service(driver))
    yield opened
    opened.quit()


def measured(samples: int, asked: Sequence[str], openings: int, driver: Any) -> Report:
    """Audit, write the report again, open it, and print what it took."""
    with tempfile.TemporaryDirectory() as folder:
        results = audited(Path(folder), samples, asked)
        findings = len(results.findings(results.manifest()))
        began = time.perf_counter()
        write_report(results)
        report = Report(results.report_path.stat().st_size / 1e6, time.perf_counter() - began)
        if driver is not None:
            times = np.median([opened(driver, results.report_path) for _ in range(openings)], axis=0)
            report = Report(report.size, report.written, *times.tolist())
    print(
        f"{samples:6,} samples, {findings:7,} findings: {report.size:.2f} MB, written in {report.written:.1f} s; "
        f"first paint {report.seen:.0f} ms, load {report.loaded:.0f} ms, sorting {report.sorted:.0f} ms",
        flush=True,
    )
    return report


def audited(folder: Path, samples: int, asked: Sequence[str]) -> Results:
    """An audit of the first layers of the network of table 1."""
    module = table1().double().eval()
    glorot(module, torch.Generator().manual_seed(0))
    fs.from_torch(module, input_shape=(PIXELS,)).save(folder / "model.safetensors")
    try:
        data = load_data("fashion-mnist")
        x, y = np.asarray(data.x[:samples]), data.y[:samples]
    except InputError:
        x, y = np.random.default_rng(0).random((samples, PIXELS)), np.arange(samples) % CLASSES
    np.savez(folder / "data.npz", x=x.reshape(samples, PIXELS), y=y)
    out = folder / "out"
    command = ["audit", str(folder / "model.safetensors"), str(folder / "data.npz"), "--out", str(out), *asked]
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        assert fiberscope([*command, "--domain", "0,1"]) == 0
    return Results(out)


def opened(driver: Any, page: Path) -> tuple[float, float, float]:
    """Milliseconds until something is seen, until all is loaded, and for sorting the gallery."""
    driver.get("about:blank")
    driver.get(page.as_uri())
    seen, loaded = driver.execute_script(TIMES)
    return seen, loaded, driver.execute_script(SORTED)


if __name__ == "__main__":
    main()
