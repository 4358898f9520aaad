"""The disk: full, read-only, gone, forbidden, with odd names, with a clock that was set back."""

import logging
import os
import re
import shutil
import subprocess
import sys
from contextlib import suppress

import pyarrow.parquet as pq
import pytest
from serving import served
from stored import computed, contents, result
from watching import MARK, processes, wait_for

from flows.run_collector import SweepFailed
from mlp_core.errors import InputError, ResourceError
from mlp_core.experiments.depth_sweep.experiment import DepthSweep

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount")


@pytest.fixture
def small_disk(tmp_path):
    """Mount a file system of a given size, in memory, and unmount it in the end."""
    folder = tmp_path / "disk"
    folder.mkdir()

    def mount(options):
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], check=False)
        if done.returncode:
            pytest.skip("this root may not mount either")
        return folder

    yield mount
    subprocess.run(["umount", "--lazy", folder], check=False, stderr=subprocess.DEVNULL)


@as_root
@pytest.mark.parametrize(
    "kilobytes", [pytest.param(4, marks=pytest.mark.slow), 16, pytest.param(48, marks=pytest.mark.thorough)]
)
def test_a_full_disk_is_one_sentence(run, finished, small_disk, kilobytes):
    """Wherever it fills up the run says so and no half-written file stays; with room the same command finishes."""
    folder = small_disk(f"size={kilobytes}k")
    with pytest.raises(Exception, match="No space left on device") as caught:
        run("depth_sweep", folder, own_figures=True).state.result()
    assert isinstance(caught.value, (ResourceError, SweepFailed))
    assert "\n" not in str(caught.value)
    assert not list(folder.rglob("*.partial"))
    subprocess.run(["mount", "-o", "remount,size=50m", folder], check=True)
    assert run("depth_sweep", folder, own_figures=True).state.is_completed()
    assert contents(folder) == contents(finished("depth_sweep"))


@as_root
def test_a_read_only_disk_is_said_before_the_run(program_here, small_disk):
    """Root may write everywhere, but not there."""
    folder = small_disk("size=1m,ro")
    ran = program_here(f"depth-sweep --artifacts {folder}/below")
    assert (ran.status, ran.out) == (2, "")
    assert ran.err == (
        f"deep-mlp: artifacts must be a folder to write to, got {folder}/below, but {folder} is read-only; "
        "choose another --artifacts.\n"
    )


@pytest.fixture
def on_small_disk(copied, small_disk):
    """Give a function that copies a finished depth sweep to a disk of its own, which it then fills or makes read-only.

    The folder has a table that no result needs, and no report.
    """

    def on_small_disk(state):
        folder = small_disk("size=50m")
        shutil.copytree(copied("depth_sweep"), folder / "artifacts")
        (folder / "artifacts/report.html").unlink()
        (folder / "artifacts/tables/unneeded.parquet").touch()
        if state == "full":
            with (folder / "filler").open("wb") as file, suppress(OSError):
                while True:
                    file.write(bytes(1 << 16))
        else:
            subprocess.run(["mount", "-o", "remount,ro", folder], check=True)
        return folder / "artifacts"

    return on_small_disk


REFUSED = {"full": "No space left on device", "read-only": "Read-only file system"}


@as_root
@pytest.mark.parametrize(
    ("command", "state"),
    [
        ("report", "full"),
        ("report", "read-only"),
        ("baseline accept", "full"),
        ("baseline accept", "read-only"),
        ("artifacts prune --yes", "read-only"),
    ],
)
def test_a_command_on_such_a_disk_is_one_sentence(program_here, on_small_disk, command, state):
    """What writes outside a run says so too, and leaves every file as it was."""
    folder = on_small_disk(state)
    before = contents(folder)
    ran = program_here(f"{command} --artifacts {folder}")
    assert ran.status == 1, ran.err
    assert re.fullmatch(
        f"deep-mlp: artifacts must be where there is room and permission to read and write, got {folder}: "
        f".*{REFUSED[state]}.*; make room, or choose another --artifacts.\n",
        ran.err,
    ), ran.err
    assert contents(folder) == before


