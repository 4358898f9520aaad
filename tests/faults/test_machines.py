"""Machines as people have them: homes on NFS, containers, jobs with limits, other encodings, logs of a CI."""

import errno
import fcntl
import json
import logging
import os
import re
import shutil
import stat
import subprocess
import sys
import time
import urllib.request
from contextlib import ExitStack
from datetime import UTC, datetime
from tempfile import TemporaryDirectory

import pytest

from flows.local_run import _console
from flows.prefect_settings import PrefectSettings, read_prefect_settings
from flows.server import LocalServer
from mlp_core.artifacts.baseline import accept
from mlp_core.artifacts.storage import locked
from mlp_core.errors import InputError
from tasks.execution import exclusive_lock

PROGRAM = [sys.executable, "-m", "flows.command_line"]
flock = fcntl.flock


def flock_of_nfs(file, operation):
    """Lock as Linux does on NFS: a byte range of a file, which asks for the right to read or to write it.

    Locks on folders are the machine's own there.
    """
    descriptor = file if isinstance(file, int) else file.fileno()
    access = fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE
    forbidden = {fcntl.LOCK_SH: os.O_WRONLY, fcntl.LOCK_EX: os.O_RDONLY}
    is_folder = stat.S_ISDIR(os.fstat(descriptor).st_mode)
    if not is_folder and access == forbidden.get(operation & ~fcntl.LOCK_NB):
        raise OSError(errno.EBADF, os.strerror(errno.EBADF))
    flock(descriptor, operation)


@pytest.mark.filterwarnings("ignore:subprocess:ResourceWarning")  # a program ends with its server
def test_a_home_on_nfs_is_used(monkeypatch, servers, tmp_path):
    """A server starts there for two users, and ends with the last of them."""
    environment = servers.new_home(tmp_path)
    for name in ("PREFECT_HOME", "PREFECT_SERVER_API_PORT"):
        monkeypatch.setenv(name, environment[name])
    monkeypatch.setattr(fcntl, "flock", flock_of_nfs)
    settings = read_prefect_settings()
    first, second = LocalServer(settings), LocalServer(settings)
    assert first.url == second.url
    first.release()
    assert (tmp_path / "deep-mlp-server.json").exists()
    second.release()
    assert not (tmp_path / "deep-mlp-server.json").exists()


@pytest.mark.thorough
@pytest.mark.filterwarnings("ignore:subprocess:ResourceWarning")  # a program ends with its server
@pytest.mark.parametrize(
    "stay",
    [
        pytest.param([], id="nobody"),
        pytest.param(["another"], id="another"),
        pytest.param(["one", "another"], id="one+another", marks=pytest.mark.slow),
    ],
)
def test_two_users_who_start_at_once_have_a_server_each(monkeypatch, servers, tmp_path, stay):
    """The second begins while the first one's server still imports: it takes another port, not the other's runs."""
    port = int(servers.environment(tmp_path)["PREFECT_SERVER_API_PORT"])
    with ExitStack() as until_end:
        users = {}
        for name in ("one", "another"):
            monkeypatch.setenv("PREFECT_HOME", servers.new_home(tmp_path / name)["PREFECT_HOME"])
            users[name] = LocalServer(PrefectSettings(tmp_path / name, None, port))
            until_end.callback(users[name].release)
        assert users["one"].url != users["another"].url
        assert [user.started for user in users.values()] == [True, True]
        for name, user in users.items():
            assert user.url in (tmp_path / name / "deep-mlp-server.json").read_text()
        for name in users.keys() - stay:
            users[name].release()
        for name in stay:
            server = users[name]
            server.wait()
            assert server.lives()
            # It registers no blocks; with a note that it had, a later server with a UI would not either
            assert not (tmp_path / name / "memo_store.toml").exists()
            with urllib.request.urlopen(f"{server.url}/admin/settings") as answer:
                assert json.load(answer)["home"] == str(tmp_path / name)


@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")  # a program ends with that sentence
@pytest.mark.parametrize("reason", [errno.ENOLCK, errno.ENOSYS, errno.EBADF], ids=errno.errorcode.get)
def test_a_file_system_without_locks_is_named(monkeypatch, run, tmp_path, reason):
    """In one sentence, whoever wants the lock: a run, a training, a pruning, or the server of a run."""

    def no_locks(file, operation):
        raise OSError(reason, os.strerror(reason))

    monkeypatch.setenv("PREFECT_HOME", str(tmp_path))
    monkeypatch.setattr(fcntl, "flock", no_locks)
    words = rf"must be on a file system that has locks, got {tmp_path}\S* on \w+: {os.strerror(reason)}; "
    with pytest.raises(InputError, match=rf"^artifacts {words}choose another --artifacts\.$"):
        run("depth_sweep", tmp_path).state.result()
    with pytest.raises(InputError, match=f"^artifacts {words}"), locked([tmp_path / "a"], lambda: None):
        pass
    with pytest.raises(InputError, match=f"^artifacts {words}"), exclusive_lock(tmp_path):
        pass
    with pytest.raises(InputError, match=rf"^PREFECT_HOME {words}set it to another folder\.$"):
        LocalServer(PrefectSettings(tmp_path, None, 4200))


