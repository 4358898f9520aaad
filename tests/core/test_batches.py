"""Batches: who sees which examples in which order."""

import math
import threading

import pytest
import torch
from torch.nn.functional import cross_entropy

from mlp_core.data.augmentation import draw_augmentations, normalize, rotate_and_flip
from mlp_core.engine.batches import augmented_epochs, per_seed_epochs, shared_epochs


def generators(*seeds):
    return [torch.Generator().manual_seed(seed) for seed in seeds]


def numbered(n):
    """Return n examples whose two features give their number away, and labels 0, 1, 2, 0, ..."""
    numbers = torch.arange(float(n))
    return torch.stack([numbers, numbers + 0.5], 1), torch.arange(n) % 3


def taken(epochs):
    """Return the batches of every epoch, copied before the next one overwrites them."""
    return [[(batch.inputs.clone(), batch.targets.clone()) for batch in batches] for batches in epochs]


def private(n, seeds, **options):
    return taken(per_seed_epochs(*numbered(n), generators(*seeds), n_classes=3, **options))


def shared(n, seed, **options):
    return taken(shared_epochs(*numbered(n), *generators(seed), n_classes=3, **options))


def numbers_of(batches):
    """Return the examples' numbers in the order of an epoch, `[n]` or `[members, n]`."""
    return torch.cat([inputs[..., 0, :] for inputs, _ in batches], -1)


def test_every_member_has_an_order_of_its_own():
    """A member's epochs follow the permutations of its own generator, one after another."""
    epochs = private(23, (5, 6), n_epochs=3, batch_size=10)
    streams = generators(5, 6)
    for batches in epochs:
        expected = torch.stack([torch.randperm(23, generator=stream) for stream in streams])
        assert torch.equal(numbers_of(batches), expected.float())
        assert not torch.equal(*expected)


def test_shared_batches_follow_one_generator():
    """All members see the permutations of a single generator, one after another."""
    (stream,) = generators(5)
    for batches in shared(23, 5, n_epochs=3, batch_size=10):
        assert torch.equal(numbers_of(batches), torch.randperm(23, generator=stream).float())


def test_what_fails_ahead_is_raised_where_batches_are_asked_for():
    """Here a label is missing that the second thread asks for."""
    images, labels = torch.zeros(1100, 3, 32, 32, dtype=torch.uint8), torch.zeros(1099, dtype=torch.int64)
    streams = (torch.Generator().manual_seed(seed) for seed in range(100))
    seed = next(seed for seed, stream in enumerate(streams) if 1099 in torch.randperm(1100, generator=stream)[1024:])
    epochs = augmented_epochs(images, labels, *generators(seed), n_classes=2, n_epochs=1, batch_size=64)
    batches = next(epochs)
    for _ in range(16):
        next(batches)
    with pytest.raises(RuntimeError, match="out of DATA bounds"):
        next(batches)


def test_the_second_thread_ends_with_its_epochs():
    """Also if the batches are half read and kept, as in the traceback of a training that failed."""
    n_threads = threading.active_count()
    images, labels = torch.zeros(1100, 3, 32, 32, dtype=torch.uint8), torch.zeros(1100, dtype=torch.int64)
    epochs = augmented_epochs(images, labels, *generators(0), n_classes=2, n_epochs=1, batch_size=64)
    batches = next(epochs)
    next(batches)
    assert threading.active_count() > n_threads
    epochs.close()
    assert threading.active_count() == n_threads


def test_a_members_batches_do_not_depend_on_company():
    """A member alone sees what it sees among others, wherever it stands."""
    options = {"n_epochs": 2, "batch_size": 4}
    company = private(12, (1, 2, 3), **options)
    alone, turned = private(12, (3,), **options), private(12, (3, 2, 1), **options)
    for epoch, batches in enumerate(company):
        for step, parts in enumerate(batches):
            for part, values in enumerate(parts):
                assert torch.equal(alone[epoch][step][part][0], values[2])
                assert torch.equal(turned[epoch][step][part].flip(0), values)


@pytest.mark.parametrize(
    ("n", "drop_last", "sizes"),
    [
        (20, False, [8, 8, 4]),
        (20, True, [8, 8]),
        (16, False, [8, 8]),
        (16, True, [8, 8]),
        (5, False, [5]),
        (5, True, []),
    ],
)
def test_a_short_batch_is_kept_or_left_out(n, drop_last, sizes):
    """Full batches are always there; only the last short one depends on the choice."""
    (batches,) = private(n, (0, 1), n_epochs=1, batch_size=8, drop_last=drop_last)
    assert [targets.shape for _, targets in batches] == [(2, 3, size) for size in sizes]
    assert [inputs.shape for inputs, _ in batches] == [(2, 3, size) for size in sizes]


def test_shared_short_batches_are_kept():
    """The last batch of a shared epoch holds what is left."""
    (batches,) = shared(20, 0, n_epochs=1, batch_size=8)
    assert [targets.shape[-1] for _, targets in batches] == [8, 8, 4]


@pytest.mark.parametrize("make", [private, shared])
def test_targets_make_the_mean_cross_entropy(make):
    """Inputs keep their labels, the constant is 1, and targets give PyTorch's mean loss, in short batches too."""
    stream = torch.Generator().manual_seed(8)
    (batches,) = make(20, (4, 5) if make is private else 4, n_epochs=1, batch_size=8)
    for inputs, targets in batches:
        pairs = zip(inputs, targets, strict=True) if inputs.dim() == 3 else [(inputs, targets)]
        for features, part in pairs:
            labels = features[0].long() % 3
            assert torch.equal(features[1], features[0] + 0.5)
            assert bool((features[2] == 1).all())
            logits = torch.randn(part.shape, generator=stream)
            expected = cross_entropy(logits.T, labels)
            torch.testing.assert_close((part * logits.log_softmax(0)).sum(), expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("n", [7, 64, 150])
def test_augmented_batches_are_rotated_and_flipped_images(n):
    """Order, angles and flips come from the generator, epoch by epoch; batches of 4, so 150 take three chunks."""
    images = torch.randint(0, 256, (n, 3, 8, 8), dtype=torch.uint8, generator=generators(1)[0])
    labels = torch.arange(n) % 3
    options = {"n_classes": 3, "n_epochs": 3, "batch_size": 4}
    (stream,) = generators(2)
    epochs = taken(augmented_epochs(images, labels, *generators(2), **options))
    assert len(epochs) == 3
    for batches in epochs:
        order = torch.randperm(n, generator=stream)
        turned = rotate_and_flip(images[order], *draw_augmentations(n, stream))
        assert len(batches) == math.ceil(n / 4)
        pixels = torch.cat([inputs for inputs, _ in batches], 1)
        assert torch.equal(pixels[:-1].T, normalize(turned).flatten(1))
        assert bool((pixels[-1] == 1).all())
        assert torch.equal(torch.cat([targets.argmin(0) for _, targets in batches]), labels[order])
        assert torch.equal(batches[-1][1].sum(), torch.tensor(-1.0))


def test_the_global_generator_is_left_alone():
    """Shuffling neither reads nor advances PyTorch's global generator."""
    before = torch.get_rng_state()
    private(20, (0, 1), n_epochs=2, batch_size=8)
    shared(20, 0, n_epochs=2, batch_size=8)
    assert torch.equal(torch.get_rng_state(), before)
