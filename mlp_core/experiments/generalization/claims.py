"""Claims on generalization: the wide model outside its training region, and what it lacks inside."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mlp_core.experiments.claim_source import ONE_ORDER, ClaimSource, rows_with
from mlp_core.experiments.generalization.companions import TUNED, alike_in_size
from mlp_core.statistics.by_seed import Table, by_seed, common_seeds, in_pairs
from mlp_core.statistics.claims import MIN_SEEDS, SMALLEST_DIFFERENCE, Claim, Range, median_claim
from mlp_core.statistics.intervals import median_bounds
from mlp_core.statistics.measures import cohens_d, share

_DEGREE = 50


def polynomial_does_not_generalize(table: Table, n_classes: int, figure: str = "generalization") -> Claim:
    """Return the verdict on the claim that the polynomial model does not generalise outside its training region.

    That the model is exactly at chance there cannot be tested. So the claim is that it keeps at most half of its
    advantage over chance: (outside accuracy - chance) / (inside accuracy - chance), median over seeds.

    Args:
        table: Columns `seed`, `inside_accuracy`, `outside_accuracy`; the rows of degree 50.
        n_classes: Classes of the spirals, one per arm; chance is 1 over that.
        figure: Name of the figure.
    """
    _, groups = common_seeds(by_seed(table, "inside_accuracy"), by_seed(table, "outside_accuracy"))
    inside, outside = (values[0] - 1 / n_classes for values in groups)
    return median_claim(
        "polynomial_does_not_generalize",
        "tutorial",
        "Section 1.1",
        "Outside the region of its training points the polynomial of degree 50 does not generalise.",
        "share of its advantage over chance inside the training region that the model keeps outside",
        Range(high=0.5),
        share(outside, inside),
        lambda: cohens_d(outside),
        "Cohen's d_z, accuracy outside minus chance",
        figure,
    )


def shortfall_is_the_optimizers(
    polynomials: tuple[Table, Table],
    networks: tuple[Table, Table],
    sizes: str,
    figure: str = "generalization",
) -> Claim:
    """Return the verdict on our claim that the polynomial lags behind the perceptron mainly because of the optimizer.

    As the tutorial trains them, the polynomial's features reach over twenty powers of ten and both models have the same
    learning rate. If that is the cause, at least half of the polynomial's shortfall in test accuracy (perceptron minus
    polynomial, networks of about equal size) disappears when both models have standardised inputs and learning rates
    tuned on validation examples. The test points lie inside the training region.

    Args:
        polynomials: The polynomial as the tutorial trains it, then tuned; columns `seed`, `test_accuracy`.
        networks: The same two tables of the perceptron.
        sizes: What is compared, in words, such as `depth 3, 5454 parameters against 5304`.
        figure: Name of the figure.
    """
    (network, tuned_network), (polynomial, tuned_polynomial) = (
        in_pairs(*(by_seed(table, "test_accuracy") for table in pair))[1] for pair in (networks, polynomials)
    )
    n = min(network.shape[1], polynomial.shape[1])  # of different seeds: which are set against each other is no matter
    before, after = network[0, :n] - polynomial[0, :n], tuned_network[0, :n] - tuned_polynomial[0, :n]
    return median_claim(
        "shortfall_is_the_optimizers",
        "ours",
        "Section 1.1",
        "Inside the training region most of the wide model's shortfall is the optimizer's, not width's.",
        "share of the polynomial's shortfall in test accuracy that goes when both models have standardised inputs and "
        f"tuned learning rates; {sizes}",
        Range(low=0.5),
        1 - share(after, before),
        lambda: cohens_d(tuned_network[0], tuned_polynomial[0]),
        "Cohen's d between the two after tuning",
        figure,
    )


def network_generalizes_better(
    network: Table,
    polynomial: Table,
    n_classes: int,
    sizes: str,
    figure: str = "generalization",
) -> Claim:
    """Return the verdict on our claim that a perceptron of equal size does better outside the training region.

    The measure is the difference in outside accuracy, network minus polynomial, median over seeds. If the medians of
    both are clearly below chance, the verdict is `neither`: the less wrong of two models does not generalise better.

    Args:
        network: Columns `seed`, `outside_accuracy`; the members of one perceptron.
        polynomial: The same columns; the members of degree 50.
        n_classes: Classes of the spirals, one per arm; chance is 1 over that.
        sizes: What is compared, in words, such as `depth 3, 5454 parameters against 5304`.
        figure: Name of the figure that shows it.
    """
    paired, groups = in_pairs(by_seed(network, "outside_accuracy"), by_seed(polynomial, "outside_accuracy"))
    first, second = (values[0] for values in groups)
    claim = median_claim(
        "network_generalizes_better",
        "ours",
        "Section 1.1",
        "A multilayer perceptron of equal size does better outside the training region than the polynomial.",
        f"difference in accuracy outside the training region, network minus polynomial; {sizes}",
        Range(low=SMALLEST_DIFFERENCE),
        first - second,
        lambda: cohens_d(first - second) if paired else cohens_d(first, second),
        "Cohen's d_z" if paired else "Cohen's d",
        figure,
    )
    both_below = all(median_bounds(values)[1] < 1 / n_classes for values in (first, second))
    if claim.n < MIN_SEEDS or not both_below:
        return claim
    medians = f"{np.median(first):.3f} and {np.median(second):.3f}"
    below = f"both, with medians of {medians}, do worse than guessing, {1 / n_classes:.3f}"
    return replace(claim, verdict="neither", measure=f"{claim.measure}; {below}")


def _on_generalization(table: pa.Table, settings: Mapping[str, Any]) -> Iterator[Claim]:
    as_set, tuned = (table.filter(pc.equal(pc.equal(table["training"], TUNED), is_tuned)) for is_tuned in (False, True))
    polynomial, tuned_polynomial = (rows_with(rows, model="polynomial", degree=_DEGREE) for rows in (as_set, tuned))
    if not len(polynomial):
        return
    arms = settings["arms"]
    yield polynomial_does_not_generalize(polynomial, arms)
    size = polynomial["parameters"][0].as_py()
    network, tuned_network = (_deepest_alike(rows_with(rows, model="mlp"), size) for rows in (as_set, tuned))
    if not len(network):
        return
    depth, parameters = network["depth"][0].as_py(), network["parameters"][0].as_py()
    sizes = f"depth {depth}, {parameters} parameters against {size}"
    if len(tuned_polynomial) and len(tuned_network) and tuned_network["depth"][0].as_py() == depth:
        yield shortfall_is_the_optimizers((polynomial, tuned_polynomial), (network, tuned_network), sizes)
    yield network_generalizes_better(network, polynomial, arms, sizes)


def _deepest_alike(networks: pa.Table, size: int) -> pa.Table:
    """Return the deepest network of about as many parameters, so that no accuracy chooses which one is compared."""
    sizes = zip(networks["depth"].to_pylist(), networks["parameters"].to_pylist(), strict=True)
    alike = {(-depth, abs(other - size), other) for depth, other in sizes if alike_in_size(other, size)}
    if not alike:
        return networks.slice(0, 0)
    depth, _, parameters = min(alike)
    return rows_with(networks, depth=-depth, parameters=parameters)


CLAIMS = (ClaimSource("generalization", _on_generalization, data="spirals", condition=ONE_ORDER, column="training"),)
