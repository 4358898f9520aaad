"""The Makefile's first step, with real make: which Python, which machine, and whose `.venv` it is."""

import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path
from types import SimpleNamespace

import pytest

ROOT = Path(__file__).parents[1]
PYTHON = """#!{python}
# Says that it is another Python on another machine, and notes what it is told to run; nothing is installed.
import platform, runpy, sys

with open({log!r}, "a") as log:
    print(*sys.argv[1:], file=log)
sys.version_info = (*{version}, "final", 0)
platform.python_version = lambda: "%d.%d.%d" % {version}
if {machine!r}:
    sys.platform, platform.machine = "darwin", lambda: {machine!r}
if sys.argv[1] == "-c":
    exec(sys.argv[2])
elif sys.argv[1] == "-m":
    sys.exit("no environment is made in this test")
else:
    runpy.run_path(sys.argv[1], run_name="__main__")
"""
AS_MADE = (*sys.version_info[:3],)
OTHER = (3, 12 if sys.version_info[:2] == (3, 11) else 11, 1)


class Clone:
    """The files that make reads, in a folder of their own, and a Python that says it is another."""

    def __init__(self, folder):
        self.folder = folder
        (folder / "requirements").mkdir(parents=True)
        names = [path.relative_to(ROOT) for path in (ROOT / "requirements").iterdir()]
        for name in ("Makefile", "pyproject.toml", *names):
            shutil.copy(ROOT / name, folder / name)

    def install(self):
        """Make the environment as `make install` leaves it, without the packages."""
        venv.create(self.folder / ".venv", symlinks=True)
        cfg = self.folder / ".venv" / "pyvenv.cfg"
        written = f"command = {sys.executable} -m venv {self.folder / '.venv'}\n"  # as `python -m venv` writes it
        lines = [line for line in cfg.read_text().splitlines(keepends=True) if not line.startswith("command")]
        cfg.write_text("".join(lines) + written)
        (self.folder / ".venv/bin/pip").touch()
        (self.folder / ".venv/installed").touch()

    def make(self, *, version=AS_MADE, machine="", asked=True):
        """Run `make install`, with PYTHON or with the first `python3` on the path, and say what Python was to do."""
        bin, log = self.folder.parent / "bin", self.folder.parent / "log"
        bin.mkdir(exist_ok=True)
        log.write_text("")
        python = bin / "python3"
        python.write_text(PYTHON.format(python=sys.executable, log=str(log), version=version, machine=machine))
        python.chmod(0o755)
        environment = {**os.environ, "PATH": f"{bin}{os.pathsep}{os.environ['PATH']}"}
        for name in ("PYTHON", "MAKEFLAGS", "MAKELEVEL"):
            environment.pop(name, None)
        command = ["make", "install", *([f"PYTHON={python}"] if asked else [])]
        done = subprocess.run(command, cwd=self.folder, env=environment, capture_output=True, text=True, timeout=60)
        commands = [line for line in log.read_text().splitlines() if not line.startswith("-c")]
        return SimpleNamespace(status=done.returncode, out=done.stdout, err=done.stderr, told=commands)


@pytest.fixture
def clone(tmp_path):
    """Give a clone without an environment, in a folder whose name has a space."""
    return Clone(tmp_path / "deep mlp")


CHECK = "requirements/check_machine.py"
ANEW = [CHECK, "-m venv --clear .venv"]


@pytest.mark.parametrize(
    ("machine", "sentence"),
    [
        ({"version": (3, 10, 13)}, "PYTHON must be Python 3.11 to 3.13, got 3.10.13 at "),
        ({"version": (3, 20, 0)}, "PYTHON must be Python 3.11 to 3.13, got 3.20.0 at "),
        ({"machine": "x86_64"}, "a Mac must have Apple Silicon and a Python made for it, got x86_64: "),
    ],
    ids=["too-old", "too-new", "intel-mac"],
)
def test_a_machine_that_cannot_be_used_is_told_in_one_sentence(clone, machine, sentence):
    """Before anything is downloaded, and without leaving an environment behind."""
    result = clone.make(**machine)
    assert result.status == 2
    assert result.err.startswith(sentence)
    assert len(result.err.splitlines()) == 2  # the other is make's own
    assert result.told == [CHECK]
    assert not (clone.folder / ".venv").exists()


