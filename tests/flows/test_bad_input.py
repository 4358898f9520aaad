"""Mistakes of the user's: one sentence on stderr, exit status 2, no traceback, nothing written."""

import re
import signal
import sys
import zipfile

import pytest

from flows.command_line import main
from mlp_core.data.settings import Spirals
from mlp_core.errors import InputError


@pytest.fixture
def refused(refused_at_last, monkeypatch):
    """Give a function that runs the program, here, on what it must refuse before it starts a server."""
    monkeypatch.delenv("PREFECT_API_URL")
    monkeypatch.setattr("flows.local_run.LocalServer", None)
    return refused_at_last


@pytest.fixture
def refused_at_last(tmp_path, monkeypatch, capsys):
    """Give a function that runs the program, here, on what it must refuse before a run, and returns its sentence."""
    monkeypatch.chdir(tmp_path)

    def refused(*arguments):
        before = sorted(tmp_path.rglob("*"))
        monkeypatch.setattr(sys, "argv", ["deep-mlp", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        output = capsys.readouterr()
        assert (ended.value.code, output.out) == (2, "")
        assert sorted(tmp_path.rglob("*")) == before
        return sentence(output.err)

    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    yield refused
    for number, handler in handlers.items():  # a program that ends is deaf to them
        signal.signal(number, handler)


def sentence(text):
    """Return the one line that the program should have said."""
    assert text.startswith("deep-mlp: "), text
    assert text.count("\n") == 1
    assert text.endswith("\n")
    return text.removeprefix("deep-mlp: ").rstrip("\n")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("depth-sweep --activation swish", ["activation must be one of relu, tanh", "leaky_relu(SLOPE)", "'swish'"]),
        ("depth-sweep --activation __import__('os')", ["activation must be one of", "__import__"]),
        ("gain-sweep --gains 0", ["gains must be greater than or equal to 0.000001", "'0'", "0.1:3:10"]),
        ("gain-sweep --gains=-1", ["gains must be greater than or equal to 0.000001", "'-1'", "0.1:3:10"]),
        ("gain-sweep --gains nan", ["gains must be a finite number", "'nan'", "0.1:3:10"]),
        ("gain-sweep --gains 1,1", ["gains must hold each value once", "0.1:3:10"]),
        ("gain-sweep --distribution cauchy", ["distribution must be 'normal' or 'uniform'", "'cauchy'"]),
        ("tutorial --seeds 0", ["seeds must be greater than or equal to 1", "'0'", "the default is 8"]),
        ("tutorial --seeds many", ["seeds must be a whole number", "'many'", "the default is 8"]),
        ("tutorial --seed -1", ["seed must be greater than or equal to 0", "'-1'", "2021"]),
        ("tutorial --runner ray", ["runner must be 'threads', 'processes' or 'dask'", "'ray'"]),
        (
            "depth-sweep --workers 9999",
            ["workers must be at most the", "cores", "9999", "leave --workers"],
        ),
        ("depth-sweep --scheduler tcp://127.0.0.1:1", ["scheduler must be left out unless --runner dask"]),
        ("depth-sweep --runner dask --workers 1 --scheduler tcp://127.0.0.1:1", ["must be left out with --workers"]),
        ("depth-sweep --artifacts gs://bucket", ["artifacts must be a folder or s3://BUCKET/PREFIX", "'gs://bucket'"]),
        ("depth-sweep --depths 0", ["depths must be greater than or equal to 1", "'0'", "1,2,3,4,5"]),
        ("depth-sweep --learning-rate nan", ["learning_rate must be a finite number", "'nan'", "0.001"]),
        ("images --hidden-widths 64,0", ["hidden_widths must be greater than or equal to 1", "'0'", "64,64,64"]),
        ("polynomial --arms 1", ["arms must be greater than or equal to 2", "'1'", "the default is 4"]),
        ("depth-sweep --speeds 3", ["'--speeds'", "--seeds"]),
        ("depth", ["'depth'", "depth-sweep"]),
    ],
)
def test_a_bad_setting_is_named(refused, arguments, words):
    """The sentence names the setting, the rule, the value and the way out."""
    sentence = refused(*arguments.split())
    assert [word for word in words if word not in sentence] == [], sentence


def write_zip(path, names):
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, b"")


