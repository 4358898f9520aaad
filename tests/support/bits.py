"""`python bits.py`: print the SHA-256 of small networks, of linear ones, of wider ones, and of a first layer.

Another processor's are those of a process of its own, since a library chooses its arithmetic as it is loaded.
"""

import hashlib
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import torch
from configurations import configs_of

from mlp_core.activations import ACTIVATION_NAMES
from mlp_core.data.datasets import Split, spirals, split
from mlp_core.engine.configs import TrainConfig, Training
from mlp_core.engine.members import train_members
from mlp_core.engine.networks import Ensemble, aligned_rows
from mlp_core.engine.products import member_matrices
from mlp_core.engine.wide_layer import ADAM, SGD, WideLayer
from mlp_core.experiments.depth_sweep.experiment import depth_sweep_trials

TRAINING = {"optimizer": "adam", "learning_rate": 1e-2, "epochs": 5, "batch_size": 50, "seed": 2021, "device": "cpu"}


def plans():
    """Return a depth sweep, and one of its networks with each activation and optimizer, and with shared batches."""
    sweep = configs_of(depth_sweep_trials, [1, 2, 3, 4, 5], 100, 4, **TRAINING, activation="relu")
    names = [name.replace("SLOPE", "0.1") for name in ACTIVATION_NAMES]
    variants = [replace(sweep[1], activation=name, optimizer=kind) for name in names for kind in ("adam", "sgd")]
    return [*sweep, *variants, replace(sweep[2], batches="shared_order")]


def digest(plan):
    """Return the SHA-256 of four members of a plan."""
    members = train_members(plan, split(*spirals(2021, points_per_arm=100), 2021), range(4))
    parts = (*members.state.values(), members.train_loss, members.train_accuracy, members.test_accuracy)
    return hashlib.sha256(b"".join(part.numpy().tobytes() for part in parts)).digest()


def linear_digest():
    """Return the SHA-256 of the weights and losses of networks of one layer, on inputs that are the same everywhere."""
    sha256 = hashlib.sha256()
    stream = torch.Generator().manual_seed(0)
    inputs, labels = torch.rand(300, 200, generator=stream), torch.randint(0, 3, (300,), generator=stream)
    for optimizer, batches in (("adam", "shared_order"), ("sgd", "per_seed_order")):
        config = TrainConfig.of(Training(optimizer=optimizer, epochs=5, batch_size=70), "any", "any", (200, 3), batches)
        members = train_members(config, Split(inputs, labels, inputs, labels), range(3))
        for part in (*members.state.values(), members.train_loss):
            sha256.update(part.numpy().tobytes())
    return sha256.hexdigest()


def wide_digest():
    """Return the SHA-256 of networks whose rows fill no whole tile, their inputs no whole vector, with validation."""
    sha256, stream = hashlib.sha256(), torch.Generator().manual_seed(0)
    inputs, labels = torch.rand(300, 37, generator=stream), torch.randint(0, 10, (300,), generator=stream)
    data = Split(inputs, labels, inputs, labels, validation_inputs=inputs[:99], validation_labels=labels[:99])
    for sizes in ((37, 13, 10), (37, 24, 18, 10)):
        config = TrainConfig.of(Training(epochs=5, batch_size=70), "any", "any", sizes, "per_seed_order")
        members = train_members(config, data, range(3))
        validated = torch.from_numpy(members.validation.accuracy)
        for part in (*members.state.values(), members.train_loss, members.train_accuracy, validated):
            sha256.update(part.numpy().tobytes())
    return sha256.hexdigest()


def wide_layer_digest():
    """Return the SHA-256 of a layer of three members on 530 inputs: results, two steps of Adam, a step of SGD."""
    stream = torch.Generator().manual_seed(0)
    ensemble = Ensemble([529, 13, 3], "relu", [stream] * 3)
    rows, (layer, _) = aligned_rows(40, 530), ensemble.layers
    rows.copy_(torch.rand(40, 530, generator=stream))
    out, deltas = (member_matrices(layer, 3, 13, 40) for _ in range(2))
    first, powers = WideLayer(layer, out, deltas), np.ones(2)
    moments = [ensemble.views(torch.zeros_like(ensemble.parameters))[0] for _ in range(2)]
    adam, sgd = first.descent(ADAM, layer, 0.01, 0.1, moments, powers), first.descent(SGD, layer, 0.01)
    sha256 = hashlib.sha256()
    for step in (adam, adam, sgd):
        first.multiply(rows.mT)
        deltas.copy_(out)
        step(rows)
        for numbers in (out, layer):
            sha256.update(numbers.numpy().tobytes())
    return sha256.hexdigest()


def all_digests():
    """Return the SHA-256 of the small networks, of the linear ones, of wider ones, and of a first layer."""
    with ThreadPoolExecutor(2) as threads:
        digests = b"".join(threads.map(digest, plans()))
    return [hashlib.sha256(digests).hexdigest(), linear_digest(), wide_digest(), wide_layer_digest()]


if __name__ == "__main__":
    sys.stdout.write(" ".join(all_digests()))
