"""Seeds and generators: what a stream depends on, and what not."""

import hashlib
import itertools

import pytest
import torch

from mlp_core.seeds import derive_seed, generator


def test_a_seed_is_the_head_of_a_digest():
    """The recipe is fixed: another one would change every published number."""
    digest = hashlib.sha256(b"2021\x1fstr:depth_sweep\x1fint:3").hexdigest()
    assert derive_seed(2021, "depth_sweep", 3) == int(digest[:16], 16) // 2


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ((1, "a"), (2, "a")),
        ((1, "a"), (1, "b")),
        ((1, "a", "b"), (1, "b", "a")),
        ((1, "a", 0), (1, "a", 1)),
        ((1, "a", 1), (1, "a", "1")),
        ((1, "ab"), (1, "a", "b")),
        ((1, 2), (12,)),
        ((1,), (1, "")),
    ],
)
def test_every_label_counts(first, second):
    """Root, labels, their order and their type all change the seed."""
    assert derive_seed(*first) != derive_seed(*second)


def test_members_get_seeds_of_their_own():
    """Thousands of members of several experiments share no seed, and each seed fits a generator."""
    labels = itertools.product((0, 2021, 2**63 - 1), ("depth_sweep", "images"), range(2000))
    seeds = {derive_seed(*label) for label in labels}
    assert len(seeds) == 3 * 2 * 2000
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_a_stream_is_the_same_every_time_and_for_nobody_else():
    """Equal labels give equal numbers, whatever was drawn before; other labels give other numbers."""
    first = torch.rand(100, generator=generator(1, "weights", 0))
    torch.rand(7, generator=generator(1, "weights", 1))
    assert torch.equal(torch.rand(100, generator=generator(1, "weights", 0)), first)
    assert not torch.isclose(torch.rand(100, generator=generator(1, "weights", 1)), first).any()


def test_the_global_generator_is_left_alone():
    """Making and using a stream does not touch PyTorch's global generator."""
    before = torch.get_rng_state()
    torch.rand(3, generator=generator(1, "weights"))
    assert torch.equal(torch.get_rng_state(), before)
