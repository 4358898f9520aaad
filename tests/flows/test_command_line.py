"""The program's help, its report, and its server for looking at runs afterwards."""

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from flows.command_line import _status
from flows.run_collector import SweepFailed
from flows.server import healthy
from mlp_core.errors import Drifted, InputError, ResourceError
from tasks.training import TimeLimitExceeded

ROOT = Path(__file__).parents[2]
COMMANDS = [
    "tutorial",
    "depth-sweep",
    "polynomial",
    "generalization",
    "images",
    "first-layer",
    "gain-sweep",
    "signal-propagation",
    "phase-diagram",
    "report",
    "baseline",
    "ui",
]


@pytest.fixture
def output_of(program_here):
    """Give a function that runs the program here and returns its exit status and what it says."""

    def output_of(*arguments):
        ran = program_here(" ".join(arguments))
        assert ran.err == ""
        return ran.status, ran.out

    return output_of


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"]])
def test_help_lists_every_command(output_of, arguments):
    """Without a command the program says what there is."""
    status, text = output_of(*arguments)
    assert status == 0
    assert [command for command in COMMANDS if f"  {command} " not in text] == []


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_has_help(output_of, command):
    """Every option is explained, with its default."""
    status, text = output_of(command, "--help")
    assert status == 0
    assert text.startswith(f"Usage: deep-mlp {command} [OPTIONS]")
    if command not in ("report", "baseline", "ui"):
        words = " ".join(text.split())
        assert "--seeds N Members per configuration" in words
        assert "[default: 2021]" in words
        assert "--runner threads|processes" in words
        assert "--refresh" in words


def test_help_says_how_a_list_is_written(output_of):
    """As its values are, also if none is the default."""
    words = " ".join(output_of("sweep", "--help")[1].split())
    assert "theory for Xavier's with the gain that theory asks for; separated by commas." in words
    assert "in place of the widths; such as 1,2,5 or 1:5." in words
    assert "Step sizes; such as 0.5,1,2 or 0.1:3:10 (start:stop:count)." in words


def test_the_installed_program_is_this_one():
    """`deep-mlp` is the program tested here."""
    (script,) = entry_points(group="console_scripts", name="deep-mlp")
    assert script.value == "deep_mlp_program:main"


STARTED_BY = {
    "deep-mlp": "from deep_mlp_program import main",
    # in the clone, as a worker starts the run of a deployment
    "prefect": f"import os; os.chdir({str(ROOT)!r})\n"
    "from prefect.utilities.importtools import import_object; import_object('flows.depth_sweep.depth_sweep')",
}


@pytest.mark.parametrize("started_by", ["deep-mlp", pytest.param("prefect", marks=pytest.mark.slow)])
def test_modules_of_the_user_s_own_are_not_taken_for_the_project_s(tmp_path, started_by):
    """Modules and packages of these names on PYTHONPATH are not executed, in processes of a run neither."""
    for name in ("tasks.py", "mlp_core.py", "flows/__init__.py"):
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.write_text("raise SystemExit('a file of the user')")
    program = (
        # as an installed program is started: PYTHONPATH comes before the project
        f"import sys\nsys.path.insert(0, {str(tmp_path)!r})\n{STARTED_BY[started_by]}\n"
        "from concurrent.futures import ProcessPoolExecutor\nfrom multiprocessing import get_context\n"
        "from tasks.helper_process import run_in_helper, stop_helpers\nfrom tasks.process import flow_at_work\n"
        "if __name__ == '__main__':\n"
        "    with flow_at_work(), ProcessPoolExecutor(1, get_context('spawn')) as pool:\n"
        "        pool.submit(stop_helpers).result()\n"
        "        print(run_in_helper(max, 1, 2))\n"
        "        stop_helpers()"
    )
    command = [sys.executable, "-P", "-c", program]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "2\n", "")


