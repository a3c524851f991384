from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from fiberscope.audits.store import Results
from fiberscope.preimages.kind import Kind
from fiberscope.report.summary import share, summarise, summary_table
from small_audits import rows


def test_the_summary_counts_the_rows(audited: Path) -> None:
    results = Results(audited)
    summaries = summarise(results.manifest(), results.findings(results.manifest()))
    assert len(summaries) == 6
    for summary in summaries:
        group = [row for row in rows(audited) if row[1:3] == (summary.layer, summary.domain)]
        assert summary.samples == len(group) == 10
        assert summary.counts == {kind: sum(row[4] == kind for row in group) for kind in Kind}
        assert summary.median_dimension == np.median([row[5] for row in group])
        assert summary.median_positives == np.median([row[3] for row in group])
        assert summary.proved == 1.0


def test_the_table_fits_a_terminal_of_80_columns(audited: Path) -> None:
    results = Results(audited)
    console = Console(width=80, record=True)
    console.print(summary_table(summarise(results.manifest(), results.findings(results.manifest()))))
    text = console.export_text()
    assert all(len(line.rstrip()) <= 80 for line in text.splitlines())
    for expected in ("0 dense0", "6 to 9", "R^n", "box [0,1]", "x >= 0", "100 %"):
        assert expected in text
    assert "…" not in text


@pytest.mark.parametrize(("fraction", "text"), [(1.0, "100 %"), (0.9999, "99.9 %"), (0.5, "50.0 %"), (0.0, "0.0 %")])
def test_a_share_is_100_per_cent_only_if_nothing_is_missing(fraction: float, text: str) -> None:
    assert share(fraction) == text