@pytest.mark.skipif(shutil.which("unshare") is None or os.geteuid() != 0, reason="only root may mount")
def test_no_room_for_semaphores_is_one_sentence(tmp_path):
    """Worker processes need /dev/shm; the default runner does not."""
    mount = ["unshare", "--mount", "sh", "-c", 'mount -t tmpfs -o ro tmpfs /dev/shm || exit 77; exec "$@"', "sh"]
    command = [*mount, *PROGRAM, "depth-sweep", "--runner", "processes"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    if done.returncode in (1, 77):
        pytest.skip("this root may not mount either")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "deep-mlp: runner must be threads where processes cannot share semaphores, got 'processes': "
        "Read-only file system; use --runner threads, or make /dev/shm writable.\n"
    )


@pytest.mark.parametrize(
    ("limit", "words"),
    [
        ("-v 500000", "ulimit -v must leave room for PyTorch, got 500,000 kB: "),
        pytest.param(
            "-d 200000", "ulimit -d must leave room for PyTorch, got 200,000 kB: ", marks=pytest.mark.thorough
        ),
        ("-u 12", "the system must let the program start "),
    ],
    ids=["address space", "data", "processes"],
)
def test_a_limit_of_the_shell_is_one_sentence(limit, words):
    """Before a server is started."""
    program = [*PROGRAM, "depth-sweep", "--workers", "1"]
    with TemporaryDirectory() as folder:
        if os.geteuid() == 0:  # root as anybody else: with no right but to find the files
            os.chown(folder, 65534, 65534)
            rights = "-all,+dac_override"
            options = ["--inh-caps", rights, "--ambient-caps", "+dac_override", "--bounding-set", rights]
            program = ["setpriv", "--reuid=65534", "--clear-groups", *options, *program]
        command = ["bash", "-c", f'ulimit {limit}; exec "$@"', "bash", *program]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"deep-mlp: {words}")
    assert done.stderr.count("\n") == 1


def test_worker_processes_of_a_script_without_a_guard_are_refused(tmp_path):
    """Each would run the script again; the default runner does not, and needs none."""
    script = tmp_path / "script.py"
    check = "from tasks.preflight import check_run\nfrom tasks.run_settings import RunSettings\n"
    check += "check_run(RunSettings(runner='threads'))\ncheck_run(RunSettings(runner='processes'))\n"
    script.write_text(check)
    done = subprocess.run([sys.executable, script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.stderr.splitlines()[-1] == (
        'mlp_core.errors.InputError: runner must be threads in a script without `if __name__ == "__main__":`, '
        f"got 'processes' in {script}: each worker process would run the script again; "
        "put the calls of flows below that line."
    )
    script.write_text(f'if __name__ == "__main__":\n    {check.replace(chr(10), chr(10) + "    ")}')
    subprocess.run([sys.executable, script], cwd=tmp_path, check=True)


COMMANDS = """
import sys
from flows.command_line import main
for command in sys.argv[1:]:
    sys.argv = ["deep-mlp", *command.split()]
    try:
        main()
    except SystemExit as end:
        print("status", end.code)
"""


@pytest.mark.thorough
def test_letters_that_cannot_be_shown_are_written_out(copied, raise_baseline, tmp_path):
    """In a terminal of ISO 8859-1 an arrow or a folder's name ends no command, and nothing drifts by it."""
    folder = copied("depth_sweep").rename(tmp_path / "ż")
    accept(folder, datetime.now(UTC))
    raise_baseline(folder, points=0)
    commands = [f"{name} --artifacts ż" for name in ("baseline compare", "report", "baseline accept")]
    environment = {**os.environ, "PYTHONIOENCODING": "latin-1"}
    command = [sys.executable, "-c", COMMANDS, *commands]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    *outputs, rest = done.stdout.split("status 0\n")
    assert [r"\u" in output for output in outputs] == [True] * len(commands)
    assert rest == ""


def test_a_log_has_lines_and_no_spinner(monkeypatch, capsys):
    """Though FORCE_COLOR is set, as every CI does."""
    logger = logging.getLogger("deep_mlp")
    for name in ("FORCE_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.setenv(name, "1")
    for name in ("propagate", "level"):  # as they are afterwards, too
        monkeypatch.setattr(logger, name, getattr(logger, name))
    for handler in logging.getLogger().handlers:
        monkeypatch.setattr(handler, "filters", [*handler.filters])
    with _console():
        logger.warning("a line")
        time.sleep(0.5)
    assert re.fullmatch(r"\d\d:\d\d:\d\d  a line\n", capsys.readouterr().err)
