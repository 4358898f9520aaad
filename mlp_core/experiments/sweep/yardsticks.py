"""What a network has to beat: scikit-learn's classifiers on the same training, validation and test examples."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from mlp_core.artifacts.units import with_units
from mlp_core.data.transforms import HoldOut

if TYPE_CHECKING:
    from mlp_core.data.datasets import Split

Examples = tuple[NDArray[Any], NDArray[Any]]
_UNITS = {
    "yardstick": "name",
    "train_accuracy": "0..1",
    "validation_accuracy": "0..1",
    "test_accuracy": "0..1",
}


def classifiers(seed: int, class_weight: str | None) -> dict[str, Any]:
    """Return four untrained scikit-learn classifiers by name, from the simplest to the strongest.

    Args:
        seed: Random state of the gradient boosting.
        class_weight: None, or `balanced` to weight all classes equally, where the classifier can.

    Example:
        >>> list(classifiers(0, None))
        ['majority class', 'logistic regression', 'nearest neighbour', 'gradient boosting']
    """
    from sklearn.dummy import DummyClassifier
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    logistic = LogisticRegression(max_iter=1000, class_weight=class_weight)
    return {
        "majority class": DummyClassifier(strategy="most_frequent"),
        "logistic regression": make_pipeline(StandardScaler(), logistic),
        "nearest neighbour": make_pipeline(StandardScaler(), KNeighborsClassifier(1)),
        "gradient boosting": HistGradientBoostingClassifier(random_state=seed, class_weight=class_weight),
    }


def examples_to_measure(
    data: Split, share: float, seed: int, namespace: str, class_weights: str
) -> tuple[Examples, Examples, Examples, int, str]:
    """Return the arguments of `yardsticks`: the examples that the networks get, and how to train on them.

    Args:
        data: The examples, before validation examples are set aside.
        share: Share of each class's training examples set aside for validation; see `HoldOut`.
        seed: Root seed of `HoldOut`.
        namespace: Seed namespace of `HoldOut`.
        class_weights: `none` or `balanced`.
    """
    parts = HoldOut(share, seed, namespace).split(data)
    assert parts.validation_inputs is not None
    assert parts.validation_labels is not None
    train, validation, test = (
        (inputs.flatten(1).numpy(), labels.numpy())
        for inputs, labels in (
            (parts.train_inputs, parts.train_labels),
            (parts.validation_inputs, parts.validation_labels),
            (parts.test_inputs, parts.test_labels),
        )
    )
    return train, validation, test, seed, class_weights


def yardsticks(train: Examples, validation: Examples, test: Examples, seed: int, class_weights: str) -> pa.Table:
    """Train scikit-learn's classifiers on the networks' training examples and measure their accuracies.

    They have scikit-learn's default settings and do not see the validation examples; nothing is chosen by their
    results.

    Args:
        train: Inputs `[n, features]` and labels `[n]` to train on.
        validation: The same of the validation examples.
        test: The same of the test examples.
        seed: Root seed, see `classifiers`.
        class_weights: `none` or `balanced`.

    Returns:
        One row per classifier: name, and train, validation and test accuracy.
    """
    rows = []
    chosen = classifiers(seed % 2**32, None if class_weights == "none" else class_weights)
    for name, classifier in chosen.items():
        with threadpool_limits(1, "openmp"):  # as many tasks as cores, a thread each
            classifier.fit(*train)
            reached = [classifier.score(*examples) for examples in (train, validation, test)]
        rows.append((name, *map(float, reached)))
    columns = dict(zip(_UNITS, map(list, zip(*rows, strict=True)), strict=True))
    return with_units(pa.table(columns), _UNITS)