@pytest.mark.slow
@pytest.mark.parametrize("runner", ["threads", "processes", "dask"])
def test_a_run_finds_its_packages_whatever_is_on_the_users_path(program, tmp_path, servers, runner):
    """Modules of these names on PYTHONPATH are executed nowhere: not by the server, the helper or worker processes."""
    for name in ("tasks.py", "flows.py", "mlp_core.py", "prefect.py", "torch.py"):
        (tmp_path / "users").mkdir(exist_ok=True)
        (tmp_path / "users" / name).write_text("raise SystemExit('a file of the user')")
    environment = servers.new_home(tmp_path / "home")
    started = [sys.executable, "-P", "-c", STARTED_BY["deep-mlp"] + "; main()"]
    done = subprocess.run(
        [*started, *program.depth_sweep.split(), "--runner", runner],
        cwd=tmp_path,
        env={**environment, "PYTHONPATH": str(tmp_path / "users")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "a file of the user" not in done.stdout + done.stderr


@pytest.mark.parametrize("arguments", [[], ["--help"], ["depth-sweep"]])
def test_windows_is_told_what_to_do(arguments):
    """One sentence before anything is imported that Windows does not have."""
    program = (
        f"import sys\nsys.platform, sys.argv = 'win32', ['deep-mlp', *{arguments}]\n"
        "sys.modules['fcntl'] = sys.modules['click'] = None\nfrom deep_mlp_program import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert re.fullmatch(r"deep-mlp: the system must be Linux or macOS, got Windows; .* in WSL2 .*\.\n", done.stderr)


def test_help_waits_for_nothing_heavy():
    """Neither torch nor Prefect nor pandas is imported to print the help."""
    code = (
        "import sys; sys.argv = ['deep-mlp', 'tutorial', '--help']\n"
        "from flows.command_line import main\n"
        "try: main()\n"
        "finally: print({'torch', 'prefect', 'pandas', 'pyarrow', 'matplotlib', 'numpy'} & set(sys.modules))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.endswith("set()\n")


def test_output_that_nobody_reads_ends_it_quietly():
    """Where `head` has gone other programs are killed by SIGPIPE: `deep-mlp --help | head -1` ends with that status."""
    command = [sys.executable, "-m", "flows.command_line", "--help"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.close()
    assert process.communicate(timeout=60)[1] == b""
    assert process.returncode == 128 + signal.SIGPIPE


def test_the_report_is_written_again_from_results_alone(output_of, copied):
    """`deep-mlp report` makes the page that the run had made."""
    folder = copied("tutorial")
    page = (folder / "report.html").read_bytes()
    (folder / "report.html").unlink()
    assert output_of("report", "--artifacts", str(folder)) == (0, f"report   {folder / 'report.html'}\n")
    assert (folder / "report.html").read_bytes() == page


@pytest.mark.slow
def test_the_server_shows_earlier_runs_until_it_is_stopped(program, servers, tmp_path):
    """`deep-mlp ui` after a run: all of it is Completed, and Ctrl-C ends the server."""
    environment = servers.new_home(tmp_path / "home")
    process = program.start(program.depth_sweep, environment=environment)
    process.communicate(timeout=120)
    assert process.returncode == 0

    process = program.start("ui", environment=environment)
    url = f"http://127.0.0.1:{environment['PREFECT_SERVER_API_PORT']}/api"
    deadline = time.monotonic() + 60
    while not healthy(url):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.1)
    for kind, count in (("flow_runs", 1), ("task_runs", 12)):
        request = urllib.request.Request(f"{url}/{kind}/filter", b"{}", {"Content-Type": "application/json"})
        with urllib.request.urlopen(request) as answer:
            assert [run["state_name"] for run in json.load(answer)] == ["Completed"] * count
    os.killpg(process.pid, signal.SIGINT)
    process.communicate(timeout=30)
    assert not healthy(url)


@pytest.mark.parametrize(
    ("error", "status", "sentence"),
    [
        (InputError("gain must be positive."), 2, "deep-mlp: gain must be positive.\n"),
        (ResourceError("make room."), 1, "deep-mlp: make room.\n"),
        (TimeLimitExceeded("depth=2 took longer."), 1, "deep-mlp: depth=2 took longer.\n"),
        (SweepFailed("1 task failed."), 1, ""),  # the log has both
        (Drifted("1 of 8 metrics moved."), 1, ""),
    ],
)
def test_an_error_decides_the_exit_status(capsys, error, status, sentence):
    """Each says what it ends with, and whether its sentence still has to be shown."""

    def command():
        raise error

    assert _status(command) == status
    assert capsys.readouterr().err == sentence


def test_a_defect_keeps_its_traceback():
    """What is not one of the project's errors is not turned into a status, even if its class has the same base."""

    with pytest.raises(ValueError, match="invalid literal"):
        _status(lambda: int("a defect"))
