"""Members of a constructed experiment, as a baseline sees them and as a table."""

import numpy as np

from mlp_core.artifacts.results import Origin, Results
from mlp_core.artifacts.storage import Provenance, write_table

ORIGIN = Origin({"seeds": 8, "epochs": 100}, "code", {"torch": "2.13.0", "numpy": "2.4.6"}, "a machine, 2 cores")


def results(accuracies, origin=ORIGIN):
    """Return results of one experiment: test accuracies by configuration, one per member; NaN for a diverged one.

    Of three classes, so that 0.38 is the least accuracy of a member that learned.
    """
    members = {}
    for name, values in accuracies.items():
        members["images", name] = {
            number: (
                0.5,
                float(value),
                float(np.isnan(value)),
                float("nan") if np.isnan(value) else float(value < 0.38),
            )
            for number, value in enumerate(values)
        }
    return Results({"images": origin}, members)


def draws(seed, n_configurations=1, n_members=8, spread=0.1):
    """Return accuracies of configurations, drawn."""
    stream = np.random.default_rng(seed)
    return {f"depth={number}": stream.normal(0.7, spread, n_members) for number in range(n_configurations)}


def write_results(root, name, table):
    """Write a table of results."""
    units = dict.fromkeys(table.column_names, "")
    return write_table(root, f"results/{name}.parquet", table, Provenance({"seeds": 2}, "code", {}, units))
