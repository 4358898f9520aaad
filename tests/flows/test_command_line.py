"""The program's help, its report, and its server for looking at runs afterwards."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from importlib.metadata import entry_points

import pytest

from flows.command_line import main
from flows.server import healthy

COMMANDS = [
    "tutorial",
    "depth-sweep",
    "polynomial",
    "generalization",
    "images",
    "features",
    "gain-sweep",
    "signals",
    "phase",
    "report",
    "baseline",
    "ui",
]


@pytest.fixture
def said(monkeypatch, capsys):
    """Give a function that runs the program here and returns its exit status and what it says."""

    def said(*arguments):
        monkeypatch.setattr(sys, "argv", ["deep-mlp", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        output = capsys.readouterr()
        assert output.err == ""
        return ended.value.code, output.out

    return said


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"]])
def test_help_lists_every_command(said, arguments):
    """Without a command the program says what there is."""
    status, text = said(*arguments)
    assert status == 0
    assert [command for command in COMMANDS if f"  {command} " not in text] == []


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_has_help(said, command):
    """Every option is explained, with its default."""
    status, text = said(command, "--help")
    assert status == 0
    assert text.startswith(f"Usage: deep-mlp {command} [OPTIONS]")
    if command not in ("report", "baseline", "ui"):
        words = " ".join(text.split())
        assert "--seeds N Members per configuration" in words
        assert "[default: 2021]" in words
        assert "--runner threads|processes" in words
        assert "--refresh" in words


def test_the_installed_program_is_this_one():
    """`deep-mlp` is the function tested here."""
    (script,) = entry_points(group="console_scripts", name="deep-mlp")
    assert script.load() is main


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


def test_the_report_is_written_again_from_results_alone(said, copied):
    """`deep-mlp report` makes the page that the run had made."""
    folder = copied("tutorial")
    page = (folder / "report.html").read_bytes()
    (folder / "report.html").unlink()
    assert said("report", "--artifacts", str(folder)) == (0, f"report   {folder / 'report.html'}\n")
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
    for kind, count in (("flow_runs", 1), ("task_runs", 11)):
        request = urllib.request.Request(f"{url}/{kind}/filter", b"{}", {"Content-Type": "application/json"})
        with urllib.request.urlopen(request) as answer:
            assert [run["state_name"] for run in json.load(answer)] == ["Completed"] * count
    os.killpg(process.pid, signal.SIGINT)
    process.communicate(timeout=30)
    assert not healthy(url)
