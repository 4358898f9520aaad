"""scikit-learn's way: `MLPClassifier.fit`, one network after the other, or `GridSearchCV` over a grid of them."""

from __future__ import annotations

import json
import os
import sys
import time
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier
from threadpoolctl import threadpool_limits

from benchmarks.work import Outcome, Work, load
from mlp_core.engine.members import member_seed


class _Classifier(MLPClassifier):
    """Starts from weights drawn as PyTorch draws them: scikit-learn's own reach other accuracies."""

    def _init_coef(self, fan_in: int, fan_out: int, dtype: Any) -> tuple[Any, Any]:
        bound = fan_in**-0.5
        draw = self._random_state.uniform
        weights, biases = draw(-bound, bound, (fan_in, fan_out)), draw(-bound, bound, fan_out)
        return weights.astype(dtype), biases.astype(dtype)


def train(work: Work, members: Sequence[int]) -> Outcome:
    """Train one network after the other with scikit-learn, and return their test accuracies.

    `MLPClassifier` cannot leave out a last short batch; the spirals' 3,200 points fill exactly 25 batches of 128.
    """
    data = load(work)
    (config,) = work.configs
    accuracies = []
    for member in members:
        classifier = _Classifier(
            config.layer_sizes[1:-1],
            activation=config.activation,
            solver=config.optimizer,
            learning_rate_init=config.learning_rate,
            batch_size=config.batch_size,
            max_iter=config.epochs,
            n_iter_no_change=config.epochs + 1,  # no early end
            alpha=0,
            random_state=member_seed(config, member) % 2**32,
        )
        with warnings.catch_warnings(), threadpool_limits(1):
            warnings.simplefilter("ignore", ConvergenceWarning)  # the number of epochs is given
            classifier.fit(data.train_inputs.numpy(), data.train_labels.numpy())
        classifier.score(data.train_inputs.numpy(), data.train_labels.numpy())
        accuracies.append(classifier.score(data.test_inputs.numpy(), data.test_labels.numpy()))
    return Outcome(accuracies)


def grid_search(grid: Mapping[str, Sequence[Any]], options: Mapping[str, Any]) -> float:
    """Return the seconds in which `GridSearchCV(n_jobs=2)` fits each combination of a grid once, on `digits`.

    As many examples train and validate as in `deep-mlp sweep`: 1,151 and 287; a fifth is left for testing. The workers
    are started, with their imports, before the time begins.

    Args:
        grid: Values of the arguments of `MLPClassifier` that vary.
        options: Its other arguments.
    """
    import numpy as np
    from sklearn.datasets import load_digits
    from sklearn.model_selection import GridSearchCV, PredefinedSplit
    from sklearn.preprocessing import StandardScaler

    os.environ["PYTHONWARNINGS"] = "ignore"  # of the workers: the number of epochs is given
    inputs, labels = load_digits(return_X_y=True)
    inputs = StandardScaler().fit_transform(inputs)[:1438].astype(np.float32)
    fold = PredefinedSplit(np.where(np.arange(1438) < 1151, -1, 0))

    def fit(grid: Mapping[str, Sequence[Any]], **more: Any) -> float:
        search = GridSearchCV(MLPClassifier(**{**options, **more}), grid, cv=fold, n_jobs=2, refit=False)
        started = time.perf_counter()
        search.fit(inputs, labels[:1438])
        return time.perf_counter() - started

    fit({"hidden_layer_sizes": [(2,)] * 4}, max_iter=1)
    return fit(grid)


if __name__ == "__main__":
    print(grid_search(*json.loads(sys.argv[1])), flush=True)
