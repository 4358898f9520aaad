"""Claim on the learning rates: the better start widens the range of them that trains."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from mlp_core.experiments.claim_source import ClaimSource, rows_with
from mlp_core.experiments.learning_rate.experiment import STARTS, LearningRate
from mlp_core.experiments.learning_rate.widths import member_widths, trained_by_rate
from mlp_core.statistics.by_seed import Table, in_pairs
from mlp_core.statistics.claims import Claim, Range, median_claim

# Widths that differ by less, a factor of 1.8 in the rates, are called equal; the rates are a third of a decade apart
SMALLEST_WIDENING = 0.25


def xavier_widens_the_range(pytorch: Table, xavier: Table, n_classes: int, figure: str = "learning_rate") -> Claim:
    """Return the verdict on our claim that Xavier's start widens the range of learning rates that train the network.

    For each seed, the measure is the difference in width (decades) of the range of rates that train it, Xavier's start
    minus PyTorch's; the median over seeds must exceed `SMALLEST_WIDENING`. Widths are multiples of the step between
    rates. The effect size is the median width from PyTorch's start.

    Args:
        pytorch: Columns `learning_rate`, `seed`, `train_accuracy`, from PyTorch's start.
        xavier: The same rates and columns, from Xavier's start at the theoretical gain.
        n_classes: Number of classes, which decides the accuracy that counts as trained.
        figure: Name of the figure that shows it.

    Raises:
        ValueError: If the two tables do not have the same rates.
    """
    groups = trained_by_rate(pytorch, n_classes), trained_by_rate(xavier, n_classes)
    rates = groups[0].levels
    if not np.array_equal(rates, groups[1].levels):
        message = f"learning_rate must be the same in both tables, got {[group.levels.tolist() for group in groups]!r}."
        raise ValueError(message)
    widths = [member_widths(rates, trained) for trained in in_pairs(*groups)[1]]
    return median_claim(
        "xavier_widens_the_range",
        "ours",
        "Section 1",
        "The range of learning rates that train the network is wider from Xavier's start at the theoretical gain than "
        "from PyTorch's.",
        "decades from the smallest to the largest rate at which a member reaches a train accuracy half-way from chance "
        f"to 1; Xavier's start minus PyTorch's; of {len(rates)} rates from {rates[0]:g} to {rates[-1]:g}",
        Range(low=SMALLEST_WIDENING),
        widths[1] - widths[0],
        lambda: float(np.median(widths[0])),
        "the median width from PyTorch's start, decades",
        figure,
    )


def _on_learning_rate(table: pa.Table, settings: Mapping[str, Any]) -> Iterator[Claim]:
    # the rates too: of fewer of them the range would end where they do
    own = LearningRate().model_dump(mode="json")
    pytorch, xavier = (rows_with(table, initialization=start) for start in STARTS)
    complete = all(set(table["learning_rate"].to_pylist()) == set(own["learning_rates"]) for table in (pytorch, xavier))
    if complete and all(settings.get(name) == value for name, value in own.items()):
        yield xavier_widens_the_range(pytorch, xavier, settings["arms"])


CLAIMS = (ClaimSource("learning_rate", _on_learning_rate, data="spirals"),)
