"""What holds for the figures and the section of every experiment."""

import subprocess
import sys

from flows.command_line import program
from mlp_core.experiments.catalog import FOLDERS
from mlp_core.experiments.sections import all_sections


def test_drawing_and_reporting_need_neither_torch_nor_pyplot():
    """A cached run that only draws and reports must start quickly and without a display."""
    program = (
        "import importlib.util, sys\n"
        "from mlp_core.experiments.sections import all_sections\n"
        "import mlp_core.report.decision_maps, mlp_core.report.loss_curves, mlp_core.report.page\n"
        "import mlp_core.report.png, mlp_core.report.signals\n"
        "all_sections()\n"
        f"for name in {FOLDERS}:\n"
        "    module = f'mlp_core.experiments.{name}.figures'\n"
        "    if importlib.util.find_spec(module):\n"
        "        importlib.import_module(module)\n"
        "assert 'mlp_core.experiments.phase.figures' in sys.modules\n"
        "sys.exit('torch' in sys.modules or 'matplotlib.pyplot' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_no_two_sections_share_a_name_or_a_figure():
    """Names are anchors of one page."""
    sections = all_sections()
    figures = [figure.name for section in sections for figure in section.figures]
    assert len({section.name for section in sections}) == len(sections) == len(FOLDERS)
    assert len(set(figures)) == len(figures)


def test_every_section_says_how_to_make_its_table():
    """By a command of the program with options that it has."""
    for section in all_sections():
        name, *options = section.command.removeprefix("deep-mlp ").split()
        known = {text for parameter in program.commands[name].params for text in parameter.opts}
        assert known >= set(options)
