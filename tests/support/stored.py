"""Looking at an artifact folder: which files were written anew, and which tasks did that."""

import re

import pyarrow.parquet as pq

from tasks.context import RECORDS

ALWAYS_WRITTEN = {"results/history.parquet", "results/runs.parquet", "report.html"}
"""Made from what lies in the folder, by whatever run."""
UNCACHED_TASKS = {"collect history", "write report", "locate images"}


def files(folder):
    """Return the paths of all artifacts, without the records of the cache."""
    paths = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    return {path for path in paths if not path.startswith(RECORDS)}


def contents(folder):
    """Return the bytes of all artifacts, without the times at which results were made."""
    times = re.compile(rb"<time>[^<]*</time>")
    by_path = {path: times.sub(b"", (folder / path).read_bytes()) for path in files(folder)}
    return by_path | {path: b"" for path in by_path if path == "results/runs.parquet"}


def identities(folder):
    """Return what differs between two files written under one name."""
    status = {path: (folder / path).stat() for path in files(folder)}
    return {path: (state.st_ino, state.st_mtime_ns) for path, state in status.items()}


def written(before, after):
    """Return the artifacts that were made, or made again, between two calls of `identities`."""
    return {path for path in after if after[path] != before.get(path)}


def computed(ran):
    """Return the tasks that worked for what could have been in the cache."""
    assert set(ran.tasks) <= {"Completed", "Cached"}, ran.tasks
    # Prefect adds three letters to the names of runs that we give no name
    names = {name.rsplit("-", 1)[0] if name[-4:-3] == "-" else name for name in ran.tasks.get("Completed", [])}
    return names - UNCACHED_TASKS


def result(folder):
    """Return the result table of a depth sweep."""
    return pq.read_table(folder / "results/depth_sweep.parquet").replace_schema_metadata()
