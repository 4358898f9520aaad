"""Claim on the features: first-layer units are not local."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mlp_core.experiments.claim_source import IMAGES, ONE_ORDER, ClaimSource, rows_with
from mlp_core.statistics.by_seed import Table, by_seed
from mlp_core.statistics.claims import Claim, Range, median_claim
from mlp_core.statistics.measures import cohens_d, mean_or_nan

_DEPTH = 3
_Floats = NDArray[np.float64]


def first_layer_is_not_local(
    trained: Table,
    random: Table,
    edge_filters: _Floats,
    templates: _Floats,
    figure: str = "first_layer",
) -> Claim:
    """Return the verdict on the claim that first-layer units are not local but look at whole faces.

    The measure is the mean extent of a network's units on a scale from 0, the mean of edge filters, to 1, the mean of
    class templates (mean images). The claim is supported if the interval of the median over networks lies above 0.5.
    Random weights reach further still, so this cannot show that training made the units wide, only that it did not make
    them local.

    Args:
        trained: Columns `seed`, `unit`, `extent`; the trained members of one configuration.
        random: The same columns for random weights, such as those of the members before training.
        edge_filters: Extents of local filters, `[filters]`.
        templates: Extents of class templates, `[classes]`.
        figure: Name of the figure that shows it.
    """
    units = by_seed(trained, "extent", "unit").values
    local, whole = float(edge_filters.mean()), float(templates.mean())
    extents = (units.mean(0) - local) / (whole - local)
    start = float((mean_or_nan(by_seed(random, "extent", "unit").values) - local) / (whole - local))
    return median_claim(
        "first_layer_is_not_local",
        "tutorial",
        "Section 2",
        "First-layer units are not local: they look at whole faces.",
        "mean extent of a network's units on a scale from 0, edge filters, to 1, templates of whole faces (class "
        f"means); before training {start:.2f}",
        Range(low=0.5),
        extents,
        lambda: cohens_d(units.ravel(), edge_filters),
        "Cohen's d between trained units and edge filters",
        figure,
    )


def _on_first_layer(table: pa.Table, settings: Mapping[str, Any]) -> Iterator[Claim]:
    trained, random = (rows_with(table, kind=kind, depth=_DEPTH) for kind in ("trained", "random"))
    filters, templates = (np.asarray(rows_with(table, kind=kind)["extent"]) for kind in ("gabor", "template"))
    if len(trained) and len(random) and len(filters) and len(templates):
        yield first_layer_is_not_local(trained, random, filters, templates)


CLAIMS = (ClaimSource("first_layer", _on_first_layer, data=IMAGES, condition=ONE_ORDER, column="extent"),)
