"""The spread of singular values over the samples."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa

from fiberscope.audits.shards import SPECTRA_SCHEMA
from fiberscope.audits.store import Results
from fiberscope.report.spread_figures import BAND, spread
from fiberscope.stability.stage_medians import stage_medians
from small_audits import spectra_rows


def test_the_band_holds_the_middle_of_the_samples(decomposed: Path) -> None:
    results = Results(decomposed)
    table = results.spectra_table(results.manifest())
    for summary in stage_medians(table):
        if not len(summary.resolved):
            continue
        high, low, median = spread(summary, table)["data"]
        count = len(summary.resolved)
        values = np.array([row["values"] for row in spectra_rows(decomposed) if row["stage"] == summary.stage])
        np.testing.assert_allclose(median["y"], np.median(values, axis=0)[:count], rtol=1e-3)
        floor = min(median["y"]) / 10
        for curve, share in ((low, BAND[0]), (high, BAND[1])):
            expected = np.maximum(np.quantile(values, share, axis=0), floor)[:count]
            np.testing.assert_allclose(curve["y"], expected, rtol=1e-3)
        assert median["x"] == low["x"] == high["x"] == list(range(1, count + 1))
        assert (low["fill"], low["showlegend"], high["showlegend"]) == ("tonexty", True, False)


def test_long_spectra_are_thinned_out_evenly_with_both_ends() -> None:
    values = np.linspace(5.0, 1.0, 3000)
    row = {"sample": 0, "stage": 0, "name": "a", "outputs": 3000, "method": "svd", "reason": "", "rank": 3000}
    numbers = {"largest": 5.0, "smallest_nonzero": 1.0, "condition_number": 5.0}
    table = pa.Table.from_pylist(
        [row | numbers | {"values": values.tolist(), "error_bound": [0.0] * 3000}], schema=SPECTRA_SCHEMA
    )
    (summary,) = stage_medians(table)
    median = spread(summary, table)["data"][2]
    assert (median["x"][0], median["x"][-1], len(median["x"])) == (1, 3000, 300)
    np.testing.assert_allclose(median["y"], values[np.array(median["x"]) - 1], rtol=1e-3)
    assert np.ptp(np.diff(median["x"])) <= 1
