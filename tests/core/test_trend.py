"""The trend over runs."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from drawn import texts

from mlp_core.report.trend import trend_figure


def test_the_trend_of_one_run_is_a_dot_at_its_day() -> None:
    """One comparison is a dot to see; where all diverged stand words."""
    run = pd.Timestamp("2026-11-28T03:00Z")
    columns = {
        "experiment": "images",
        "configuration": "c",
        "measure": "test_accuracy",
        "status": "not moved",
        "versions": "v",
    }
    rows = pd.DataFrame([{"run": run, "after": 0.5, **columns}])
    (axes,) = trend_figure(rows).axes
    assert axes.lines[0].get_markersize() > 5
    assert np.diff(axes.get_xlim())[0] == pytest.approx(1)
    assert "all members diverged" in texts(trend_figure(rows.assign(after=np.nan)))
