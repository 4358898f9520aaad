"""Train an ensemble of networks on one data set, and look at what its members reached."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from deep_mlp._modules import activation_module
from mlp_core.activations import canonical_activation
from mlp_core.data import datasets
from mlp_core.data.datasets import Split
from mlp_core.engine.architecture import LEARNED_MARGIN, parameter_count
from mlp_core.engine.configs import TrainConfig, Training
from mlp_core.engine.members import TrainedMembers, train_members
from mlp_core.errors import InputError
from mlp_core.statistics.intervals import median_interval, share_interval
from mlp_core.statistics.wording import count, format_cell, format_share

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

_STARTS = ("pytorch", "xavier_normal", "xavier_uniform")
_CHUNK_EXAMPLES = 1024


def spirals(seed: int = 2021, *, arms: int = 4, points_per_arm: int = 1000, noise: float = 0.4) -> Split:
    """Draw the tutorial's spirals: points in the plane, a class per arm, a fifth of them as test examples.

    Args:
        seed: Seed of the points, and of the cut into train and test examples.
        arms: Number of arms, each a class; at least 2.
        points_per_arm: Number of points on each arm; at least 5.
        noise: Its square is the standard deviation of the noise at the outer end of an arm.

    Example:
        >>> data = spirals()
        >>> tuple(data.train_inputs.shape), tuple(data.test_inputs.shape)
        ((3200, 2), (800, 2))
    """
    points = datasets.spirals(seed, arms=arms, points_per_arm=points_per_arm, noise=noise)
    return datasets.split(*points, seed)


@dataclass(frozen=True)
class Summary:
    """Test accuracy of an ensemble in a few numbers, and how many of its networks (members) failed.

    Mean, median and interval are of the members that did not diverge; NaN if all did.

    Attributes:
        n: Number of members that did not diverge.
        diverged: Number of members that did: their loss or weights are no longer finite.
        never_learned: Number of members with a train accuracy less than 5 points above chance, diverged ones included.
        mean: Mean test accuracy, 0 .. 1; without an interval, as none holds for such data (docs/statistics.md).
        median: Median test accuracy.
        low: Lower end of the median's 95 % interval, by order statistics; NaN with fewer than 6 members.
        high: Upper end of the same interval.
        parameters: Number of trainable parameters of one network.
    """

    n: int
    diverged: int
    never_learned: int
    mean: float
    median: float
    low: float
    high: float
    parameters: int

    def __str__(self) -> str:
        """Return the summary in one line, accuracies in percent; without an interval if there is none.

        Example:
            >>> print(Summary(8, 0, 1, 0.76, 0.8, 0.4, 0.85, 130))
            median 80.0 % [40.0 to 85.0], n = 8, 0 diverged, 1 never learned, 130 parameters
        """
        interval = "" if np.isnan(self.low) else f" [{100 * self.low:.1f} to {100 * self.high:.1f}]"
        return (
            f"median {100 * self.median:.1f} %{interval}, n = {self.n}, {self.diverged} diverged, "
            f"{self.never_learned} never learned, {self.parameters:,} parameters"
        )


@dataclass(frozen=True)
class TrainedEnsemble:
    """Trained networks that differ in their seeds alone, as `train` returns them.

    Arrays that begin with `[seeds` have an entry per network, in the order of the seed index.

    Attributes:
        config: Architecture and settings of the training.
        data: Train and test examples.
        members: Accuracies, losses and parameters as the engine returns them.
        classes: Labels of the outputs, `[classes]`.
    """

    config: TrainConfig
    data: Split = field(repr=False)
    members: TrainedMembers = field(repr=False)
    classes: NDArray[Any] = field(repr=False)

    def __len__(self) -> int:
        """Return the number of networks, those that diverged included."""
        return len(self.members.member)

    @property
    def train_accuracy(self) -> NDArray[np.float64]:
        """Train accuracy of each network, float64 `[seeds]`, 0 .. 1, NaN where it diverged."""
        return self.members.train_accuracy.numpy()

    @property
    def test_accuracy(self) -> NDArray[np.float64]:
        """Test accuracy of each network, float64 `[seeds]`, 0 .. 1, NaN where it diverged."""
        return self.members.test_accuracy.numpy()

    @property
    def train_loss(self) -> NDArray[np.float32]:
        """Mean train loss (cross-entropy) of each epoch in nats, float32 `[seeds, epochs]`."""
        return self.members.train_loss.numpy()

    def summary(self) -> Summary:
        """Return mean and median of the test accuracies, the median's interval, and how many networks failed.

        Example:
            >>> summary = train(spirals(points_per_arm=100), hidden=(4,), seeds=8, epochs=1).summary()
            >>> summary.n, summary.diverged, summary.low <= summary.median <= summary.high
            (8, 0, True)
        """
        median = median_interval(self.test_accuracy)
        learned = self.train_accuracy >= 1 / len(self.classes) + LEARNED_MARGIN
        finite = self.test_accuracy[np.isfinite(self.test_accuracy)]
        return Summary(
            median.n,
            median.missing,
            int((~learned).sum()),
            float(finite.mean()) if len(finite) else float("nan"),
            median.estimate,
            median.low,
            median.high,
            parameter_count(self.config.layer_sizes),
        )

    def to_frame(self) -> pd.DataFrame:
        """Return a pandas table with a row per network: seed index, accuracies, loss of the last epoch and status.

        The status is `ok`, or `diverged`; the accuracies are then NaN.
        """
        import pandas as pd

        return pd.DataFrame(
            {
                "seed_index": self.members.member,
                "train_accuracy": self.train_accuracy,
                "test_accuracy": self.test_accuracy,
                "final_train_loss": self.train_loss[:, -1],
                "status": np.where(np.isfinite(self.test_accuracy), "ok", "diverged"),
            }
        )

    def predict_proba(self, inputs: ArrayLike) -> NDArray[np.float64]:
        """Return each network's probabilities of the classes; they are not averaged over the networks.

        Args:
            inputs: Examples `[n, features]`.

        Returns:
            float64 `[seeds, n, classes]`; NaN for a network with NaN parameters, which diverged.
        """
        examples = torch.as_tensor(np.asarray(inputs), dtype=torch.float64)
        parts = [torch.softmax(self._logits(part), 2) for part in torch.split(examples, _CHUNK_EXAMPLES)]
        return torch.cat(parts, 1).numpy()

    def _logits(self, inputs: Tensor) -> Tensor:
        """Return logits `[seeds, n, classes]`, in double precision: an example's do not depend on its neighbours."""
        state = {name: stacked.double() for name, stacked in self.members.state.items()}
        transfer = activation_module(self.config.activation)
        signal = inputs.expand(len(self), *inputs.shape)
        for number in range(len(self.config.layer_sizes) - 1):
            signal = transfer(signal) if number else signal
            weight, bias = (state[f"{2 * number}.{kind}"] for kind in ("weight", "bias"))
            signal = torch.baddbmm(bias.unsqueeze(1), signal, weight.transpose(1, 2))
        return signal

    def predict(self, inputs: ArrayLike) -> NDArray[Any]:
        """Return the label of the most probable class of each example, by each network, `[seeds, n]`.

        A network whose probabilities are NaN, because it diverged, gives the first class.

        Args:
            inputs: Examples `[n, features]`.
        """
        predictions: NDArray[Any] = self.classes[self.predict_proba(inputs).argmax(2)]
        return predictions

    def module(self, seed: int = 0) -> nn.Sequential:
        """Return one network as a `torch.nn.Sequential` with a copy of its parameters.

        Args:
            seed: Seed index of the network, from 0.

        Raises:
            InputError: If there is no such network.

        Example:
            >>> ensemble = train(spirals(points_per_arm=100), hidden=(4,), seeds=2, epochs=1)
            >>> ensemble.module(seed=1)
            Sequential(
              (0): Linear(in_features=2, out_features=4, bias=True)
              (1): ReLU()
              (2): Linear(in_features=4, out_features=4, bias=True)
            )
        """
        if not 0 <= seed < len(self):
            message = f"seed must be an index from 0 to {len(self) - 1}, got {seed}."
            raise InputError(message)
        layers: list[nn.Module] = []
        sizes = self.config.layer_sizes
        for n_inputs, n_outputs in pairwise(sizes):
            layers += [nn.Linear(n_inputs, n_outputs), activation_module(self.config.activation)]
        network = nn.Sequential(*layers[:-1])
        network.load_state_dict({name: stacked[seed] for name, stacked in self.members.state.items()})
        return network

    def plot(self) -> Figure:
        """Return a Matplotlib figure: test accuracy of each network with median and interval, and all loss curves."""
        from deep_mlp._plots import ensemble_figure

        return ensemble_figure(self.test_accuracy, self.train_loss, len(self.classes))

    def __repr__(self) -> str:
        """Return architecture and epochs in one line, and the median test accuracy in a second."""
        sizes = "-".join(map(str, self.config.layer_sizes))
        networks = count(len(self), "network")
        return (
            f"TrainedEnsemble of {networks} {sizes}, {self.config.activation}, {count(self.config.epochs, 'epoch')}\n"
            f"test accuracy: {self._reached()}"
        )

    def _reached(self) -> str:
        summary = self.summary()
        text = f"median {format_cell(median_interval(self.test_accuracy))} of {summary.n}"
        return text + (f", {summary.diverged} diverged" if summary.diverged else "")

    def _repr_html_(self) -> str:
        """Return a small table and a plot of dots, for a notebook."""
        from deep_mlp._plots import dots_svg

        summary = self.summary()
        never = share_interval(summary.never_learned, len(self))
        rows = {
            "networks": f"{len(self)} of {'-'.join(map(str, self.config.layer_sizes))}",
            "parameters": f"{summary.parameters:,}",
            "test accuracy, median [95 %]": format_cell(median_interval(self.test_accuracy)),
            "diverged": str(summary.diverged),
            "never learned [95 %]": format_share(never),
        }
        cells = "".join(
            f"<tr><th style='text-align:left'>{name}</th><td>{value}</td></tr>" for name, value in rows.items()
        )
        return f"<div><table>{cells}</table>{dots_svg(self.test_accuracy)}</div>"


