"""An experiment is named in its folder, its flow, `prefect.yaml` and the list alone: read from the sources."""

import ast
from functools import cache
from pathlib import Path

import pytest
from smallest import folder_of

from mlp_core.experiments.catalog import experiments
from tasks.stages import flow_names, flow_parameters

ROOT = Path(__file__).parents[1]
LIST = "mlp_core/experiments/catalog.py"
MODULES = sorted(
    path.relative_to(ROOT).as_posix() for top in ("mlp_core", "tasks", "flows") for path in (ROOT / top).rglob("*.py")
)
EVERY = pytest.mark.parametrize("experiment", experiments(), ids=folder_of)
ORDINARY = {
    "images": "a kind of data, the setting that says where they come from, and their folder",
    "polynomial": "a kind of model",
    "sweep": "what flows call the settings of an experiment that varies one",
}
"""Names of experiments that are words for something else, too. Names of settings are others."""
SETTINGS = {
    name for flow in flow_names() for group in flow_parameters(flow).values() for name in type(group).model_fields
}


def rooms_of(experiment):
    """Return where an experiment may be named: path prefixes."""
    return f"mlp_core/experiments/{folder_of(experiment)}/", f"flows/{experiment.tag}.py", LIST


@cache
def named_in(module):
    """Return all identifiers, dotted names of imports, and quoted strings of a module, without its documentation."""
    tree = ast.parse((ROOT / module).read_text(encoding="utf-8"))
    prose = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    identifiers, imported, quoted = set(), set(), set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            identifiers.add(node.id)
        elif isinstance(node, ast.ImportFrom):
            imported |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            imported |= {alias.name for alias in node.names}
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in prose:
            quoted.add(node.value)
    return identifiers, imported, quoted


def foreign(experiment):
    """Yield the modules outside an experiment's rooms, with what they name."""
    for module in MODULES:
        if not module.startswith(rooms_of(experiment)):
            yield module, *named_in(module)


def is_other_experiment(module):
    return module.startswith("mlp_core/experiments/") and module.count("/") > 2


@EVERY
def test_no_module_outside_knows_its_settings_or_its_modules(experiment):
    """Neither by `isinstance`, nor otherwise; another experiment may import what it uses (see test_architecture.py)."""
    path = f"mlp_core.experiments.{folder_of(experiment)}"
    for module, identifiers, imported, quoted in foreign(experiment):
        if not is_other_experiment(module):
            if experiment.settings.__module__.startswith(f"{path}."):  # else they are those of all data
                assert experiment.settings.__name__ not in identifiers, module
            assert not any(f"{name}.".startswith(f"{path}.") for name in imported), module
        assert not any(path in text for text in quoted), module


@EVERY
def test_its_name_is_quoted_nowhere_else(experiment):
    """Of folder, table, flow and command, unless it is an ordinary word; whoever runs in another's flow names that."""
    names = {folder_of(experiment), experiment.name, experiment.settings.__name__}
    names |= {name.replace("_", "-") for name in names}
    for module, _, _, quoted in foreign(experiment):
        runs_there = {
            experiment.flow
            for experiment in experiments()
            if module == f"mlp_core/experiments/{folder_of(experiment)}/experiment.py"
        }
        assert names & quoted - ORDINARY.keys() - SETTINGS - runs_there == set(), module


def test_ordinary_words_are_names_of_experiments():
    """Or they need not be here."""
    assert ORDINARY.keys() <= {
        name for experiment in experiments() for name in (folder_of(experiment), experiment.name)
    }


def test_flows_of_experiments_are_short():
    """At most 30 lines: what they have in common is told once."""
    for flow in flow_names():
        assert len((ROOT / f"flows/{flow}.py").read_text(encoding="utf-8").splitlines()) <= 30
