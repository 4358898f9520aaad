"""What is done to examples before a network sees them: a part of its configuration. No torch until one is applied."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
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
        """Return what is done, in words."""
        raise NotImplementedError

    def n_inputs(self, n_inputs: int) -> int:
        """Return how many inputs an example has afterwards."""
        return n_inputs

    def n_examples(self, n_train: int, n_test: int) -> int:
        """Return how many examples there are afterwards."""
        return n_train + n_test

    def n_train(self, n_train: int, n_classes: int) -> int:
        """Return how many training examples there are afterwards at least."""
        return n_train

    def apply(self, data: Split, inputs: Tensor) -> Tensor:
        """Return inputs `[n, ...]` transformed as the data are, with what was learned from their training part."""
        raise NotImplementedError

    def split(self, data: Split) -> Split:
        """Return the data transformed."""
        train, test = (self.apply(data, inputs) for inputs in (data.train_inputs, data.test_inputs))
        validation = None if data.validation_inputs is None else self.apply(data, data.validation_inputs)
        return replace(data, train_inputs=train, test_inputs=test, validation_inputs=validation)


@dataclass(frozen=True)
class Monomials(_Transform):
    """Points become all monomials of their two coordinates up to a total degree.

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

    def apply(self, data: Split, inputs: Tensor) -> Tensor:
        """Return the monomials `[n, monomials]` of points `[n, 2]`."""
        from mlp_core.data.polynomial_features import monomials

        return monomials(inputs, self.degree)


@dataclass(frozen=True)
class Standardize(_Transform):
    """Inputs are shifted and scaled to mean 0 and standard deviation 1 on the training set."""

    kind: Literal["standardize"] = "standardize"

    name = "standardized"
    unit = "standard deviations from the mean"

    @property
    def title(self) -> str:
        """Return what is done, in words."""
        return "standardize inputs"

    def apply(self, data: Split, inputs: Tensor) -> Tensor:
        """Return inputs shifted and scaled by the training set's mean and deviation."""
        from mlp_core.data.polynomial_features import standardized

        return standardized(inputs, data.train_inputs)


@dataclass(frozen=True)
class Subset(_Transform):
    """Training examples are drawn once for all, the whole set if it is smaller; images become pixels in -1 .. 1.

    Attributes:
        size: Training examples to keep.
        seed: Root seed of the draw.
        namespace: Of the draw: another one gives other examples.
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
        """Return how many examples are left."""
        return min(self.size, n_train) + n_test

    def apply(self, data: Split, inputs: Tensor) -> Tensor:
        """Return images as pixels `[n, pixels]`, and anything else as it is."""
        import torch

        from mlp_core.data.augmentation import normalize

        return (normalize(inputs) if inputs.dtype == torch.uint8 else inputs).flatten(1)

    def split(self, data: Split) -> Split:
        """Return the drawn training examples and all test examples."""
        import torch

        from mlp_core.data.datasets import Split
        from mlp_core.seeds import generator

        stream = generator(self.seed, self.namespace, "examples")
        chosen = torch.randperm(len(data.train_labels), generator=stream)[: self.size]
        train = self.apply(data, data.train_inputs[chosen])
        return Split(train, data.train_labels[chosen], self.apply(data, data.test_inputs), data.test_labels)


@dataclass(frozen=True)
class HoldOut(_Transform):
    """A part of the training examples is set aside for validation, of each class the same share.

    Of each class one example at least stays for training; of a class of two or more one at least is set aside.

    Attributes:
        share: Of each class's training examples, above 0 and below 1.
        seed: Root seed of the draw.
        namespace: Of the draw: another one gives other examples.
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
        """Return how many are left if each class's share is rounded up."""
        return max(0, int(n_train * (1 - self.share)) - n_classes)

    def apply(self, data: Split, inputs: Tensor) -> Tensor:
        """Return inputs as they are."""
        return inputs

    def split(self, data: Split) -> Split:
        """Return the data with validation examples.

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
    """Return what makes a network's inputs of new examples, as its training data were made of theirs.

    Args:
        transforms: Of the configuration, in their order.
        data: As they were before the first of them.

    Example:
        >>> import torch
        >>> from mlp_core.data.datasets import spirals, split
        >>> tuple(applied((Monomials(3),), split(*spirals()))(torch.zeros(5, 2)).shape)
        (5, 9)
    """
    steps = []
    for number, transform in enumerate(transforms, 1):
        steps.append((transform, data))
        if number < len(transforms):
            data = transform.split(data)

    def apply(inputs: Tensor) -> Tensor:
        for transform, before in steps:
            inputs = transform.apply(before, inputs)
        return inputs

    return apply
