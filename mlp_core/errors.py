"""Errors that are no defects of the program."""


class InputError(ValueError):
    """Bad input from the user: one sentence with the setting, the rule, the value and the way out.

    The command line prints the sentence alone and exits with status 2; everything else that is raised
    is a defect of the program and keeps its traceback.

    Example:
        >>> raise InputError("gain must be positive, got -1.0; try --gains 0.1:3.0:10.")
        Traceback (most recent call last):
        mlp_core.errors.InputError: gain must be positive, got -1.0; try --gains 0.1:3.0:10.
    """


class Drifted(RuntimeError):
    """A figure moved away from the accepted baseline; the command line exits with status 1."""