@as_root
@pytest.mark.parametrize("state", ["full", "read-only"])
def test_a_home_of_prefect_on_such_a_disk_is_one_sentence(program_here, small_disk, monkeypatch, tmp_path, state):
    """No server is left that nobody would stop."""
    home = small_disk("size=4k" if state == "full" else "size=4k,ro")
    if state == "full":
        (home / "filler").write_bytes(bytes(4096))
    monkeypatch.delenv("PREFECT_API_URL")
    monkeypatch.setenv("PREFECT_HOME", str(home))
    monkeypatch.setenv(MARK, str(tmp_path))  # whatever is started has it
    ran = program_here(f"depth-sweep --artifacts {tmp_path}/artifacts")
    assert (ran.status, ran.out) == (1, ""), ran.err
    assert ran.err == (
        f"deep-mlp: PREFECT_HOME must be where there is room and permission to write, got {home}: {REFUSED[state]}; "
        "make room, or set it to another folder.\n"
    )
    assert processes(str(tmp_path)) == []


@pytest.mark.slow
@pytest.mark.parametrize("command", ["report", "baseline accept", "baseline show", "baseline compare"])
def test_a_bucket_out_of_reach_is_one_sentence(program, command):
    """Nobody answers there; a run says the same before it starts."""
    keys = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}
    ran = program(f"{command} --artifacts s3://bucket/a", AWS_ENDPOINT_URL="http://127.0.0.1:9", **keys)
    assert (ran.status, ran.out) == (1, ""), ran.err
    assert re.fullmatch(
        r"deep-mlp: artifacts must be in a bucket that this machine can use, got s3://bucket/a, "
        r"but .*127\.0\.0\.1:9.*; "
        r"see that the bucket is there, and set AWS_ENDPOINT_URL, .*\n",
        ran.err,
    ), ran.err


@pytest.fixture
def closing_bucket(monkeypatch, tmp_path):
    """Give a bucket, and a function that sets how S3 refuses everything once two files of weights were written."""
    # a second of imports, which each worker would wait for as it collects the tests
    from moto.server import DomainDispatcherApplication, create_backend_app
    from s3fs import S3FileSystem
    from werkzeug.serving import make_server

    app, answer, weights = DomainDispatcherApplication(create_backend_app), [], []

    def serve(environ, start_response):
        if environ["REQUEST_METHOD"] == "PUT" and "/models/" in environ["PATH_INFO"]:
            weights.append(environ["PATH_INFO"])
        if len(weights) < 2 or not answer:
            return app(environ, start_response)
        status, code, message = answer
        body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{message}</Message></Error>".encode()
        start_response(status, [("Content-Type", "application/xml"), ("Content-Length", str(len(body)))])
        return [body] * (environ["REQUEST_METHOD"] != "HEAD")

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = make_server("127.0.0.1", 0, serve, threaded=True)
    keys = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}
    for name, value in {**keys, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.port}"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    S3FileSystem.clear_instance_cache()
    bucket = f"closing-{server.port}"
    with served(server):
        S3FileSystem().mkdir(bucket)
        yield f"s3://{bucket}/results", answer.extend
    S3FileSystem.clear_instance_cache()


@pytest.mark.slow
@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(("400 Bad Request", "ExpiredToken", "The provided token has expired."), id="keys that expire"),
        pytest.param(("403 Forbidden", "AccessDenied", "Access Denied"), id="a policy that changes"),
        pytest.param(("404 Not Found", "NoSuchBucket", "The specified bucket does not exist"), id="a deleted bucket"),
    ],
)
def test_a_bucket_that_refuses_in_the_midst_of_a_run_is_one_sentence(run, closing_bucket, answer):
    """As the keys of an hour that a machine in a cloud has; what was finished is kept (s3fs 500, 632)."""
    bucket, refuse_by = closing_bucket
    refuse_by(answer)
    sweep = DepthSweep(depths=(1, 2, 3), epochs=2, batch_size=32)
    state = run("depth_sweep", bucket, sweep=sweep, workers=1).state
    with pytest.raises(ResourceError) as refused:
        state.result()
    sentence = str(refused.value)
    assert sentence.startswith(f"artifacts must be in a bucket that this machine can use, got {bucket}, but ")
    assert sentence.endswith(
        "; what was finished is kept: see that the bucket is there and that the keys are valid, and run the same "
        "command again."
    )
    assert answer[2].rstrip(".") in sentence


@pytest.mark.thorough
@as_root
def test_a_disk_that_becomes_read_only_is_one_sentence(run, small_disk):
    """What a run can only find when it writes is a sentence too."""
    folder = small_disk("size=50m")
    assert run("depth_sweep", folder).state.is_completed()
    subprocess.run(["mount", "-o", "remount,ro", folder], check=True)
    with pytest.raises(InputError, match=r"^artifacts must be .*read-only"):
        run("depth_sweep", folder, sweep=DepthSweep(depths=(3,), epochs=2, batch_size=32)).state.result()


