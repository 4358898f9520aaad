"""When a task's result may be taken from the cache: same name, same inputs, same code, same libraries, same bytes."""

from __future__ import annotations

import json
from collections import UserList
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from functools import cache
from importlib.metadata import version as read_version
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from prefect.cache_policies import NO_CACHE, CachePolicy
from prefect.context import TaskRunContext
from prefect.filesystems import LocalFileSystem, RemoteFileSystem
from prefect.results import get_result_store
from prefect.serializers import JSONSerializer, prefect_json_object_decoder

from mlp_core.artifacts.backends import backend_of
from mlp_core.artifacts.paths import artifact_folder
from mlp_core.artifacts.storage import Artifact, code_digest, settings_digest, versions
from tasks.context import RECORDS, RunContext, logger

if TYPE_CHECKING:
    from prefect.client.schemas.objects import State
    from upath import UPath

version = cache(read_version)  # it reads all that the package says of itself, and each task asks


def is_from_cache(state: State[Any]) -> bool:
    """Return whether a task took its result from the cache, and did not run.

    Prefect says so by the documented name of the state and in no other way: type and details are those of a task that
    ran.

    Args:
        state: The task's final state.

    Example:
        >>> from prefect.states import Completed
        >>> is_from_cache(Completed(name="Cached")), is_from_cache(Completed())
        (True, False)

    Source:
        Prefect's documentation, "States": `Cached`, of type COMPLETED.
    """
    return state.name == "Cached"


class VerifiedResultStorage(LocalFileSystem):
    """Prefect's storage of result records in a local folder; a record that was written for another key is rejected.

    Attributes:
        artifacts: The artifact folder that the records belong to.
    """

    _block_type_name = "Records of deep-mlp"
    artifacts: str

    async def aread_path(self, path: str) -> bytes:
        """Return the content of a record; the same as `read_path`, asynchronous.

        Raises:
            ValueError: If the record was written for another key.
        """
        return _of_key(await super().aread_path(path), path)

    def read_path(self, path: str, _sync: bool | None = None) -> bytes:  # type: ignore[override] # declared async
        """Return the content of a record.

        Raises:
            ValueError: If the record was written for another key.
        """
        record = super().read_path(path, _sync=True)  # type: ignore[call-arg] # of `async_dispatch`
        return _of_key(cast(bytes, record), path)


def _of_key(record: bytes, path: str) -> bytes:
    # By name alone: the folder may have been moved
    if Path(json.loads(record)["metadata"]["storage_key"]).name != Path(path).name:
        message = f"{Path(path).name} is the record of another result"
        raise ValueError(message)
    return record


class VerifiedRemoteStorage(RemoteFileSystem):
    """Prefect's storage of result records on S3; the key of a record is not verified.

    Attributes:
        artifacts: Address of the artifact folder that the records belong to.
    """

    _block_type_name = "Remote records of deep-mlp"
    artifacts: str


def result_storage_in(root: Path | UPath) -> VerifiedResultStorage | VerifiedRemoteStorage:
    """Return the storage for Prefect's result records of an artifact folder: local, or on S3."""
    folder = str(root / RECORDS)
    if backend_of(root).local_path is None:  # keys come from each machine's environment: settings travel with tasks
        return VerifiedRemoteStorage(basepath=folder, artifacts=str(root), settings={"use_listings_cache": False})
    return VerifiedResultStorage(basepath=folder, artifacts=str(root))


