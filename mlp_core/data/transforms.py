"""What is done to examples before a network sees them: a part of its configuration. No torch until one is applied."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, ClassVar, Literal

from mlp_core.data.sizes import monomial_count

if TYPE_CHECKING:
    from torch import Tensor

    from mlp_core.data.datasets import Split


class _Transform:
    """What transforms have in common.

    Attributes:
        name: Of the tables of transformed examples.
        unit: Of a transformed input.
    """

    name: ClassVar[str]
    unit: ClassVar[str]

    @property
    def title(self) -> str:
        """Return the transform in words, such as `standardize inputs`."""
        raise NotImplementedError

    def n_inputs(self, n_inputs: int) -> int:
        """Return the number of inputs per example after the transform, given the number before."""
        return n_inputs

    def n_examples(self, n_train: int, n_test: int) -> int:
        """Return the number of train and test examples together after the transform, given the numbers before."""
        return n_train + n_test

    def n_train(self, n_train: int, n_classes: int) -> int:
        """Return a lower bound of the number of train examples after the transform, given the number before."""
        return n_train

    def fitted(self, data: Split) -> Callable[[Tensor], Tensor]:
        """Return the transform as a function of inputs `[n, ...]`; it learns, such as a mean, from `train_inputs`."""
        raise NotImplementedError

    def split(self, data: Split) -> Split:
        """Return a data set whose train, test and validation inputs are transformed; labels stay."""
        transform = self.fitted(data)
        train, test = (transform(inputs) for inputs in (data.train_inputs, data.test_inputs))
        validation = None if data.validation_inputs is None else transform(data.validation_inputs)
        return replace(data, train_inputs=train, test_inputs=test, validation_inputs=validation)


@dataclass(frozen=True)
class Monomials(_Transform):
    """The transform of points to polynomial features: all monomials of their two coordinates up to a total degree.

    Example:
        >>> Monomials(50).n_inputs(2)
        1325
    """

    degree: int
    kind: Literal["monomials"] = "monomials"

    name = "polynomial_features"
    unit = "1, x1^i x2^j, i outer, j inner"

    @property
    def title(self) -> str:
        """Return what is done, in words."""
        return f"expand polynomial features degree={self.degree}"

    def n_inputs(self, n_inputs: int) -> int:
        """Return how many monomials there are."""
        return monomial_count(self.degree)

    def fitted(self, data: Split) -> Callable[[Tensor], Tensor]:
        """Return a function of points `[n, 2]`, which returns their monomials `[n, monomials]`."""
        from mlp_core.data.polynomial_features import monomials

        return partial(monomials, degree=self.degree)


@dataclass(frozen=True)
class Standardize(_Transform):
    """The transform that shifts and scales each input to mean 0 and standard deviation 1 on the training set."""

    kind: Literal["standardize"] = "standardize"

    name = "standardized"
    unit = "standard deviations from the mean"

    @property
    def title(self) -> str:
        """Return what is done, in words."""
        return "standardize inputs"

    def fitted(self, data: Split) -> Callable[[Tensor], Tensor]:
        """Return a function that shifts and scales inputs by the training set's mean and deviation."""
        from mlp_core.data.polynomial_features import standardizer

        return standardizer(data.train_inputs)


