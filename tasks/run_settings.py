"""What a user can set of a run, whatever the experiment."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo

from mlp_core.data.settings import ImageSettings
from mlp_core.settings import Settings

_BUCKET = re.compile(r"s3://[a-z0-9][a-z0-9.-]+(/[A-Za-z0-9!_.*'()=/-]*)?")


def _folder_or_bucket(value: Any) -> Any:
    """Let in a path, and of addresses that of a bucket; never one that carries keys."""
    location = str(value) if isinstance(value, Path) else value
    if isinstance(location, str) and "://" in location and not _BUCKET.fullmatch(location):
        message = "must be a folder or s3://BUCKET/PREFIX, with the keys in the environment (AWS_ACCESS_KEY_ID)"
        raise ValueError(message)
    return location


def _scheduler_of_dask(value: str, others: ValidationInfo) -> str:
    if not re.fullmatch(r"((tcp|tls)://[^\s:/@]+:\d{1,5})?", value):
        message = "must be an address such as tcp://127.0.0.1:8786"
        raise ValueError(message)
    if value and others.data.get("runner") != "dask":
        message = "must be left out unless --runner dask"
        raise ValueError(message)
    if value and others.data.get("workers"):
        message = "must be left out with --workers: the workers are those of the scheduler"
        raise ValueError(message)
    return value


class RunSettings(Settings):
    """How to run: what all experiments have in common, the rarest last."""

    seeds: Annotated[int, Field(title="Seeds per configuration", ge=1, le=1_000_000)] = 8
    """Members per configuration, each with a seed of its own; 1 is the tutorial's own protocol."""
    seed: Annotated[int, Field(title="Root seed", ge=0, lt=2**63)] = 2021
    """Root seed: data, initial weights and shuffling all derive from it."""
    artifacts: Annotated[str, Field(min_length=1), BeforeValidator(_folder_or_bucket)] = "artifacts"
    """Folder for results, figures, models, report and cache, or s3://BUCKET/PREFIX."""
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """Where to train; auto takes a GPU if there is one."""
    refresh: bool = False
    """Make everything again, whatever the cache holds."""
    time_limit_seconds: Annotated[float, Field(ge=0, le=1e9, allow_inf_nan=False)] = 0.0
    """How long one training may take before it counts as failed; 0 for as long as it needs."""
    on_drift: Literal["ignore", "drifted", "failed"] = "ignore"
    """How a run ends whose metrics moved from the accepted baseline; with ignore it is not compared."""
    runner: Literal["threads", "processes", "dask"] = "threads"
    """How tasks run side by side."""
    workers: Annotated[int, Field(ge=0, le=10_000)] = 0
    """Tasks side by side, at most one per core; 0 is one per core."""
    scheduler: Annotated[str, AfterValidator(_scheduler_of_dask)] = ""
    """Address of a dask scheduler that is up, such as tcp://127.0.0.1:8786; without it dask runs on this machine."""


class ImageRunSettings(RunSettings, ImageSettings):
    """How to run an experiment on images, and on which."""
