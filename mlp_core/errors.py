"""Errors that are no defects of the program: one base, whose exit status the command line ends with."""

from __future__ import annotations

from typing import ClassVar


class DeepMlpError(Exception):
    """An end that a user can do something about; whatever else is raised is a defect and keeps its traceback.

    Attributes:
        exit_status: Of the command line.
        said: Whether its sentence was shown when it was raised; otherwise the command line prints it.

    Example:
        >>> InputError.exit_status, ResourceError.exit_status
        (2, 1)
    """

    exit_status: ClassVar[int] = 1
    said: ClassVar[bool] = False


class InputError(DeepMlpError, ValueError):
    """Bad input from the user: one sentence with the setting, the rule, the value and the way out.

    Example:
        >>> raise InputError("gain must be positive, got -1.0; try --gains 0.1:3.0:10.")
        Traceback (most recent call last):
        mlp_core.errors.InputError: gain must be positive, got -1.0; try --gains 0.1:3.0:10.
    """

    exit_status = 2


class ResourceError(DeepMlpError):
    """What a run needs failed or is missing: a full disk, a bucket or server out of reach, a failed download.

    The same command may work later, or elsewhere: the input is not to blame.

    Example:
        >>> raise ResourceError("artifacts must be where there is room, got /tmp/a: No space left; make room.")
        Traceback (most recent call last):
        mlp_core.errors.ResourceError: artifacts must be where there is room, got /tmp/a: No space left; make room.
    """


class Drifted(DeepMlpError):
    """A result moved away from the accepted baseline."""

    said = True


class Stopped(DeepMlpError):
    """The run is being stopped; nothing of the task that it is raised in is kept."""

    exit_status = 130


def disk_error(error: OSError, message: str) -> DeepMlpError:
    """Return the error of a folder that cannot be used: bad input if it is a file, or below one; else its disk's.

    Args:
        error: What the system says.
        message: The sentence for the user.

    Example:
        >>> import errno
        >>> disk_error(OSError(errno.ENOSPC, "No space left on device"), "make room.").exit_status
        1
        >>> disk_error(OSError(errno.ENOTDIR, "Not a directory"), "name a folder.").exit_status
        2
    """
    return InputError(message) if isinstance(error, (FileExistsError, NotADirectoryError)) else ResourceError(message)
