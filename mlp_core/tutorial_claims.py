"""The tutorial's claims on the result tables of its experiments: which rows each claim is about.

A claim is about the tutorial's own networks: the polynomial of degree 50, three hidden layers on photographs, ReLU
where the decline with depth is explained, the gain sweep's own network. Where a table does not hold them the claim is
left out, not made about others; only that a best depth lies inside, and that Xavier keeps the variance, are claims on
whatever was trained or measured.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mlp_core.claims import (
    Claim,
    best_gain_is_theoretical,
    decline_is_vanishing_gradients,
    decline_survives_better_start,
    first_layer_is_not_local,
    gains_differ,
    interior_best_depth,
    network_generalizes_better,
    polynomial_generalizes,
    published_curve_is_typical,
    xavier_preserves_variance,
)
from mlp_core.seeds import derive_seed
from mlp_core.settings import DepthSweep, GainSweep, Spirals

_DEGREE, _DEPTH_ON_PHOTOGRAPHS = 50, 3
# Widths are whole numbers: no network has just the polynomial's number of parameters
_EQUAL_SIZE = 0.15
_THEORETICAL = "xavier at the theoretical gain"


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
    for name, claims_on in _CLAIMS_ON.items():
        if name in tables and len(tables[name]):
            found += claims_on(tables[name], settings[name])
    return found


def _on_depth_sweep(table: pa.Table, settings: Mapping[str, Any]) -> Iterator[Claim]:
    yield interior_best_depth(table, _stream(settings, "interior_best_depth"))
    published = {**Spirals().model_dump(mode="json"), **DepthSweep().model_dump(mode="json")}
    whole = set(table["depth"].to_pylist()) == set(published["depths"])
    if whole and all(settings.get(name) == value for name, value in published.items()):
        yield published_curve_is_typical(table)


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
        yield decline_survives_better_start(default, better, _stream(settings, "decline_survives_better_start"))


def _on_generalization(table: pa.Table, settings: Mapping[str, Any]) -> Iterator[Claim]:
    polynomial = _rows(table, model="polynomial", degree=_DEGREE)
    if not len(polynomial):
        return
    yield polynomial_generalizes(polynomial, settings["arms"], _stream(settings, "polynomial_generalizes"))
    size = polynomial["parameters"][0].as_py()
    networks = _rows(table, model="mlp")
    if not len(networks):
        return
    # of the networks the one of the nearest size, so that no accuracy chooses which network is compared
    nearest = min(networks["parameters"].to_pylist(), key=lambda parameters: abs(parameters - size))
    network = _rows(networks, parameters=nearest)
    if abs(nearest / size - 1) < _EQUAL_SIZE:
        network = _rows(network, depth=network["depth"][0].as_py())
        sizes = f"depth {network['depth'][0].as_py()}, {nearest} parameters against {size}"
        stream = _stream(settings, "network_generalizes_better")
        yield network_generalizes_better(network, polynomial, sizes, stream)


def _on_features(table: pa.Table, settings: Mapping[str, Any]) -> Iterator[Claim]:
    trained, random = (_rows(table, kind=kind, depth=_DEPTH_ON_PHOTOGRAPHS) for kind in ("trained", "random"))
    filters = np.asarray(_rows(table, kind="gabor")["participation_ratio"])
    if len(trained) and len(random) and len(filters):
        yield first_layer_is_not_local(trained, random, filters, _stream(settings, "first_layer_is_not_local"))


def _on_xavier(table: pa.Table, settings: Mapping[str, Any]) -> Iterator[Claim]:
    sizes = "-".join(str(size) for size in settings["layer_sizes"])
    network = f"{sizes}, {table['activation'][0].as_py()}, gain {table['gain'][0].as_py():.3f}"
    for direction in ("forward", "backward"):
        stream = _stream(settings, f"xavier_preserves_variance_{direction}")
        yield xavier_preserves_variance(table, direction, network, stream)


def _on_gain_sweep(table: pa.Table, settings: Mapping[str, Any]) -> Iterator[Claim]:
    # not the gains, which the claims themselves look at, nor the batch, which few photographs may not fill
    tutorial = GainSweep().model_dump(mode="json", exclude={"gains", "batch_size"})
    if all(settings.get(name) == value for name, value in tutorial.items()):
        yield best_gain_is_theoretical(table, _stream(settings, "best_gain_is_theoretical"))
        yield gains_differ(table, _stream(settings, "gains_differ"))


_CLAIMS_ON: dict[str, Callable[[pa.Table, Mapping[str, Any]], Iterator[Claim]]] = {
    "depth_sweep": _on_depth_sweep,
    "explain": _on_explanation,
    "generalization": _on_generalization,
    "features": _on_features,
    "xavier": _on_xavier,
    "gain_sweep": _on_gain_sweep,
}
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