@dataclass
class InputsAndSourceClosure(CachePolicy):
    """Cache policy for Prefect: the key covers task name, inputs, source code and library versions.

    The run's context does not count. Prefect's own policies see the source of the task, but not the code that it calls.

    Attributes:
        code: Modules that compute the result; the modules that they import count too. The modules of inputs that name
            functions, and the task's own module, are added.
        libraries: Libraries whose versions count, in addition to those that affect training.
    """

    code: tuple[str, ...] = ()
    libraries: tuple[str, ...] = ()

    def compute_key(
        self, task_ctx: TaskRunContext, inputs: dict[str, Any], flow_parameters: dict[str, Any], **_: Any
    ) -> str:
        """Return the cache key: the task's name and 40 hex digits of a digest."""
        task = task_ctx.task
        counted = {name: value for name, value in inputs.items() if not isinstance(value, RunContext)}
        named = [module for value in counted.values() for module in getattr(value, "modules", ())]
        digest = settings_digest(
            {name: canonical(value) for name, value in counted.items()}, self.code_digest(task.fn.__module__, *named)
        )
        return f"{task.name.replace(' ', '-')}-{digest[:40]}"

    def code_digest(self, *modules: str) -> str:
        """Return a digest of the source code of `code` and of more modules, and of the library versions.

        Args:
            modules: Names of the additional modules.
        """
        libraries = {name: version(name) for name in self.libraries}
        return settings_digest({**versions(), **libraries}, code_digest(*modules, *self.code))


def canonical(value: Any) -> Any:
    """Return a task's input as JSON-like data for a cache key.

    A file reference is represented by its SHA-256 alone, wherever the file lies. Dataclass fields that do not count for
    equality are left out.

    Raises:
        TypeError: If the input has no defined order or no stable text, such as a set.
    """
    if value is None or isinstance(value, (str, int, float, bool)):  # first: there are most of them
        return value
    if hasattr(value, "sha256"):
        return {"sha256": value.sha256}
    if is_dataclass(value) and not isinstance(value, type):
        return {type(value).__name__: {name: canonical(getattr(value, name)) for name in _decisive(type(value))}}
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    if isinstance(value, (list, tuple, UserList)):
        return [canonical(item) for item in value]
    if isinstance(value, Mapping):
        return {str(key): canonical(item) for key, item in value.items()}
    message = f"{type(value).__name__} cannot be part of a cache key"
    raise TypeError(message)


@cache
def _decisive(kind: Any) -> list[str]:
    """Return the fields of a dataclass; what does not count for equality decides nothing."""
    return [item.name for item in fields(kind) if item.compare]


def decode(data: dict[str, Any]) -> Any:
    """Decode a cached result and verify every file that it refers to; Prefect treats an error here as a cache miss.

    Args:
        data: A JSON object of the record.

    Raises:
        ValueError: If a class is unknown or not the project's, or a file is not the one that was written.
        FileNotFoundError: If a file is missing.
    """
    # Prefect would import whatever module a record names
    if not str(data.get("__class__", "tasks.")).startswith(("tasks.", "mlp_core.")):
        message = f"foreign class {data['__class__']}"
        raise ValueError(message)
    value = prefect_json_object_decoder(data)
    if "__class__" in data and isinstance(value, dict):
        message = f"unknown class {data['__class__']}"
        raise ValueError(message)
    records = get_result_store().result_storage
    if not isinstance(records, (VerifiedResultStorage, VerifiedRemoteStorage)):
        message = f"records of results in a {type(records).__name__}, which belongs to no artifact folder"
        raise ValueError(message)  # noqa: TRY004 a damaged record, whatever damaged it
    _verify(value, artifact_folder(records.artifacts))
    return value


def _verify(value: Any, root: Path | UPath) -> None:
    if isinstance(value, Artifact):
        try:
            value.check(root)
        except (OSError, ValueError):
            logger.warning("%s is gone or was changed after it was written: it is made again", value.path)
            raise
    elif is_dataclass(value):
        for item in fields(value):
            _verify(getattr(value, item.name), root)
    elif isinstance(value, (list, tuple)):
        for item in value:
            _verify(item, root)


def cached(*code: str, libraries: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return the options for Prefect's `@task` that cache its result by inputs, code and versions.

    Args:
        code: Modules that compute the result; the task's own module need not be named.
        libraries: Libraries whose versions affect the result, in addition to those that affect training.
    """
    return {
        "cache_policy": InputsAndSourceClosure(code=code, libraries=libraries),
        "persist_result": True,
        "result_serializer": JSONSerializer(jsonlib="tasks.checksummed_json", object_decoder="tasks.caching.decode"),
    }


UNCACHED: dict[str, Any] = {"cache_policy": NO_CACHE, "persist_result": False}
"""Options of a task that looks at what is on disk now."""