GOOD_NAMES = ["train/cat/1.jpg", "train/dog/1.jpg", "val/cat/1.jpg", "val/dog/1.jpg"]


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("text.zip", ["images must be a zip or a folder", "'text.zip'", "no readable zip"]),
        (
            "outside.zip",
            ["'../cat.jpg'", "outside.zip", "points outside the folder", "nothing was read", "make the zip"],
        ),
        ("one-class.zip", ["at least two classes", "['cat']", "put each class in its own folder"]),
        ("empty", ["got none in empty", "put each class in its own folder, below train/ and val/"]),
    ],
)
def test_bad_images_are_refused_before_a_run(refused_at_last, api_url, tmp_path, source, words):
    """A source that cannot be used is said before anything is made; a zip is not unpacked."""
    (tmp_path / "text.zip").write_text("no zip")
    write_zip(tmp_path / "outside.zip", [*GOOD_NAMES, "../cat.jpg"])
    write_zip(tmp_path / "one-class.zip", ["train/cat/1.jpg", "val/cat/1.jpg"])
    (tmp_path / "empty").mkdir()
    for command in ("images", "gain-sweep", "tutorial"):
        sentence = refused_at_last(command, "--images", source)
        assert [word for word in words if word not in sentence] == [], sentence


@pytest.mark.parametrize("source", ["nowhere", "ftp://127.0.0.1/faces.zip"])
@pytest.mark.parametrize("command", ["images", "gain-sweep", "tutorial"])
def test_images_that_are_nowhere_are_refused_before_a_server_starts(refused, command, source):
    """The sentence names what there is to choose from."""
    sentence = refused(command, "--images", source)
    assert sentence.startswith("images must be synthetic, animal-faces, an http(s) URL of a zip")
    assert sentence.endswith(f"or a zip or folder that exists, got {source!r}.")


@pytest.mark.parametrize("folder", ["file", "file/below"])
def test_artifacts_in_a_file_are_refused(refused, tmp_path, folder):
    """Where a folder cannot be made the sentence says why."""
    (tmp_path / "file").write_text("")
    sentence = refused("depth-sweep", "--artifacts", folder)
    assert sentence == (
        f"artifacts must be a folder to write to, got {tmp_path / folder}, but {tmp_path / 'file'} is a file; "
        "choose another --artifacts."
    )


COMMANDS = [
    ["depth-sweep"],
    ["report"],
    ["baseline", "accept"],
    ["baseline", "show"],
    ["baseline", "compare"],
    ["artifacts", "list"],
    ["artifacts", "show", "results"],
    ["artifacts", "prune", "--yes"],
]
"""Of each kind that has --artifacts."""


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
@pytest.mark.parametrize(
    ("folder", "words"),
    [
        ("", "artifacts must have at least 1 character, got ''"),
        ("~nobody-of-that-name/x", "artifacts must be the name of a folder, got '~nobody-of-that-name/x'"),
        ("circle/x", "artifacts must be the name of a folder, got 'circle/x': Too many levels of symbolic links"),
    ],
)
def test_a_name_that_is_no_folder_s_is_refused(refused, tmp_path, command, folder, words):
    """Every command says so; none takes the default folder instead."""
    (tmp_path / "circle").symlink_to("circle")
    assert refused(*command, "--artifacts", folder).startswith(words)


TOO_LONG = "n" * 300
"""No file system has such names."""


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_name_that_is_too_long_is_refused(refused, command):
    """A run, and whatever looks at a folder."""
    sentence = refused(*command, "--artifacts", TOO_LONG)
    assert re.fullmatch(r"artifacts must be .*too long.*; .*choose another --artifacts\.", sentence), sentence


def test_a_name_that_is_too_long_is_refused_below_a_folder_to_be_made(refused):
    """The run would fail only when it makes that one."""
    assert "but a name of 300 bytes is too long there" in refused("depth-sweep", "--artifacts", f"above/{TOO_LONG}")


def test_a_report_needs_results(refused):
    """A folder without results is named."""
    assert "got none in" in refused("report", "--artifacts", "nowhere")


@pytest.mark.parametrize("experiment", ["depth_sweep", "tutorial"])
def test_a_batch_that_no_epoch_fills_is_refused(run, tmp_path, experiment):
    """The sentence names the training points that there are, before anything is made."""
    ran = run(experiment, tmp_path / "artifacts", spirals=Spirals(points=10, arms=2))
    with pytest.raises(InputError, match="batch_size must be at most the 16 training points, got 32; use a smaller"):
        ran.state.result()
    assert list(tmp_path.iterdir()) == []
