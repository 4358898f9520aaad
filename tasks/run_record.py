"""What the report says of the runs behind it: which command made a result, when, and from which commit."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlp_core.addresses import shown_address
from mlp_core.artifacts.storage import Artifact, Provenance, code_digest, read_table, write_table
from mlp_core.settings import Settings, text_of, validated
from tasks.stages import flow_parameters

if TYPE_CHECKING:
    from upath import UPath

RECORD = "results/runs.parquet"
_PROJECT = Path(__file__).parents[1]
_DECIDES_NOTHING = {"artifacts", "refresh", "time_limit_seconds", "on_drift", "runner", "workers", "scheduler"}
"""Settings that say where and how a run works, never what comes out."""
_UNITS = {
    "table": "name of a table of results",
    "sha256": "digest of the table's file",
    "made": "when its file was written, UTC",
    "command": "what was run; from a form, the command with the same settings",
    "commit": "of the program, -dirty with changes that are not committed; empty if it is no clone",
}


def note_run(root: Path | UPath, artifacts: Sequence[Artifact], flow: str, parameters: Mapping[str, Any]) -> None:
    """Record the command and commit that made each result table of a run, in `results/runs.parquet`.

    A table that came unchanged from the cache keeps the record of the run that made it.

    Args:
        root: The artifact folder.
        artifacts: Files of this run.
        flow: Name of the flow.
        parameters: The flow's parameters, as settings or as the dicts that Prefect stores.
    """
    import pyarrow as pa

    earlier: dict[str, dict[str, Any]] = {}
    with suppress(OSError, KeyError, ValueError, pa.ArrowException):
        earlier = {row["table"]: row for row in read_table(root, Artifact.of(root, root / RECORD)).to_pylist()}
    names = {
        artifact.path.removeprefix("results/").removesuffix(".parquet"): artifact
        for artifact in artifacts
        if "results/" in artifact.path
    }
    new = [name for name, artifact in names.items() if earlier.get(name, {}).get("sha256") != artifact.sha256]
    rows = dict(earlier)
    if new:
        stamp = {"command": command_of(flow, parameters), "commit": commit_of(_PROJECT)}
        for name in new:
            changed = (root / names[name].path).stat().st_mtime  # 0 where a bucket does not say
            written = datetime.fromtimestamp(changed, UTC) if changed else datetime.now(UTC)
            rows[name] = {"table": name, "sha256": names[name].sha256, "made": written, **stamp}
    texts = dict.fromkeys(("table", "sha256"), pa.string())
    schema = pa.schema({**texts, "made": pa.timestamp("s", "UTC"), "command": pa.string(), "commit": pa.string()})
    table = pa.Table.from_pylist([rows[name] for name in sorted(rows)], schema)
    digests = {f"results/{name}.parquet": rows[name]["sha256"] for name in rows}
    write_table(root, RECORD, table, Provenance({}, code_digest("tasks.run_record"), digests, _UNITS))


def command_of(flow: str, parameters: Mapping[str, Any]) -> str:
    """Return the shell command that runs a flow with these parameters, with options for what is not default.

    Settings that cannot change results, such as the number of workers, are left out, and so are secrets of an address.

    Example:
        >>> from tasks.run_settings import RunSettings
        >>> command_of("depth_sweep", {"sweep": {"depths": [1, 2]}, "run": RunSettings(seeds=64, workers=2)})
        'deep-mlp depth-sweep --depths 1,2 --seeds 64'
    """
    words = ["deep-mlp", flow.replace("_", "-")]
    for name, default in flow_parameters(flow).items():
        values = parameters.get(name, default)
        settings = values if isinstance(values, Settings) else validated(type(default), dict(values), default)
        for field, value in settings:
            if field not in _DECIDES_NOTHING and value != getattr(default, field):
                option = f"--{field.replace('_', '-')}"
                words += [option] if value is True else [option, shlex.quote(shown_address(text_of(value)))]
    return " ".join(words)


def commit_of(folder: Path) -> str:
    """Return the git commit of a folder, with `-dirty` if it has uncommitted changes; empty if it is no clone."""
    git = shutil.which("git")
    if git is None or not (folder / ".git").exists():  # else it would be the commit of a clone around it
        return ""
    command = [git, "-C", str(folder), "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip()
