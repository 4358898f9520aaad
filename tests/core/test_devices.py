"""Whatever runs on a plan's device runs on one without float64, as Apple's GPUs are, and gives what the CPU gives."""

from dataclasses import replace

import pytest
import torch
from configurations import config_of, configs_of
from devices import DEVICE, device_without_float64

from mlp_core.data.datasets import Split, spirals, split
from mlp_core.data.polynomial_features import monomials
from mlp_core.engine.members import train_batched
from mlp_core.experiments.ablation.init_diagnostics import measure_at_init
from mlp_core.experiments.depth_sweep.experiment import depth_sweep_trials
from mlp_core.experiments.gain_sweep.experiment import gain_sweep_trials
from mlp_core.experiments.images.experiment import images_trial
from mlp_core.experiments.polynomial.experiment import polynomial_trial

TRAINING = {"learning_rate": 1e-2, "epochs": 2, "batch_size": 32, "seed": 2021, "device": "cpu"}
ADAM, SGD = {**TRAINING, "optimizer": "adam"}, {**TRAINING, "optimizer": "sgd"}
SIZES = ("normal", [16, 8], 3072, 3, 1.407)
PLANS = {
    "per_seed_order": configs_of(depth_sweep_trials, [3], 100, 4, **ADAM, activation="relu"),
    "per_seed_order, tanh": configs_of(depth_sweep_trials, [2], 100, 4, **SGD, activation="tanh"),
    "shared_order": [config_of(polynomial_trial, 10, 4, **ADAM)],
    "shared_augmented": [config_of(images_trial, [16, 8], 3072, 3, **ADAM, activation="relu")],
    "several gains": configs_of(gain_sweep_trials, [0.5, 1.4], *SIZES, **SGD, activation="leaky_relu(0.1)"),
}


def data_of(plan):
    if len(plan.layer_sizes) and plan.layer_sizes[0] == 3072:
        stream = torch.Generator().manual_seed(0)
        images = [torch.randint(0, 255, (n, 3, 32, 32), generator=stream, dtype=torch.uint8) for n in (96, 40)]
        labels = [torch.arange(n) % 3 for n in (96, 40)]
        return Split(images[0], labels[0], images[1], labels[1])
    points = split(*spirals(2021, points_per_arm=40))
    if plan.layer_sizes[0] == 2:
        return points
    inputs = [monomials(part, 10) for part in (points.train_inputs, points.test_inputs)]
    return Split(inputs[0], points.train_labels, inputs[1], points.test_labels)


@pytest.mark.parametrize("name", PLANS)
def test_a_training_needs_no_float64_on_its_device(name):
    """Losses, accuracies and weights are the CPU's up to rounding, and lie on the CPU."""
    plans = PLANS[name]
    data, members = data_of(plans[0]), range(3)
    expected = train_batched(plans, data, members)
    with device_without_float64():
        trained = train_batched([replace(plan, device=DEVICE) for plan in plans], data, members)
    for actual, other in zip(trained, expected, strict=True):
        torch.testing.assert_close(actual.train_loss, other.train_loss, rtol=1e-3, atol=1e-4)
        torch.testing.assert_close(actual.test_accuracy, other.test_accuracy, rtol=0, atol=0.05)
        torch.testing.assert_close(actual.train_accuracy, other.train_accuracy, rtol=0, atol=0.05)
        assert {weights.device.type for weights in actual.state.values()} == {"cpu"}


@pytest.mark.parametrize("name", ["per_seed_order", "per_seed_order, tanh"])
def test_a_diagnosis_needs_no_float64_on_its_device(name):
    """Gradients and dead units before the first step."""
    (plan,) = PLANS[name]
    expected = measure_at_init(plan, data_of(plan), range(3))
    with device_without_float64():
        diagnosis = measure_at_init(replace(plan, device=DEVICE), data_of(plan), range(3))
    for measure, value in vars(expected).items():
        torch.testing.assert_close(getattr(diagnosis, measure), value, rtol=1e-4, atol=1e-7, equal_nan=True)


def test_the_device_is_one_of_its_own():
    """It refuses float64 wherever it comes from, and tensors of two devices in one operation."""
    with device_without_float64():
        there = torch.ones(2, device=DEVICE)
        assert there.device.type == DEVICE
        assert (there + 1).cpu().tolist() == [2, 2]
        for wrong in (
            lambda: there.double(),
            lambda: torch.ones(2).double().to(DEVICE),
            lambda: torch.zeros(2, dtype=torch.float64, device=DEVICE),
            lambda: there.to("cpu", torch.float64),
        ):
            with pytest.raises(TypeError, match="the device has no float64"):
                wrong()
        with pytest.raises(AssertionError, match="on two devices"):
            there + torch.ones(2)
