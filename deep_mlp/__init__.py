"""The face of the laboratory for notebooks: train an ensemble of small networks on your own data.

Example:
    >>> import deep_mlp as dm
    >>> data = dm.spirals(seed=2021)
    >>> ensemble = dm.train(data, hidden=(6, 6, 6), seeds=8, epochs=2)
    >>> ensemble.test_accuracy.shape
    (8,)

What is listed in `__all__` stays as it is from one release to the next; everything else may change.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from deep_mlp._comparison import Comparison, compare
    from deep_mlp._ensemble import Summary, TrainedEnsemble, spirals, train
    from deep_mlp._estimator import EnsembleMLPClassifier
    from deep_mlp._images import images
    from deep_mlp._theory import Theory, theory
    from mlp_core.data.datasets import Split
    from mlp_core.errors import DeepMlpError, InputError

_HOME = {
    "Comparison": "deep_mlp._comparison",
    "DeepMlpError": "mlp_core.errors",
    "EnsembleMLPClassifier": "deep_mlp._estimator",
    "InputError": "mlp_core.errors",
    "Split": "mlp_core.data.datasets",
    "Summary": "deep_mlp._ensemble",
    "Theory": "deep_mlp._theory",
    "TrainedEnsemble": "deep_mlp._ensemble",
    "compare": "deep_mlp._comparison",
    "images": "deep_mlp._images",
    "spirals": "deep_mlp._ensemble",
    "theory": "deep_mlp._theory",
    "train": "deep_mlp._ensemble",
}

__version__ = version("deep-mlp")
__all__ = [
    "Comparison",
    "DeepMlpError",
    "EnsembleMLPClassifier",
    "InputError",
    "Split",
    "Summary",
    "Theory",
    "TrainedEnsemble",
    "compare",
    "images",
    "spirals",
    "theory",
    "train",
]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used, not with the package: torch alone takes a second."""
    if name not in _HOME:
        message = f"module 'deep_mlp' has no attribute {name!r}"
        raise AttributeError(message)
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    """Return the public names and `__version__`, for `dir` and for completion in a notebook."""
    return [*__all__, "__version__"]
