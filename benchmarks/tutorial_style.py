"""The tutorial's way: a `DataLoader`, an `nn.Sequential`, a `torch.optim` optimizer, one network after the other."""

from __future__ import annotations

import io
from collections.abc import Sequence
from functools import cache
from itertools import pairwise
from typing import Any

import torch
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader, Dataset, TensorDataset
from torchvision import transforms
from torchvision.datasets import ImageFolder

from benchmarks.work import ARMS, SEED, Outcome, Work, load
from mlp_core.data import datasets
from mlp_core.engine.configs import TrainConfig
from mlp_core.engine.members import member_seed
from mlp_core.experiments.polynomial.experiment import Polynomial

_ACTIVATIONS = {"relu": nn.ReLU, "leaky_relu(0.1)": lambda: nn.LeakyReLU(0.1)}
_OPTIMIZERS = {"adam": torch.optim.Adam, "sgd": torch.optim.SGD}
_MOVES = [transforms.RandomRotation(10), transforms.RandomHorizontalFlip()]
_TO_NUMBERS = [transforms.ToTensor(), transforms.Normalize((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))]


def train(work: Work, members: Sequence[int]) -> Outcome:
    """Train one network after the other as the tutorial does, and return their test accuracies."""
    train_loader, test_loader = loaders(work)
    accuracies = []
    for config in work.configs:
        for member in members:
            *_, accuracy = train_one(config, member, train_loader, test_loader)
            accuracies.append(accuracy)
    return Outcome(accuracies)


def train_one(
    config: TrainConfig, member: int, train_loader: DataLoader[Any], test_loader: DataLoader[Any]
) -> tuple[float, float, float]:
    """Train one network as the tutorial does.

    Returns:
        The mean loss of the last epoch in nats, the training accuracy and the test accuracy.
    """
    torch.manual_seed(member_seed(config, member))
    model = network(config)
    losses = _fit(model, train_loader, config)[-len(train_loader) :]
    return sum(losses) / len(losses), _accuracy(model, train_loader), _accuracy(model, test_loader)


def loaders(work: Work) -> tuple[DataLoader[Any], DataLoader[Any]]:
    """Return loaders of train and test examples, with the tutorial's numbers of worker processes."""
    config = work.configs[0]
    if work.image_files:
        folder = work.image_files.folder
        train: Dataset[Any] = ImageFolder(folder / "train", transforms.Compose(_MOVES + _TO_NUMBERS))
        test: Dataset[Any] = ImageFolder(folder / "test", transforms.Compose(_TO_NUMBERS))
        n_workers = 0, 1
    else:
        data = load(work)
        train = TensorDataset(data.train_inputs, data.train_labels)
        test = TensorDataset(data.test_inputs, data.test_labels)
        n_workers = (1, 1) if config.inputs else (0, 0)
    # fork, else each worker imports torch anew; in a process that was spawned it is not the default
    contexts = ["fork" if n else None for n in n_workers]
    drop_last = config.batches == "per_seed_order"
    return (
        DataLoader(
            train,
            config.batch_size,
            shuffle=True,
            num_workers=n_workers[0],
            drop_last=drop_last,
            multiprocessing_context=contexts[0],
        ),
        DataLoader(test, config.batch_size, num_workers=n_workers[1], multiprocessing_context=contexts[1]),
    )


def network(config: TrainConfig) -> nn.Sequential:
    """Return an untrained `nn.Sequential` for a configuration, with its initialization."""
    layers: list[nn.Module] = [nn.Flatten()]
    for n_inputs, n_outputs in pairwise(config.layer_sizes):
        layer = nn.Linear(n_inputs, n_outputs)
        if config.scheme == "xavier_normal":
            nn.init.xavier_normal_(layer.weight, config.gains[0])
        layers += [layer, _ACTIVATIONS[config.activation]()]
    return nn.Sequential(*layers[:-1])


def _fit(model: nn.Module, loader: DataLoader[Any], config: TrainConfig) -> list[float]:
    criterion = nn.CrossEntropyLoss()
    optimizer = _OPTIMIZERS[config.optimizer](model.parameters(), lr=config.learning_rate)
    losses = []
    for _ in range(config.epochs):
        for inputs, labels in loader:
            optimizer.zero_grad()
            loss = criterion(model(inputs), labels)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    return losses


def _accuracy(model: nn.Module, loader: DataLoader[Any]) -> float:
    n_correct = n_examples = 0
    for inputs, labels in loader:
        n_correct += int((model(inputs).argmax(1) == labels).sum())
        n_examples += len(labels)
    return n_correct / n_examples


def augment(work: Work, members: Sequence[int], *, decoded: bool = False) -> Outcome:
    """Load the augmented batches of one epoch of images for each member; train nothing.

    Args:
        work: The images.
        members: Numbers of the members.
        decoded: Whether images were decoded before; if not, they are read from their files.
    """
    loader, _ = loaders(work)
    if decoded:
        transform = transforms.Compose(_MOVES + _TO_NUMBERS)
        loader = DataLoader(
            _decoded(work),
            work.configs[0].batch_size,
            shuffle=True,
            collate_fn=lambda images: torch.stack([transform(image) for image in images]),
        )
    for _ in members:
        for _batch in loader:
            pass
    return Outcome([])


@cache
def _decoded(work: Work) -> list[Image.Image]:
    return [Image.fromarray(pixels.permute(1, 2, 0).numpy()) for pixels in load(work).train_inputs]


def decide(work: Work, members: Sequence[int]) -> Outcome:
    """Compute and draw the polynomial's decision map as the tutorial does: all 250,000 points at once."""
    from matplotlib.image import imsave

    degree, model = Polynomial().degree, network(work.configs[0])
    test = datasets.split(*datasets.spirals(SEED), SEED)
    axis = torch.linspace(-2, 2, 500)
    x1, x2 = torch.cartesian_prod(axis, axis).unbind(1)
    for _ in members:
        powers = [(i, j) for i in range(degree + 1) for j in range(degree + 1) if 0 < i + j <= degree]
        features = torch.zeros(len(x1), len(powers))
        for column, (i, j) in enumerate(powers):
            features[:, column] = x1**i * x2**j
        classes = model(features).argmax(1)
        for point, label in zip(test.test_inputs, test.test_labels, strict=True):
            classes[(x1 - point[0]) ** 2 + (x2 - point[1]) ** 2 < 1e-3] = ARMS + label
        imsave(io.BytesIO(), classes.view(500, 500).numpy(), format="png")
    return Outcome([])
