"""Claims on generalization: the wide model outside its training region, and what it lacks inside."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mlp_core.experiments.claim_source import ONE_ORDER, ClaimSource, claim_stream, rows_with
from mlp_core.experiments.generalization.companions import TUNED, alike_in_size
from mlp_core.statistics.bootstrap import bootstrap_interval, resampled_means
from mlp_core.statistics.by_seed import Table, by_seed, common_seeds
from mlp_core.statistics.claims import MIN_SEEDS, SMALLEST_DIFFERENCE, Claim, Range, measured_claim
from mlp_core.statistics.measures import cohens_d, mean_or_nan, share

_DEGREE = 50


def polynomial_does_not_generalize(
    table: Table, n_classes: int, stream: np.random.Generator, figure: str = "generalization"
) -> Claim:
    """Claim: outside the training region the polynomial model does not generalise.

    That it is at chance there could never be shown; so the claim is that of what the model knows inside, its advantage
    over chance, at most half is left outside.

    Args:
        table: Columns `seed`, `inside_accuracy`, `outside_accuracy`; the rows of degree 50.
        n_classes: Arms of the spirals.
        stream: Where the resamples come from.
        figure: Name of the figure.
    """
    _, groups = common_seeds(by_seed(table, "inside_accuracy"), by_seed(table, "outside_accuracy"))
    inside, outside = (values - 1 / n_classes for values in groups)
    resampled = resampled_means([inside, outside], stream, paired=True)
    return measured_claim(
        "polynomial_does_not_generalize",
        "tutorial",
        "Section 1.1",
        "Outside the region of its training points the polynomial of degree 50 does not generalise.",
        "share of its advantage over chance inside the training region that the model keeps outside",
        Range(high=0.5),
        inside.shape[1],
        float(share(mean_or_nan(outside), mean_or_nan(inside))),
        bootstrap_interval(share(resampled[1][:, 0], resampled[0][:, 0]), inside.shape[1]),
        lambda: cohens_d(outside[0]),
        "Cohen's d_z, accuracy outside minus chance",
        figure,
    )


def shortfall_is_the_optimizers(
    polynomials: tuple[Table, Table],
    networks: tuple[Table, Table],
    sizes: str,
    stream: np.random.Generator,
    figure: str = "generalization",
) -> Claim:
    """Claim, ours: inside, most of what the polynomial lacks on a perceptron of equal size is the optimizer's doing.

    As the tutorial trains them, the polynomial's features reach over twenty powers of ten and both models have the one
    learning rate. If that is what keeps the polynomial behind, at least half of its shortfall in test accuracy goes
    when both models have standardised inputs and learning rates tuned on validation examples.

    Args:
        polynomials: As the tutorial trains it, and tuned; columns `seed`, `test_accuracy`.
        networks: The same of the perceptron.
        sizes: What is compared, in words, such as `depth 3, 5454 parameters against 5304`.
        stream: Where the resamples come from.
        figure: Name of the figure.
    """
    pairs = [common_seeds(*(by_seed(table, "test_accuracy") for table in pair)) for pair in (networks, polynomials)]
    n = min(values.shape[1] for _, groups in pairs for values in groups)
    (network, tuned_network), (polynomial, tuned_polynomial) = (groups for _, groups in pairs)
    means = [resampled[:, 0] for paired, groups in pairs for resampled in resampled_means(groups, stream, paired)]
    return measured_claim(
        "shortfall_is_the_optimizers",
        "ours",
        "Section 1.1",
        "Inside the training region most of the wide model's shortfall is the optimizer's, not width's.",
        "share of the polynomial's shortfall in test accuracy that goes when both models have standardised inputs and "
        f"tuned learning rates; {sizes}",
        Range(low=0.5),
        n,
        1
        - float(
            share(
                mean_or_nan(tuned_network) - mean_or_nan(tuned_polynomial),
                mean_or_nan(network) - mean_or_nan(polynomial),
            )
        ),
        bootstrap_interval(1 - share(means[1] - means[3], means[0] - means[2]), n),
        lambda: cohens_d(tuned_network[0], tuned_polynomial[0]),
        "Cohen's d between the two after tuning",
        figure,
    )


def network_generalizes_better(
    network: Table,
    polynomial: Table,
    n_classes: int,
    sizes: str,
    stream: np.random.Generator,
    figure: str = "generalization",
) -> Claim:
    """Claim, ours: a multilayer perceptron with as many parameters does better outside the training region.

    Where both do worse than guessing, who is less wrong is not who generalises better: the verdict is `neither`.

    Args:
        network: Columns `seed`, `outside_accuracy`; the rows of one network.
        polynomial: The same columns; the rows of degree 50.
        n_classes: Arms of the spirals.
        sizes: What is compared, in words, such as `depth 3, 5454 parameters against 5304`.
        stream: Where the resamples come from.
        figure: Name of the figure.
    """
    paired, groups = common_seeds(by_seed(network, "outside_accuracy"), by_seed(polynomial, "outside_accuracy"))
    first, second = (values[0] for values in groups)
    n = min(len(first), len(second))
    resampled = [means[:, 0] for means in resampled_means(groups, stream, paired)]
    claim = measured_claim(
        "network_generalizes_better",
        "ours",
        "Section 1.1",
        "A multilayer perceptron of equal size does better outside the training region than the polynomial.",
        f"difference in accuracy outside the training region, network minus polynomial; {sizes}",
        Range(low=SMALLEST_DIFFERENCE),
        n,
        mean_or_nan(first) - mean_or_nan(second),
        bootstrap_interval(resampled[0] - resampled[1], n),
        lambda: cohens_d(first - second) if paired else cohens_d(first, second),
        "Cohen's d_z" if paired else "Cohen's d",
        figure,
    )
    highest = max((bootstrap_interval(means, n)[1] for means in resampled), default=math.nan)
    below = f"both, {mean_or_nan(first):.3f} and {mean_or_nan(second):.3f}, do worse than guessing, {1 / n_classes:.3f}"
    if n >= MIN_SEEDS and highest < 1 / n_classes:
        return replace(claim, verdict="neither", measure=f"{claim.measure}; {below}")
    return claim


def _on_generalization(table: pa.Table, settings: Mapping[str, Any]) -> Iterator[Claim]:
    as_set, tuned = (table.filter(pc.equal(pc.equal(table["training"], TUNED), is_tuned)) for is_tuned in (False, True))
    polynomial, tuned_polynomial = (rows_with(rows, model="polynomial", degree=_DEGREE) for rows in (as_set, tuned))
    if not len(polynomial):
        return
    arms = settings["arms"]
    stream = claim_stream(settings, "polynomial_does_not_generalize")
    yield polynomial_does_not_generalize(polynomial, arms, stream)
    size = polynomial["parameters"][0].as_py()
    network, tuned_network = (_deepest_alike(rows_with(rows, model="mlp"), size) for rows in (as_set, tuned))
    if not len(network):
        return
    depth, parameters = network["depth"][0].as_py(), network["parameters"][0].as_py()
    sizes = f"depth {depth}, {parameters} parameters against {size}"
    if len(tuned_polynomial) and len(tuned_network) and tuned_network["depth"][0].as_py() == depth:
        stream = claim_stream(settings, "shortfall_is_the_optimizers")
        yield shortfall_is_the_optimizers((polynomial, tuned_polynomial), (network, tuned_network), sizes, stream)
    stream = claim_stream(settings, "network_generalizes_better")
    yield network_generalizes_better(network, polynomial, arms, sizes, stream)


def _deepest_alike(networks: pa.Table, size: int) -> pa.Table:
    """Return the deepest network of about as many parameters, so that no accuracy chooses which one is compared."""
    sizes = zip(networks["depth"].to_pylist(), networks["parameters"].to_pylist(), strict=True)
    alike = {(-depth, abs(one - size), one) for depth, one in sizes if alike_in_size(one, size)}
    if not alike:
        return networks.slice(0, 0)
    depth, _, parameters = min(alike)
    return rows_with(networks, depth=-depth, parameters=parameters)


CLAIMS = (ClaimSource("generalization", _on_generalization, data="spirals", condition=ONE_ORDER, column="training"),)
