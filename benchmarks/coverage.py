"""How often each interval that the project shows holds the value of its population: 2,000 networks a configuration.

Every configuration is trained as the flows train it, once with as many members as a population has; what lies in
`coverage-artifacts` is not trained again. Samples of 8, 16 and 64 members are then drawn from each population, and of
each sample's intervals it is counted how many hold the whole population's value.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import torch

from benchmarks.work import ARMS, PIXELS, SEED, Work, depth_plans, draw_photographs, gain_plans, load, polynomial_plans
from mlp_core.datasets import Split
from mlp_core.diagnosis import diagnose
from mlp_core.meanfield import forward_gain
from mlp_core.members import train_members
from mlp_core.plans import TrainingPlan, explanation_plans
from mlp_core.settings import DepthSweep, Explanation, GainSweep
from mlp_core.storage import settings_digest, write_file
from mlp_core.tables import member_table

FOLDER = Path("coverage-artifacts")
N_NETWORKS = 2000
_BLOCK = 250
"""Members that are trained, and stored, at a time."""
_GAINS = (0.1, 1.4, 1.7, 3.0)
_PHOTOGRAPHS = 240, 100
"""Drawn faces per class to train and to test on; the gain sweep has 2,000 and 300."""


def plans() -> dict[str, list[TrainingPlan]]:
    """Return the configurations of each experiment; those of the explanation without what the depth sweep has."""
    sweep, explanation = DepthSweep(), Explanation()
    training = sweep.model_dump(exclude={"depths", "parameter_budget"})
    theory = {name: forward_gain(name) for name in explanation.explain_activations}
    explained = explanation_plans(
        *(sweep.depths, sweep.parameter_budget, ARMS, theory, explanation.explain_epochs),
        **training,
        seed=SEED,
        device="cpu",
    )
    depth = list(depth_plans())
    return {
        "depth sweep": depth,
        "polynomial": list(polynomial_plans()),
        "gain sweep": list(gain_plans(3, GainSweep(gains=_GAINS))),
        "explanation": [plan for plan in explained if plan not in depth],
    }


@cache
def _photographs() -> Split:
    with tempfile.TemporaryDirectory() as name:
        n_train, n_test = _PHOTOGRAPHS
        drawn = draw_photographs(Path(name) / "drawn", n_train_per_class=n_train, n_test_per_class=n_test)
        return load(Work("", "", (), photographs=drawn))


def _data(plan: TrainingPlan) -> Split:
    return _photographs() if plan.layer_sizes[0] == PIXELS else load(Work("", "", (plan,)))


def _block_path(folder: Path, plan: TrainingPlan, first: int) -> Path:
    key = settings_digest(plan.settings(), "" if plan.layer_sizes[0] != PIXELS else str(_PHOTOGRAPHS))
    return folder / f"{plan.experiment}-{key[:12]}-{first}.parquet"


def train_block(folder: Path, plan: TrainingPlan, first: int) -> None:
    """Train some members of a plan and store what they reached, and what they were before their first step."""
    path = _block_path(folder, plan, first)
    if path.exists():
        return
    members = range(first, first + _BLOCK)
    table = member_table(train_members(plan, _data(plan), members))
    if plan.batches == "private":
        found = diagnose(plan, _data(plan), members)
        table = table.append_column("dead_share", pa.array(found.dead_share.numpy()))
    write_file(path, lambda file: pq.write_table(table, file))
    print(f"{plan.experiment} {plan.configuration}, members {first} to {members[-1]}", file=sys.stderr, flush=True)


def train_populations(folder: Path, n_networks: int, workers: int) -> None:
    """Train what is missing: the first members of all configurations before the second ones."""
    named = plans()
    headline = [plan for name, some in named.items() if name != "explanation" for plan in some]
    firsts = range(0, n_networks, _BLOCK)
    blocks = [(plan, first) for some in (headline, named["explanation"]) for first in firsts for plan in some]
    for plan in headline:
        _data(plan)  # before the workers ask for it at once
    with ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        for done in [pool.submit(train_block, folder, *block) for block in blocks]:
            done.result()


def main() -> int:
    """Train the populations."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.coverage", description=__doc__)
    parser.add_argument("--networks", type=int, default=N_NETWORKS, metavar="N", help="of each configuration")
    parser.add_argument("--workers", type=int, default=2, metavar="N", help="trainings side by side")
    options = parser.parse_args()
    FOLDER.mkdir(exist_ok=True)
    train_populations(FOLDER, options.networks, options.workers)
    return 0


if __name__ == "__main__":
    sys.exit(main())
