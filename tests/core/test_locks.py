"""Locks: who holds a file or folder keeps others out, or shares it."""

import pytest

from mlp_core.artifacts.locks import acquire, opened_folder, try_acquire


class Interrupted(Exception):
    """Raised by who waits."""


def interrupt():
    raise Interrupted


def test_a_shared_lock_lets_others_share_and_nobody_alone(tmp_path):
    """As the runs in a folder, and a pruning."""
    with opened_folder(tmp_path) as first, opened_folder(tmp_path) as second:
        assert try_acquire(first, tmp_path, shared=True)
        assert try_acquire(second, tmp_path, shared=True)
        with opened_folder(tmp_path) as third:
            assert not try_acquire(third, tmp_path)
            with pytest.raises(Interrupted):
                acquire(third, tmp_path, waiting=interrupt)


def test_a_lock_ends_with_its_file(tmp_path):
    """The next one holds it alone, and has a shared one in its place if it asks for that."""
    path = tmp_path / "lock"
    with path.open("w") as first, path.open("a+") as second:
        acquire(first, path)
        assert not try_acquire(second, path, shared=True)
        first.close()
        acquire(second, path, waiting=interrupt)
        with path.open("r") as third:
            assert not try_acquire(third, path, shared=True)
            acquire(second, path, shared=True)
            assert try_acquire(third, path, shared=True)


def test_who_waits_goes_on_when_the_other_has_ended(tmp_path):
    """What is called meanwhile may be what ends it."""
    with opened_folder(tmp_path) as mine:
        other = (tmp_path / "file").open("w")
        acquire(other, tmp_path / "file")
        with (tmp_path / "file").open("w") as again:
            acquire(again, tmp_path / "file", waiting=other.close)
        assert other.closed
        assert try_acquire(mine, tmp_path)
