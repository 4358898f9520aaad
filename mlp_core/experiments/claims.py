"""The tutorial's claims on the result tables of its experiments: which rows each claim is about.

A claim is about the tutorial's own networks: the polynomial of degree 50, three hidden layers on photographs, ReLU
where the decline with depth is explained, the gain sweep's own network. Where a table does not hold them the claim is
left out, not made about others; only that a best depth lies inside, and that Xavier keeps the variance, are claims on
whatever was trained or measured. Each claim names the data that it rests on, as drawn faces are no photographs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mlp_core.data.addresses import SYNTHETIC
from mlp_core.data.settings import Spirals
from mlp_core.experiments.depth_sweep.experiment import DepthSweep
from mlp_core.experiments.gain_sweep.experiment import GainSweep
from mlp_core.experiments.generalization.companions import TUNED, alike_in_size
from mlp_core.seeds import derive_seed
from mlp_core.statistics.claims import (
    Claim,
    best_gain_is_theoretical,
    decline_goes_with_better_start,
    decline_is_vanishing_gradients,
    first_layer_is_not_local,
    gains_differ,
    interior_best_depth,
    network_generalizes_better,
    polynomial_does_not_generalize,
    published_curve_is_typical,
    shortfall_is_the_optimizers,
    xavier_preserves_variance,
)

_DEGREE, _DEPTH_ON_PHOTOGRAPHS = 50, 3
_THEORETICAL = "xavier at the theoretical gain"
_ONE_ORDER = "in one order of batches, which all members share"


def tutorial_claims(tables: Mapping[str, pa.Table], settings: Mapping[str, Mapping[str, Any]]) -> list[Claim]:
    """Return the claims that can be made on some result tables, in the order of the tutorial's sections.

    Each claim resamples from a generator of its own, by its name and its table's root seed: no interval depends on
    which other tables there are.

    Args:
        tables: By name, those of `CLAIMED_TABLES` that there are. A claim whose rows are not there is left out.
        settings: Of each table: `seed`, and what the claims on it need to know (`arms`, `epochs`, `layer_sizes`).

    Returns:
        The claims.

    Example:
        >>> depths = {"depth": [1, 2, 3] * 8, "seed": sorted(list(range(8)) * 3), "test_accuracy": [0.7, 0.9, 0.8] * 8}
        >>> claims = tutorial_claims({"depth_sweep": pa.table(depths)}, {"depth_sweep": {"seed": 2021}})
        >>> [(claim.name, claim.estimate, claim.verdict) for claim in claims]
        [('interior_best_depth', 2.0, 'supported')]
    """
    found: list[Claim] = []
    for name, (claims_on, condition) in _CLAIMS_ON.items():
        if name in tables and len(tables[name]) and _NEEDED.get(name, "seed") in tables[name].column_names:
            data = _data(name, settings[name])
            found += [replace(one, data=data, condition=condition) for one in claims_on(tables[name], settings[name])]
    return found


def _data(table: str, settings: Mapping[str, Any]) -> str:
    if table == "xavier":
        return "random networks"
    if table in ("features", "gain_sweep"):
        return "drawn faces" if settings.get("images") == SYNTHETIC else "photographs"
    return "spirals"


def _on_depth_sweep(table: pa.Table, settings: Mapping[str, Any]) -> Iterator[Claim]:
    yield interior_best_depth(table, _stream(settings, "interior_best_depth"))
    published = {**Spirals().model_dump(mode="json"), **DepthSweep().model_dump(mode="json")}
    whole = set(table["depth"].to_pylist()) == set(published["depths"])
    if whole and all(settings.get(name) == value for name, value in published.items()):
        yield published_curve_is_typical(table, _stream(settings, "published_curve_is_typical"))


def _on_explanation(table: pa.Table, settings: Mapping[str, Any]) -> Iterator[Claim]:
    table = _rows(table, epochs=settings["epochs"])
    default = _rows(table, activation="relu", initialization="pytorch")
    restored = _rows(table, activation="relu", initialization=_THEORETICAL)
    better = _rows(table, activation="tanh", initialization=_THEORETICAL)
    # a training that failed leaves a depth out: its decline would be another one
    if _same_depths(default, restored):
        stream = _stream(settings, "decline_is_vanishing_gradients")
        yield decline_is_vanishing_gradients(default, restored, stream)
    if _same_depths(default, better):
        yield decline_goes_with_better_start(default, better, _stream(settings, "decline_goes_with_better_start"))


def _on_generalization(table: pa.Table, settings: Mapping[str, Any]) -> Iterator[Claim]:
    as_set, tuned = (table.filter(pc.equal(pc.equal(table["training"], TUNED), is_tuned)) for is_tuned in (False, True))
    polynomial, tuned_polynomial = (_rows(rows, model="polynomial", degree=_DEGREE) for rows in (as_set, tuned))
    if not len(polynomial):
        return
    arms = settings["arms"]
    stream = _stream(settings, "polynomial_does_not_generalize")
    yield polynomial_does_not_generalize(polynomial, arms, stream)
    size = polynomial["parameters"][0].as_py()
    network, tuned_network = (_deepest_alike(_rows(rows, model="mlp"), size) for rows in (as_set, tuned))
    if not len(network):
        return
    depth, parameters = network["depth"][0].as_py(), network["parameters"][0].as_py()
    sizes = f"depth {depth}, {parameters} parameters against {size}"
    if len(tuned_polynomial) and len(tuned_network) and tuned_network["depth"][0].as_py() == depth:
        stream = _stream(settings, "shortfall_is_the_optimizers")
        yield shortfall_is_the_optimizers((polynomial, tuned_polynomial), (network, tuned_network), sizes, stream)
    stream = _stream(settings, "network_generalizes_better")
    yield network_generalizes_better(network, polynomial, arms, sizes, stream)


def _deepest_alike(networks: pa.Table, size: int) -> pa.Table:
    """Return the deepest network of about as many parameters, so that no accuracy chooses which one is compared."""
    sizes = zip(networks["depth"].to_pylist(), networks["parameters"].to_pylist(), strict=True)
    alike = {(-depth, abs(one - size), one) for depth, one in sizes if alike_in_size(one, size)}
    if not alike:
        return networks.slice(0, 0)
    depth, _, parameters = min(alike)
    return _rows(networks, depth=-depth, parameters=parameters)


def _on_features(table: pa.Table, settings: Mapping[str, Any]) -> Iterator[Claim]:
    trained, random = (_rows(table, kind=kind, depth=_DEPTH_ON_PHOTOGRAPHS) for kind in ("trained", "random"))
    filters, templates = (np.asarray(_rows(table, kind=kind)["extent"]) for kind in ("gabor", "template"))
    if len(trained) and len(random) and len(filters) and len(templates):
        stream = _stream(settings, "first_layer_is_not_local")
        yield first_layer_is_not_local(trained, random, filters, templates, stream)


def _on_xavier(table: pa.Table, settings: Mapping[str, Any]) -> Iterator[Claim]:
    sizes, gain = settings["layer_sizes"], table["gain"][0].as_py()
    activation = table["activation"][0].as_py()
    network = f"{'-'.join(str(size) for size in sizes)}, {activation}, gain {gain:.3f}"
    # a ReLU, leaky or not, halves a symmetric signal's square by its slope alone: then infinite width is any width
    is_exact = activation.startswith(("relu", "leaky_relu")) and settings["sigma_b"] == 0
    for direction in ("forward", "backward"):
        column = {"forward": "predicted_mean_square", "backward": "predicted_gradient_mean_square"}[direction]
        predicted = _rows(table, member=table["member"][0].as_py()).sort_by("layer")[column].to_pylist()
        exact, shown = predicted[-1] / predicted[0], network
        if direction == "forward":
            from_input = exact * gain**2 * 2 * sizes[0] / (sizes[0] + sizes[1])
            shown = f"{network}; from the input to the last layer {from_input:.3g}"
        else:
            exact = 1 / exact
        stream = _stream(settings, f"xavier_preserves_variance_{direction}")
        yield xavier_preserves_variance(table, direction, shown, exact if is_exact else None, stream)


def _on_gain_sweep(table: pa.Table, settings: Mapping[str, Any]) -> Iterator[Claim]:
    # not the gains, which the claims themselves look at, nor the batch, which few photographs may not fill
    tutorial = GainSweep().model_dump(mode="json", exclude={"gains", "batch_size"})
    if all(settings.get(name) == value for name, value in tutorial.items()):
        yield best_gain_is_theoretical(table, _stream(settings, "best_gain_is_theoretical"))
        yield gains_differ(table, _stream(settings, "gains_differ"))


# By table: what makes its claims, and what their verdicts hold for only
_CLAIMS_ON: dict[str, tuple[Callable[[pa.Table, Mapping[str, Any]], Iterator[Claim]], str]] = {
    "depth_sweep": (_on_depth_sweep, ""),
    "explain": (_on_explanation, ""),
    "generalization": (_on_generalization, _ONE_ORDER),
    "features": (_on_features, _ONE_ORDER),
    "xavier": (_on_xavier, ""),
    "gain_sweep": (_on_gain_sweep, _ONE_ORDER),
}
_NEEDED = {"generalization": "training", "features": "extent"}  # which tables of earlier versions lack
CLAIMED_TABLES = tuple(_CLAIMS_ON)
"""The result tables that claims rest on."""


def _stream(settings: Mapping[str, Any], name: str) -> np.random.Generator:
    return np.random.default_rng(derive_seed(settings["seed"], "claims", name))


def _rows(table: pa.Table, **values: str | int) -> pa.Table:
    """Return the rows with these values; filtered as Arrow, as numpy would round the large seeds beside a null."""
    for name, value in values.items():
        table = table.filter(pc.equal(table[name], value))
    return table


def _same_depths(one: pa.Table, other: pa.Table) -> bool:
    depths = [set(table["depth"].to_pylist()) for table in (one, other)]
    return bool(depths[0]) and depths[0] == depths[1]