def test_an_apple_silicon_mac_is_taken(clone):
    """The next step is the environment."""
    assert clone.make(machine="arm64").told == ANEW


@pytest.mark.parametrize("asked", [True, False], ids=["asked-for", "by-default"])
def test_what_is_installed_stays(clone, asked):
    """With the Python that it was made with nothing is to be done; with another `python3` on the path neither."""
    clone.install()
    result = clone.make(asked=asked, version=AS_MADE if asked else OTHER)
    assert (result.status, result.told) == (0, [])


def test_another_python_that_is_asked_for_makes_the_environment_again(clone):
    """The packages of one Python are not those of another."""
    clone.install()
    assert clone.make(version=OTHER).told == ANEW


def test_a_python_that_cannot_be_used_leaves_what_is_installed(clone):
    """It is refused, and the environment is whole."""
    clone.install()
    assert clone.make(version=(3, 10, 13)).told == [CHECK]
    assert (clone.folder / ".venv" / "installed").exists()


def test_new_versions_are_installed_by_the_environment_s_own_python(clone):
    """Another `python3` on the path would mix its packages with those that are there."""
    clone.install()
    (clone.folder / ".venv/installed").unlink()
    result = clone.make(asked=False, version=OTHER)
    assert result.told == []
    assert "No module named pip" in result.err


def test_an_environment_that_was_left_without_pip_is_made_again(clone):
    """As Debian leaves it if python3-venv is missing."""
    clone.install()
    (clone.folder / ".venv/bin/pip").unlink()
    assert clone.make().told == ANEW


def test_what_an_older_python_left_is_made_again(clone):
    """Python 3.10 does not write down where its environment lies."""
    clone.install()
    (clone.folder / ".venv" / "pyvenv.cfg").write_text("version = 3.10.13\n")
    assert clone.make(asked=False).told == ANEW


@pytest.mark.parametrize("how", [shutil.move, shutil.copytree], ids=["moved", "copied"])
def test_the_environment_of_a_clone_that_was_moved_or_copied_is_made_again(clone, how):
    """Its programs name the place where they were made: they do not start there, or run the code that lies there."""
    clone.install()
    elsewhere = clone.folder.with_name("deep mlp elsewhere")
    how(clone.folder, elsewhere)
    clone.folder = elsewhere
    assert clone.make(asked=False).told == ANEW


@pytest.mark.thorough
def test_the_program_of_a_copied_clone_does_not_run_the_original_s_code(tmp_path):
    """It says where it lies, whose code it would run, and the way out; a link to the program is as good as it."""
    for name in ("clone", "copy"):
        (tmp_path / name / ".venv/bin").mkdir(parents=True)
    script = f"#!{sys.executable}\nimport sys\n{{}}\nfrom deep_mlp_program import main\nmain()\n"
    here = tmp_path / "copy/.venv/bin/deep-mlp"
    here.write_text(script.format(""))
    (tmp_path / "copy/.venv/pyvenv.cfg").write_text("home = /usr/bin\n")
    copied = subprocess.run([sys.executable, here, "--help"], capture_output=True, text=True)
    assert copied.returncode == 2
    assert copied.stderr.startswith(
        f"deep-mlp: the program must be started in the folder where it was installed, got {here}"
    )
    assert "make install" in copied.stderr
    assert len(copied.stderr.splitlines()) == 1

    here.write_text(script.format(f"sys.prefix = {str(tmp_path / 'copy/.venv')!r}"))
    link = tmp_path / "deep-mlp"
    link.symlink_to(here)
    assert subprocess.run([sys.executable, link, "--help"], capture_output=True).returncode == 0