def test_a_folder_of_another_user_is_said_before_the_run(tmp_path):
    """Whoever may not write there is told before a server is started."""
    (tmp_path / "locked").mkdir(mode=0o555)
    program = [sys.executable, "-m", "flows.command_line", "depth-sweep", "--artifacts", "locked/below"]
    if os.geteuid() == 0:  # root as anybody else: without the right to ignore modes
        os.chown(tmp_path / "locked", 65534, 65534)
        rights = "-dac_override,-dac_read_search"
        program = ["setpriv", "--bounding-set", rights, "--inh-caps", rights, *program]
    done = subprocess.run(program, cwd=tmp_path, capture_output=True, text=True, check=False)
    locked = tmp_path / "locked"
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    assert done.stderr == (
        f"deep-mlp: artifacts must be a folder to write to, got {locked}/below, but {locked} is read-only; "
        "choose another --artifacts.\n"
    )


@pytest.mark.slow
def test_a_folder_that_is_deleted_during_a_run_comes_back(program, run, tmp_path):
    """The run ends with a status that says what is missing, and the same command makes it all."""
    folder, sweep = tmp_path / "artifacts", DepthSweep(depths=(1, 2, 3, 4, 5), epochs=300, batch_size=32)
    command = "depth-sweep --points 40 --depths 1:5 --epochs 300 --batch-size 32 --seeds 2"
    process = program.start(command)
    wait_for(lambda: list(folder.glob(".records/train-*")), process)
    shutil.rmtree(folder, ignore_errors=True)
    process.communicate(timeout=120)
    assert process.returncode in {0, 1, 2}
    assert program(command).status == 0
    assert run("depth_sweep", tmp_path / "undisturbed", sweep=sweep).state.is_completed()
    assert result(folder) == result(tmp_path / "undisturbed")


@pytest.mark.parametrize(
    "name",
    [
        'it\'s "odd"; $HOME `x` 50% #1 & Ünïcödé 漢字 🦊',
        pytest.param("two words", marks=pytest.mark.slow),
        pytest.param("x" * 200, marks=pytest.mark.slow),
        pytest.param("-rf", marks=pytest.mark.slow),
        pytest.param("new\nline", marks=pytest.mark.slow),
        pytest.param("a:b?c=d", marks=pytest.mark.slow),
    ],
)
def test_a_folder_may_have_any_name(run, finished, tmp_path, name):
    """The files are those of any folder, and a second run finds them."""
    folder = tmp_path / name / "artifacts"
    assert run("depth_sweep", folder, own_figures=True).state.is_completed()
    assert contents(folder) == contents(finished("depth_sweep"))
    assert computed(run("depth_sweep", folder)) == set()


@pytest.mark.parametrize("experiment", ["depth_sweep", pytest.param("gain_sweep", marks=pytest.mark.thorough)])
def test_no_two_names_differ_in_case_alone(finished, experiment):
    """A file system that does not tell a from A keeps all files apart."""
    folder = finished(experiment)
    names = [path.relative_to(folder).as_posix() for path in folder.rglob("*")]
    assert len({name.lower() for name in names}) == len(names)


def test_a_clock_set_back_changes_nothing(run, copied):
    """Files from the future are taken as they are: what counts is their digest."""
    folder = copied("depth_sweep")
    for path in folder.rglob("*"):
        os.utime(path, (4e9, 4e9))  # in 2096
    ran = run("depth_sweep", folder)
    assert ran.state.is_completed()
    assert computed(ran) == set()


def test_a_change_that_keeps_the_time_is_noticed(copied):
    """Length, time and inode of a file may be those of before; another process takes its digest anew."""
    folder = copied("depth_sweep")
    table = folder / "results/depth_sweep.parquet"
    imports = "import sys; from pathlib import Path; from mlp_core.artifacts.backends import file_digest"
    took = [sys.executable, "-c", f"{imports}; print(file_digest(Path(sys.argv[1])))", str(table)]
    before, status = subprocess.check_output(took), table.stat()
    with table.open("r+b") as file:
        file.seek(100)
        file.write(bytes([file.read(1)[0] ^ 1]))
    os.utime(table, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert subprocess.check_output(took) != before
    assert pq.read_metadata(table).num_rows == 4