@dataclass(frozen=True)
class Subset(_Transform):
    """The transform that keeps a random subset of the training examples, the same for all members, and all test ones.

    Images become rows of pixels in -1 .. 1. A smaller training set is kept whole, in random order.

    Attributes:
        size: Number of training examples to keep.
        seed: Root seed of the draw.
        namespace: Seed namespace of the draw: another one gives other examples.
    """

    size: int
    seed: int
    namespace: str
    kind: Literal["subset"] = "subset"

    name = "examples"
    unit = "pixels in -1..1, or x1 and x2"

    @property
    def title(self) -> str:
        """Return what is done, in words."""
        return f"choose {self.size} examples"

    def n_examples(self, n_train: int, n_test: int) -> int:
        """Return the number of examples left: at most `size` train examples, and all test examples."""
        return min(self.size, n_train) + n_test

    def fitted(self, data: Split) -> Callable[[Tensor], Tensor]:
        """Return a function that makes rows `[n, inputs]` of inputs: images uint8 become pixels in -1 .. 1."""
        import torch

        from mlp_core.data.augmentation import normalize

        return lambda inputs: (normalize(inputs) if inputs.dtype == torch.uint8 else inputs).flatten(1)

    def split(self, data: Split) -> Split:
        """Return a data set of the drawn train examples and all test examples, without validation examples."""
        import torch

        from mlp_core.data.datasets import Split
        from mlp_core.seeds import generator

        stream = generator(self.seed, self.namespace, "examples")
        chosen = torch.randperm(len(data.train_labels), generator=stream)[: self.size]
        as_rows = self.fitted(data)
        train, test = as_rows(data.train_inputs[chosen]), as_rows(data.test_inputs)
        return Split(train, data.train_labels[chosen], test, data.test_labels)


@dataclass(frozen=True)
class HoldOut(_Transform):
    """The transform that sets aside a random share of each class's training examples for validation.

    At least one example of each class stays for training; of a class of two or more, at least one is set aside.

    Attributes:
        share: Share of each class's training examples to set aside, above 0 and below 1.
        seed: Root seed of the draw.
        namespace: Seed namespace of the draw: another one gives other examples.
    """

    share: float
    seed: int
    namespace: str
    kind: Literal["hold out"] = "hold out"

    name = "held_out"
    unit = "as the examples"

    @property
    def title(self) -> str:
        """Return what is done, in words."""
        return f"set aside {100 * self.share:g} % for validation"

    def n_train(self, n_train: int, n_classes: int) -> int:
        """Return a lower bound of the number of train examples left, for shares rounded up in each class."""
        return max(0, int(n_train * (1 - self.share)) - n_classes)

    def fitted(self, data: Split) -> Callable[[Tensor], Tensor]:
        """Return a function that leaves inputs unchanged: only the split into train and validation examples changes."""
        return lambda inputs: inputs

    def split(self, data: Split) -> Split:
        """Return a data set in which some training examples are validation examples; test examples stay.

        Example:
            >>> from mlp_core.data.datasets import spirals, split
            >>> parts = HoldOut(0.25, 2021, "sweep").split(split(*spirals()))
            >>> len(parts.train_labels), len(parts.validation_labels), len(parts.test_labels)
            (2400, 800, 800)
        """
        import torch

        from mlp_core.seeds import generator

        labels, stream = data.train_labels, generator(self.seed, self.namespace, "validation")
        is_out = torch.zeros(len(labels), dtype=torch.bool)
        for number in range(int(labels.max()) + 1):
            members = (labels == number).nonzero().flatten()
            n_out = min(max(1, round(self.share * len(members))), max(0, len(members) - 1))
            is_out[members[torch.randperm(len(members), generator=stream)[:n_out]]] = True
        return replace(
            data,
            train_inputs=data.train_inputs[~is_out],
            train_labels=labels[~is_out],
            validation_inputs=data.train_inputs[is_out],
            validation_labels=labels[is_out],
        )


Transform = Monomials | Standardize | Subset | HoldOut


def applied(transforms: tuple[Transform, ...], data: Split) -> Callable[[Tensor], Tensor]:
    """Return a function that applies a configuration's transforms to new examples.

    The function treats new inputs `[n, ...]` as the training data were treated: what a transform learned, such as a
    mean, is learned from `data` as they were before that transform, and once: maps are asked for in many parts.

    Args:
        transforms: Transforms of the configuration, in their order.
        data: The data set before the first transform.

    Example:
        >>> import torch
        >>> from mlp_core.data.datasets import spirals, split
        >>> tuple(applied((Monomials(3),), split(*spirals()))(torch.zeros(5, 2)).shape)
        (5, 9)
    """
    steps = []
    for number, transform in enumerate(transforms, 1):
        steps.append(transform.fitted(data))
        if number < len(transforms):
            data = transform.split(data)

    def apply(inputs: Tensor) -> Tensor:
        for step in steps:
            inputs = step(inputs)
        return inputs

    return apply
