"""The program `deep-mlp`: makes sure of the system and of its own packages, then hands over to the command line."""

import sys
from pathlib import Path

# A tasks.py or flows.py of the user's own on PYTHONPATH would come first; worker processes inherit this path
sys.path.insert(0, str(Path(__file__).resolve().parent))


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