def train(
    data: Split | tuple[ArrayLike, ArrayLike],
    *,
    hidden: Sequence[int] = (6, 6, 6),
    activation: str = "relu",
    start: str = "pytorch",
    gain: float = 1.0,
    optimizer: str = "adam",
    learning_rate: float = 1e-3,
    epochs: int = 100,
    batch_size: int = 128,
    seeds: int = 8,
    seed: int = 2021,
    device: str = "cpu",
    checkpoint: Callable[[float], object] = lambda done: None,
) -> TrainedEnsemble:
    """Train an ensemble: networks of one architecture that differ in their seeds alone.

    Args:
        data: Train and test examples, see `Split.from_arrays`; or `(X, y)`, of which a fifth becomes test examples.
        hidden: Number of units of each hidden layer.
        activation: relu, tanh, sigmoid, gelu, erf, selu or leaky_relu(SLOPE).
        start: Initialization of the weights: pytorch, xavier_normal or xavier_uniform.
        gain: Factor on the standard deviation of Xavier's initialization, above 0; not used by pytorch.
        optimizer: adam or sgd.
        learning_rate: Step size, above 0.
        epochs: Passes over the training set, at least 1.
        batch_size: Examples per step; the last short batch of an epoch is left out.
        seeds: Number of networks, at least 1.
        seed: Root seed, from which each network's first weights and order of examples derive.
        device: cpu, cuda or mps.
        checkpoint: Called every few milliseconds with the share that is done, 0 .. 1; it may raise to stop.

    Raises:
        InputError: If a setting breaks its rule.

    Example:
        >>> ensemble = train(spirals(points_per_arm=100), hidden=(8,), seeds=3, epochs=2)
        >>> len(ensemble), ensemble.train_loss.shape
        (3, (3, 2))
    """
    split = data if isinstance(data, Split) else Split.from_arrays(*data)
    labels = torch.cat([split.train_labels, split.test_labels])
    n_classes = int(labels.max()) + 1 if split.classes is None else len(split.classes)
    classes = np.arange(n_classes) if split.classes is None else np.asarray(split.classes)
    try:
        name = canonical_activation(activation)
    except ValueError as error:
        message = f"activation {error}, got {activation!r}."
        raise InputError(message) from None
    _check(hidden, start, epochs, batch_size, seeds, learning_rate, gain)
    n_train = len(split.train_labels)
    training = Training(name, optimizer, learning_rate, epochs, min(batch_size, n_train), seed, device)
    sizes = (split.train_inputs.flatten(1).shape[1], *hidden, n_classes)
    config = TrainConfig.of(training, "ensemble", "api", sizes, "per_seed_order", scheme=start, gains=(float(gain),))
    return TrainedEnsemble(config, split, train_members(config, split, range(seeds), checkpoint), classes)


def _check(
    hidden: Sequence[int], start: str, epochs: int, batch_size: int, seeds: int, learning_rate: float, gain: float
) -> None:
    rules = (
        ("hidden", all(width >= 1 for width in hidden), "have layers of at least 1 unit", tuple(hidden)),
        ("start", start in _STARTS, f"be one of {', '.join(_STARTS)}", start),
        ("epochs", epochs >= 1, "be at least 1", epochs),
        ("batch_size", batch_size >= 1, "be at least 1", batch_size),
        ("seeds", seeds >= 1, "be at least 1", seeds),
        ("learning_rate", learning_rate > 0, "be above 0", learning_rate),
        ("gain", gain > 0, "be above 0", gain),
    )
    for setting, holds, rule, value in rules:
        if not holds:
            message = f"{setting} must {rule}, got {value!r}."
            raise InputError(message)
