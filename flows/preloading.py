"""What a run will need, imported before it does: while a server starts or answers, in a thread, in the helper process.

Nothing that a cached run does without: what trains and draws is loaded when the artifact folder is not there yet.
"""

from __future__ import annotations

import ctypes
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from flows.server import healthy
from mlp_core.artifacts.paths import artifact_folder
from tasks.helper_process import preload_in_helper, start_second_helper
from tasks.run_settings import ImageRunSettings, RunSettings
from tasks.stages import Stage

# What Prefect itself imports when a flow begins comes first
_REPORT = "mlp_core.report.page"
_SLOW_MODULES = "prefect.flow_engine", "fastapi.encoders", _REPORT
_TRAINING = "mlp_core.engine.small"
_SLOW_TRAINING_MODULES = "torch", "mlp_core.engine.members", _TRAINING
_DECODING = "mlp_core.data.images"
_SECONDS_BETWEEN_QUESTIONS = 0.05


def all_is_to_be_made(run: RunSettings) -> bool:
    """Return whether a run will train in this process and find nothing in the cache."""
    return run.runner == "threads" and not artifact_folder(run.artifacts).exists()


def preload_until_healthy(url: str, *, trains: bool) -> None:
    """Import slow modules, one after the other, until a server answers at an API address.

    Args:
        url: The address.
        trains: Whether what trains is imported too, which takes longer than all else: a cached run does without.
    """
    ended = threading.Event()

    def wait() -> None:  # in a thread: a server that is only starting keeps who asks it waiting
        while not ended.is_set() and not healthy(url):
            time.sleep(_SECONDS_BETWEEN_QUESTIONS)
        ended.set()

    threading.Thread(target=wait, daemon=True).start()
    for module in (*_SLOW_MODULES, *(_SLOW_TRAINING_MODULES if trains else ())):
        if ended.is_set():  # nothing waits for what is left
            break
        with suppress(ImportError):  # who needs it gets the error
            import_module(module)
    ended.set()


def preload_helper(stages: Sequence[Stage], run: RunSettings) -> None:
    """Let helper processes import in the background what a run's experiments need there.

    Args:
        stages: The experiments.
        run: The run's settings.
    """
    if isinstance(run, ImageRunSettings):  # which two decode
        preload_in_helper(_DECODING)
        start_second_helper(_DECODING)
        return
    for stage in stages:
        for module in stage.experiment.in_helper:
            preload_in_helper(module)


def load_torch_library() -> None:
    """Load torch's shared libraries in a thread that leaves the interpreter to the imports of others meanwhile."""
    _in_background(_load_torch_library)


def preload_training(run: RunSettings) -> None:
    """Import what trains, then what reports, in a thread, while the server is asked; not before images are decoded.

    To know the devices, a flow would wait for torch, and so would the decoding, which takes longer.
    """
    if not isinstance(run, ImageRunSettings):
        _in_background(_import_all, _TRAINING, _REPORT)


def _import_all(*modules: str) -> None:
    for module in modules:
        import_module(module)


def _load_torch_library() -> None:
    spec = find_spec("torch")
    if spec and spec.origin:
        for library in Path(spec.origin).parent.glob("lib/libtorch_python.*"):
            ctypes.CDLL(str(library))


def _in_background(function: Callable[..., object], *arguments: str) -> None:
    def work() -> None:
        with suppress(Exception):  # who needs it gets the error
            function(*arguments)

    threading.Thread(target=work, daemon=True).start()
