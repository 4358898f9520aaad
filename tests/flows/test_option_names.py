"""Options under another command's name for them, and options of other commands."""

import re
import sys
from importlib.metadata import version

import pytest

from flows.command_line import main, program
from flows.option_names import in_own_names
from mlp_core.errors import InputError
from mlp_core.experiments.first_layer.experiment import FirstLayer
from mlp_core.experiments.images.experiment import Images


@pytest.fixture
def output_of(monkeypatch, capsys):
    """Give a function that runs the program here and returns its exit status and what it says."""

    def output_of(*arguments):
        monkeypatch.setattr(sys, "argv", ["deep-mlp", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        output = capsys.readouterr()
        return ended.value.code, output.out, output.err

    return output_of


def options(model, **values):
    """Return the options of a command as click gives them, with the names of other commands."""
    names = ("width", "depths", "hidden_widths")
    defaults = {name: field.default for name, field in model.model_fields.items()}
    return defaults, {**dict.fromkeys(names), **values}


@pytest.mark.parametrize(
    ("model", "written", "own", "line"),
    [
        (
            FirstLayer,
            {"hidden_widths": "8,8"},
            {"width": "8", "depths": "2"},
            "--hidden-widths 8,8 is --width 8 --depths 2",
        ),
        (
            Images,
            {"width": "8", "depths": "2"},
            {"hidden_widths": "8,8"},
            "--width 8 --depths 2 is --hidden-widths 8,8",
        ),
        (Images, {"width": "128"}, {"hidden_widths": "128,128,128"}, "--width 128 is --hidden-widths 128,128,128"),
        (Images, {"depths": "1"}, {"hidden_widths": "64"}, "--depths 1 is --hidden-widths 64"),
        (Images, {"hidden_widths": "8"}, {}, ""),
    ],
)
def test_another_command_s_name_is_taken_and_told(capsys, model, written, own, line):
    """What both names can say is taken, with a line that says it in the command's own."""
    assert in_own_names("this", *options(model, **written)) == own
    err = capsys.readouterr().err
    assert err == (f"deep-mlp: {line} in this.\n" if line else "")


@pytest.mark.parametrize(
    ("model", "written", "message"),
    [
        (
            FirstLayer,
            {"hidden_widths": "8,4"},
            "hidden_widths must be equal in this, whose networks have one width, got",
        ),
        (Images, {"depths": "1,2"}, "depths must be one number from 1 to 1000 in this, got '1,2'"),
        (FirstLayer, {"hidden_widths": "8,8", "width": "8"}, "width must be given once, got it as --hidden-widths 8,8"),
    ],
)
def test_what_the_own_names_cannot_say_is_refused(model, written, message):
    """One sentence names the command's own."""
    with pytest.raises(InputError, match=re.escape(message)):
        in_own_names("this", *options(model, **written))


def test_the_command_line_takes_other_names(output_of):
    """They reach the same rules, under the command's own name."""
    status, out, err = output_of("first-layer", "--hidden-widths", "0,0")
    assert (status, out) == (2, "")
    assert err == (
        "deep-mlp: --hidden-widths 0,0 is --width 0 --depths 2 in first-layer.\n"
        "deep-mlp: width must be greater than or equal to 1, got '0'; the default is 64.\n"
    )
    assert "hidden-widths" not in output_of("first-layer", "--help")[1]


def test_an_option_of_other_commands_is_told(output_of):
    """The sentence names those that have it."""
    status, out, err = output_of("tutorial", "--epochs", "3")
    assert (status, out) == (2, "")
    having = [
        name
        for name, command in program.commands.items()
        if "--epochs" in [option.opts[0] for option in command.params]
    ]
    assert {"depth-sweep", "phase-diagram"} < set(having)
    assert err == (
        f"deep-mlp: tutorial has no option --epochs, which is one of {', '.join(having)}; see tutorial --help.\n"
    )
    assert re.fullmatch("deep-mlp: No such option '--epocs'.*'--epochs'.*\n", output_of("images", "--epocs", "3")[2])


def test_the_version_is_told(output_of):
    """As the package has it."""
    assert output_of("--version") == (0, f"deep-mlp, version {version('deep-mlp')}\n", "")
