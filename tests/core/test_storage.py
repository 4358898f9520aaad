"""Files: whole or not at all, known by their digest, with their provenance inside."""

import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import threading
from contextlib import ExitStack
from importlib.metadata import version
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from cases import combinations

import mlp_core
from mlp_core.artifacts.storage import (
    Artifact,
    Provenance,
    code_digest,
    locked,
    read_table,
    settings_digest,
    write_file,
    write_table,
)

UNITS = {"accuracy": "0..1", "name": "name"}


def table():
    return pa.table({"accuracy": [0.5, None, 1.0], "name": ["a", "b", "a"]})


def provenance(**changes):
    return Provenance(
        **{"settings": {"epochs": 3, "gains": [0.5]}, "code": "c0de", "inputs": {"data": "d1"}, "units": UNITS}
        | changes
    )


def files(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_a_file_appears_at_once(tmp_path):
    """Folders are made, the writer sees a file next to the target, and only the target is left, readable by all."""
    target = tmp_path / "a" / "b.txt"
    seen = []

    def write(file):
        seen.append((file.parent, target.exists()))
        file.write_text("whole")

    write_file(target, write)
    assert seen == [(target.parent, False)]
    assert target.read_text() == "whole"
    assert files(tmp_path) == ["a/b.txt"]
    assert target.stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_failing_writer_leaves_nothing(tmp_path, error):
    """Neither target nor temporary file is left, even after Ctrl-C, and the error comes out."""

    def write(file):
        file.write_text("half")
        raise error

    with pytest.raises(error):
        write_file(tmp_path / "new.txt", write)
    assert files(tmp_path) == []


def test_a_failing_writer_keeps_the_old_file(tmp_path):
    """What was there before stays as it was."""
    target = tmp_path / "old.txt"
    target.write_text("old")

    def write(file):
        file.write_text("half of the new one")
        raise OSError

    with pytest.raises(OSError):  # noqa: PT011 - it has no message
        write_file(target, write)
    assert target.read_text() == "old"
    assert files(tmp_path) == ["old.txt"]


def test_a_failing_table_leaves_nothing(tmp_path):
    """A table that Parquet cannot hold leaves no file behind."""
    odd = pa.table({"accuracy": pa.array([], pa.struct([]))})
    with pytest.raises(pa.ArrowException):
        write_table(tmp_path, "odd.parquet", odd, provenance())
    assert files(tmp_path) == []


def test_a_reference_knows_path_digest_size_and_rows(tmp_path):
    """The path is relative with forward slashes, the digest is SHA-256 of the bytes."""
    artifact = write_table(tmp_path, "results/depth.parquet", table(), provenance())
    content = (tmp_path / "results" / "depth.parquet").read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    assert artifact == Artifact("results/depth.parquet", digest, len(content), 3)
    assert artifact.locate(tmp_path) == tmp_path / "results" / "depth.parquet"
    assert read_table(tmp_path, artifact).equals(table())


def test_a_missing_file_is_refused(tmp_path):
    """A file that is gone is told from one that was changed."""
    artifact = write_table(tmp_path, "x.parquet", table(), provenance())
    artifact.locate(tmp_path).unlink()
    for use in (artifact.locate, lambda root: read_table(root, artifact)):
        with pytest.raises(FileNotFoundError, match=r"x\.parquet"):
            use(tmp_path)


@pytest.mark.parametrize("change", ["flipped", "longer", "shorter", "rewritten"])
def test_a_changed_file_is_refused(tmp_path, change):
    """One flipped bit, a byte more or less, or another table under the same name is noticed."""
    artifact = write_table(tmp_path, "x.parquet", table(), provenance())
    path = artifact.locate(tmp_path)
    content = path.read_bytes()
    if change == "rewritten":
        write_table(tmp_path, "x.parquet", table(), provenance(code="0ther"))
    else:
        flipped = content[:9] + bytes([content[9] ^ 1]) + content[10:]
        path.write_bytes({"flipped": flipped, "longer": content + b"\0", "shorter": content[:-1]}[change])
        # The clock of a file system is coarse; in a test two writes may share one of its ticks
        os.utime(path, ns=(0, path.stat().st_mtime_ns + 1))
    for use in (artifact.locate, lambda root: read_table(root, artifact)):
        with pytest.raises(ValueError, match=r"x\.parquet was changed after it was written; delete it"):
            use(tmp_path)


def test_a_table_carries_its_provenance(tmp_path):
    """Settings, code, inputs, units, versions and machine lie in the file's own metadata, readable without us."""
    write_table(tmp_path, "x.parquet", table(), provenance())
    metadata = pq.read_schema(tmp_path / "x.parquet").metadata
    fields = {key.decode(): value.decode() for key, value in metadata.items()}
    assert set(fields) == {"settings", "code", "inputs", "units", "versions", "machine"}
    assert json.loads(fields["settings"]) == {"epochs": 3, "gains": [0.5]}
    assert json.loads(fields["inputs"]) == {"data": "d1"}
    assert json.loads(fields["units"]) == UNITS
    assert fields["code"] == "c0de"
    versions = json.loads(fields["versions"])
    assert versions["python"] == platform.python_version()
    assert all(versions[name] == version(name) for name in ("torch", "numpy", "pillow", "deep-mlp"))
    assert re.fullmatch(r".+, \d+ cores", fields["machine"])


def test_a_table_written_again_carries_its_new_provenance(tmp_path):
    """A table that was read and is written under another name does not keep where its source came from."""
    first = write_table(tmp_path, "x.parquet", table(), provenance())
    changes = {"settings": {"epochs": 4}, "code": "0ther"}
    write_table(tmp_path, "y.parquet", read_table(tmp_path, first), provenance(**changes))
    metadata = pq.read_schema(tmp_path / "y.parquet").metadata
    assert (metadata[b"code"], metadata[b"settings"]) == (b"0ther", b'{"epochs":4}')


@pytest.mark.parametrize("units", [{}, {"accuracy": "0..1"}, {"accuracy": "0..1", "nme": "name"}])
def test_every_column_needs_a_unit(tmp_path, units):
    """A column without a unit is named, and nothing is written."""
    with pytest.raises(ValueError, match=r"every column needs a unit, missing \[.*'name'\]"):
        write_table(tmp_path, "x.parquet", table(), provenance(units=units))
    assert files(tmp_path) == []


@pytest.mark.parametrize("case", ["again", "order of settings", "chunks", "slice", "mask", "read back"])
def test_equal_tables_are_equal_bytes(tmp_path, case):
    """However a table was put together, equal content and provenance give the same digest."""
    expected = write_table(tmp_path, "x.parquet", table(), provenance())
    settings = {"gains": [0.5], "epochs": 3} if case == "order of settings" else {"epochs": 3, "gains": [0.5]}
    equal = {
        "chunks": lambda: pa.concat_tables([table().slice(0, 1), table().slice(1)]),
        "slice": lambda: pa.concat_tables([table(), table()]).slice(3),
        "mask": lambda: table().set_column(
            0, "accuracy", pa.array([0.5, 0.9, 1.0], mask=pa.array([False, True, False]).to_numpy(False))
        ),
        "read back": lambda: read_table(tmp_path, expected),
    }.get(case, table)()
    assert equal.equals(table())
    artifact = write_table(tmp_path, "y.parquet", equal, provenance(settings=settings))
    assert artifact.sha256 == expected.sha256


def test_another_number_is_other_bytes(tmp_path):
    """A change in the last digit of one cell, or in the settings, changes the digest."""
    other = table().set_column(0, "accuracy", pa.array([0.5, None, 1 - 2**-53]))
    artifacts = [
        write_table(tmp_path, "x.parquet", table(), provenance()),
        write_table(tmp_path, "y.parquet", other, provenance()),
        write_table(tmp_path, "z.parquet", table(), provenance(settings={"epochs": 4})),
    ]
    assert len({artifact.sha256 for artifact in artifacts}) == 3


def test_settings_digests_ignore_the_order_of_keys_alone():
    """Keys in another order are the same settings; values, items of lists and further texts count."""
    expected = settings_digest({"a": 1, "b": {"c": [1, 2], "d": None}}, "x")
    assert settings_digest({"b": {"d": None, "c": [1, 2]}, "a": 1}, "x") == expected
    others = [
        settings_digest({"a": 1, "b": {"c": [2, 1], "d": None}}, "x"),
        settings_digest({"a": "1", "b": {"c": [1, 2], "d": None}}, "x"),
        settings_digest({"a": 1.5, "b": {"c": [1, 2], "d": None}}, "x"),
        settings_digest({"a": 1, "b": {"c": [1, 2], "d": None}}),
        settings_digest({"a": 1, "b": {"c": [1, 2], "d": None}}, "x", ""),
    ]
    assert len({expected, *others}) == 6


MODULES = ("engine.members", "engine.configs", "data.datasets", "seeds", "statistics.intervals")


@pytest.fixture
def core_copy(tmp_path):
    """Give a copy of the core's sources to change, and a function that asks it for the digest of each module."""
    source = Path(mlp_core.__file__).parent
    shutil.copytree(source, tmp_path / "mlp_core", ignore=shutil.ignore_patterns("__pycache__"))
    program = (
        "import json, mlp_core.artifacts.storage as storage\n"
        f"print(json.dumps({{name: storage.code_digest('mlp_core.' + name) for name in {MODULES}}}))\n"
        "print(storage.__file__)"
    )

    def digests():
        command = [sys.executable, "-c", program]
        environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        answer, used = done.stdout.splitlines()
        assert Path(used) == tmp_path / "mlp_core" / "artifacts" / "storage.py"
        return json.loads(answer)

    return tmp_path / "mlp_core", digests


def test_a_code_digest_follows_imports_to_their_ends(core_copy):
    """A line changed deep below makes everything above it stale, at any distance, and nothing else."""
    folder, digests = core_copy
    before = digests()
    assert before == {name: code_digest(f"mlp_core.{name}") for name in MODULES}
    with (folder / "data" / "sizes.py").open("a") as file:  # members does not import it, but transforms does
        file.write("# changed\n")
    changed = digests()
    assert {name for name in MODULES if changed[name] != before[name]} == {
        "data.datasets",
        "engine.members",
        "engine.configs",
    }


@pytest.mark.thorough
def test_a_code_digest_reads_new_imports(core_copy):
    """A module that begins to import another one depends on it from then on."""
    folder, digests = core_copy
    with (folder / "seeds.py").open("a") as file:
        file.write(
            "def later():\n    from mlp_core.statistics.intervals import median_interval\n    return median_interval\n"
        )
    before = digests()
    with (folder / "statistics" / "intervals.py").open("a") as file:
        file.write("# changed\n")
    changed = digests()
    assert {name for name in MODULES if changed[name] != before[name]} == {
        "seeds",
        "statistics.intervals",
        "engine.members",
        "engine.configs",
    }


def test_a_code_digest_covers_all_modules_asked_for():
    """Several modules have a digest of their own, in whatever order they are named."""
    assert code_digest("mlp_core.seeds", "mlp_core.statistics.intervals") == code_digest(
        "mlp_core.statistics.intervals", "mlp_core.seeds"
    )
    assert code_digest("mlp_core.seeds", "mlp_core.statistics.intervals") != code_digest("mlp_core.seeds")


def test_a_code_digest_of_nothing_is_an_error():
    """A misspelt module is no empty digest."""
    with pytest.raises(ModuleNotFoundError, match=r"no source for mlp_core\.trainig"):
        code_digest("mlp_core.trainig")


@pytest.fixture
def holder(tmp_path):
    """Give another process that holds the folder `held`, with a file in it if asked for."""
    with ExitStack() as stack:

        def holder(keep):
            program = (
                "import sys, time, pathlib\n"
                "from mlp_core.artifacts.storage import locked\n"
                f"folder = pathlib.Path({str(tmp_path / 'held')!r})\n"
                "with locked([folder], time.sleep):\n"
                f"    (folder / 'file').touch() if {keep} else None\n"
                "    print('held', flush=True)\n"
                "    sys.stdin.readline()\n"
            )
            pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
            process = stack.enter_context(subprocess.Popen([sys.executable, "-c", program], **pipes))
            stack.callback(process.kill)
            assert process.stdout.readline() == "held\n"
            return process

        yield holder


@pytest.mark.parametrize(("keep", "end"), combinations([True, False], ["killed", "done"]))
def test_a_held_folder_is_waited_for(tmp_path, holder, end, keep):
    """Who comes second waits as long as the first lives and holds it, and then holds it alone, removed or not."""
    process, waited = holder(keep), []

    def waiting():
        waited.append(1)
        if len(waited) == 3 and end == "killed":
            process.kill()
        elif len(waited) == 3:
            process.communicate("go on\n")
        assert len(waited) < 300

    folder = tmp_path / "held"
    with locked([folder, folder], waiting):
        assert len(waited) >= 3
        assert (folder / "file").exists() == keep
        with pytest.raises(InterruptedError), locked([folder], interrupt):
            pass
    assert folder.exists() == keep


def interrupt():
    raise InterruptedError


def test_folders_are_held_in_one_order(tmp_path):
    """Two who want the same folders the other way round both come to their end."""
    ended = []

    def work(names):
        for _ in range(20):
            with locked([tmp_path / name for name in names], lambda: None):
                pass
        ended.append(names)

    threads = [threading.Thread(target=work, args=[names], daemon=True) for names in ("ab", "ba")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(ended) == ["ab", "ba"]
    assert files(tmp_path) == []
