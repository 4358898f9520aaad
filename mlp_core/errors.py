"""Errors that are no defects of the program: one base, whose exit status the command line ends with."""

from __future__ import annotations

from typing import ClassVar


class DeepMlpError(Exception):
    """Base of the errors that a user can do something about; any other exception is a defect and keeps its traceback.

    Attributes:
        exit_status: Exit status of the command line.
        said: True if the sentence was printed before the error was raised; if false, the command line prints it.

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
    """A resource that a run needs failed or is missing: a full disk, an S3 bucket out of reach, a failed download.

    The same command may work later, or elsewhere: the input is not to blame.

    Example:
        >>> raise ResourceError("artifacts must be where there is room, got /tmp/a: No space left; make room.")
        Traceback (most recent call last):
        mlp_core.errors.ResourceError: artifacts must be where there is room, got /tmp/a: No space left; make room.
    """


class Drifted(DeepMlpError):
    """Results differ significantly from the accepted baseline, and the user asked to fail in that case."""

    said = True


class Stopped(DeepMlpError):
    """The user stops the run; the task in which this is raised keeps no result."""

    exit_status = 130


def disk_error(error: OSError, message: str) -> DeepMlpError:
    """Return the error to raise for a folder that cannot be used.

    It is an `InputError` if the path is a file or lies below one, otherwise a `ResourceError`, as for a full disk.

    Args:
        error: Error of the operating system.
        message: Sentence for the user.

    Example:
        >>> import errno
        >>> disk_error(OSError(errno.ENOSPC, "No space left on device"), "make room.").exit_status
        1
        >>> disk_error(OSError(errno.ENOTDIR, "Not a directory"), "name a folder.").exit_status
        2
    """
    return InputError(message) if isinstance(error, (FileExistsError, NotADirectoryError)) else ResourceError(message)
