"""An experiment is named in its folder, its flow, `prefect.yaml` and the list alone; dropped words stay away."""

import ast
import re
import subprocess
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
}
"""Names of experiments that are words for something else, too. Names of settings are others."""
SETTINGS = {
    name for flow in flow_names() for group in flow_parameters(flow).values() for name in type(group).model_fields
}


def rooms_of(experiment):
    """Return where an experiment may be named: path prefixes."""
    return f"mlp_core/experiments/{folder_of(experiment)}/", f"flows/{experiment.tag}.py", LIST


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


NAMED_IN = {module: named_in(module) for module in MODULES}


def foreign(experiment):
    """Yield the modules outside an experiment's rooms, with what they name."""
    for module, names in NAMED_IN.items():
        if not module.startswith(rooms_of(experiment)):
            yield module, *names


def is_other_experiment(module):
    return module.startswith("mlp_core/experiments/") and module.count("/") > 2


@EVERY
def test_no_module_outside_knows_its_settings_or_its_modules(experiment):
    """Neither by `isinstance`, nor otherwise; another experiment may import what it uses (see test_architecture.py)."""
    path = f"mlp_core.experiments.{folder_of(experiment)}"
    for module, identifiers, imported, quoted in foreign(experiment):
        if not is_other_experiment(module):
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
            one.flow for one in experiments() if module == f"mlp_core/experiments/{folder_of(one)}/experiment.py"
        }
        assert names & quoted - ORDINARY.keys() - SETTINGS - runs_there == set(), module


def test_ordinary_words_are_names_of_experiments():
    """Or they need not be here."""
    assert ORDINARY.keys() <= {name for one in experiments() for name in (folder_of(one), one.name)}


def test_flows_of_experiments_are_short():
    """At most 30 lines: what they have in common is told once."""
    for flow in flow_names():
        assert len((ROOT / f"flows/{flow}.py").read_text(encoding="utf-8").splitlines()) <= 30


DROPPED = {
    r"image": "image",
    r"image": "image",
    r"\bexplain_\w|--ablation\b": "ablation",
    r"\bwhole_faces\b": "whole_images",
    r"Interval": "Interval",
    r"\b(silence_prefect_console|run_in_helper|preload_in_helper|checked_json|InputsAndSourceClosure)\b": "see the changelog",
    r"\b(ExtraTable|ImageRunSettings|warm_concurrency_limit_cache|check_resources)\b": "see the changelog",
    r"(?<!test_ranges_are_printed)_describe\b": "describe_",
    r"deep-mlp (ablation|features|signals|phase)\b(?!-)": "ablation, first-layer, signal-propagation, phase-diagram",
}
"""Words that were dropped, and what is said instead (docs/glossary.md)."""
SEEDS_NUMBERS = 'derive_seed(seed, "photographs"'
"""What seeds random numbers keeps its string, or results would move."""


def written_files():
    """Return the files in which people and programs read words; the changelog says what things were called before."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    own = {"CHANGELOG.md", Path(__file__).relative_to(ROOT).as_posix()}
    ends = (".py", ".md", ".yaml", ".yml", ".jinja", ".toml", "Makefile")
    return [ROOT / name for name in listed.splitlines() if name.endswith(ends) and name not in own]


def dropped_words(text):
    """Return each dropped word in a text, with the word to use."""
    text = text.replace(SEEDS_NUMBERS, "")
    return [f"{match[0]}: {word}" for old, word in DROPPED.items() for match in re.finditer(old, text, re.IGNORECASE)]


def test_dropped_words_do_not_come_back():
    """Neither in names nor in prose."""
    files = [path for path in written_files() if path.is_file()]
    assert len(files) > 200
    again = {path.name: words for path in files if (words := dropped_words(path.read_text(encoding="utf-8")))}
    assert again == {}


@pytest.mark.parametrize("text", ["On Images", "an_image", "deep-mlp phase-diagram --seeds 2", "describe_best(x)"])
def test_a_dropped_word_is_seen(text):
    """In names and in sentences, however it is spelled."""
    assert dropped_words(text)


def test_the_glossary_has_a_sentence_and_a_source_for_each_term():
    """Every row has all three; no term comes twice."""
    rows = [
        line.strip("|").split("|") for line in (ROOT / "docs/glossary.md").read_text().splitlines() if line[:1] == "|"
    ]
    terms = [row for row in rows if row[0].strip(" -") and row[0].strip() != "term"]
    assert len(terms) >= 40
    assert all(len(row) == 3 and row[1].strip().endswith(".") and row[2].strip() for row in terms)
    assert len({row[0] for row in terms}) == len(terms)
