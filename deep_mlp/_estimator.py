"""The ensemble as a scikit-learn classifier."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, check_random_state, validate_data

from deep_mlp._ensemble import train
from mlp_core.data.datasets import Split


class EnsembleMLPClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A scikit-learn classifier: several networks that differ in their seeds alone, whose probabilities are averaged.

    Features should be of one scale, as `sklearn.preprocessing.StandardScaler` makes them.

    Args:
        hidden: Units of each hidden layer.
        activation: relu, tanh, sigmoid, gelu, erf, selu or leaky_relu(SLOPE).
        optimizer: adam or sgd.
        learning_rate: Step size.
        epochs: Passes over the training set.
        batch_size: Examples per step; the last short batch of an epoch is left out.
        n_members: Number of networks.
        random_state: An integer, a NumPy `RandomState` or None, as in scikit-learn; the root seed is drawn from it.

    Attributes:
        classes_: Different labels in ascending order, `[classes]`.
        ensemble_: The trained networks, see `TrainedEnsemble`; its test examples are the training examples.
        n_features_in_: Number of features of an example.

    Example:
        >>> from sklearn.datasets import make_moons
        >>> X, y = make_moons(200, noise=0.1, random_state=0)
        >>> EnsembleMLPClassifier(hidden=(16,), n_members=2, random_state=0).fit(X, y).score(X, y) > 0.9
        True
    """

    def __init__(
        self,
        hidden: Sequence[int] = (32, 32),
        *,
        activation: str = "relu",
        optimizer: str = "adam",
        learning_rate: float = 1e-2,
        epochs: int = 100,
        batch_size: int = 32,
        n_members: int = 8,
        random_state: Any = None,
    ) -> None:
        self.hidden = hidden
        self.activation = activation
        self.optimizer = optimizer
        self.learning_rate = learning_rate
        self.epochs = epochs
        self.batch_size = batch_size
        self.n_members = n_members
        self.random_state = random_state

    def fit(self, X: Any, y: Any) -> EnsembleMLPClassifier:
        """Train the networks from their first weights; an earlier fit is replaced.

        Args:
            X: Examples `[n, features]`.
            y: Labels `[n]`, numbers or texts, of at least two classes.

        Returns:
            The classifier itself.

        Raises:
            ValueError: If X or y is not valid, or y has a single class.
        """
        X, y = validate_data(self, X, y, dtype=np.float32)
        check_classification_targets(y)
        self.classes_, labels = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            message = f"Classifier can't train when only one class is present: y has the class {self.classes_[0]!r}"
            raise ValueError(message)
        seed = int(check_random_state(self.random_state).randint(2**31))
        everything = Split.from_parts(X, labels, X, labels, self.classes_.tolist())
        self.ensemble_ = train(
            everything,
            hidden=tuple(self.hidden),
            activation=self.activation,
            optimizer=self.optimizer,
            learning_rate=self.learning_rate,
            epochs=self.epochs,
            batch_size=self.batch_size,
            seeds=self.n_members,
            seed=seed,
        )
        return self

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """Return the probability of each class, the mean over all networks, `[n, classes]`, as `classes_` orders them.

        If a network diverged (its parameters are NaN), all probabilities are NaN.

        Args:
            X: Examples `[n, features]`.
        """
        check_is_fitted(self)
        X = validate_data(self, X, dtype=np.float32, reset=False)
        probabilities: NDArray[np.float64] = self.ensemble_.predict_proba(X).mean(0)
        return probabilities

    def predict(self, X: Any) -> NDArray[Any]:
        """Return the label of the class with the highest mean probability for each example, `[n]`.

        Args:
            X: Examples `[n, features]`.
        """
        chosen = self.predict_proba(X).argmax(1)
        predictions: NDArray[Any] = self.classes_[chosen]
        return predictions
