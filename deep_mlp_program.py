"""The program `deep-mlp`: makes sure of the system and of its own packages, then hands over to the command line."""

import os
import sys
from pathlib import Path

# A tasks.py or prefect.py of the user's own on PYTHONPATH would come first, in child processes too
_own = str(Path(__file__).resolve().parent)
_listed = os.environ.get("PYTHONPATH", "").split(os.pathsep)
_of_user = {os.path.abspath(name) for name in _listed if name}  # noqa: PTH100 as Python does
sys.path[:] = [_own, *sorted((name for name in sys.path if name != _own), key=_of_user.__contains__)]
if _of_user:
    os.environ["PYTHONPATH"] = os.pathsep.join(sys.path)


def main() -> None:
    """Run the program, on Linux and macOS: it needs locks, signals and processes that Windows does not have."""
    if sys.platform == "win32":
        sys.stderr.write(
            "deep-mlp: the system must be Linux or macOS, got Windows; "
            "run the same commands in WSL2 (learn.microsoft.com/windows/wsl/install).\n"
        )
        sys.exit(2)
    from tasks.process import left_at_end

    with left_at_end():
        from flows.command_line import main

        main()
