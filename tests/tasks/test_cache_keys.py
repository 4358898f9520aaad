"""Whether a cache key knows all the code and every library that decides a result; read from the sources."""

import ast
import shutil
import subprocess
import sys
from functools import cache
from importlib import import_module
from importlib.metadata import version
from pathlib import Path

import pytest
from prefect import Task
from smallest import folder_of, planned_outputs, smallest_setup, with_inputs

from mlp_core.artifacts.storage import code_modules, versions
from mlp_core.experiments.catalog import experiments
from mlp_core.experiments.interface import Figure, Table
from tasks import caching
from tasks.caching import InputsAndSourceClosure
from tasks.report import measure_claims
from tasks.results import draw_figure, make_table

ROOT = Path(__file__).parents[2]
OWN = "mlp_core", "tasks"
DISTRIBUTIONS = {"PIL": "pillow"}
"""Of modules that are called otherwise."""


def path_of(module):
    """Return the file of a module of ours; None if there is no such module."""
    path = ROOT / module.replace(".", "/")
    candidates = (path.with_suffix(".py"), path / "__init__.py")
    return next((candidate for candidate in candidates if candidate.is_file()), None)


def is_for_types(node):
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


@cache
def imports(module):
    """Return what a module imports, at any depth and in any form but for types: dotted names."""
    names, waiting = set(), [ast.parse(path_of(module).read_text(encoding="utf-8"))]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level
            names.add(node.module)
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
        waiting += [child for child in ast.iter_child_nodes(node) if not is_for_types(child)]
    return names


def is_own(name):
    return name.split(".")[0] in OWN and path_of(name) is not None


@cache
def used(*modules):
    """Return modules of ours and all that they import, directly or not."""
    reached, waiting = set(), list(modules)
    while waiting:
        module = waiting.pop()
        if module not in reached:
            reached.add(module)
            waiting += filter(is_own, imports(module))
    return reached


def libraries(*modules):
    """Return the distributions of others that modules of ours use, directly or not."""
    tops = {name.split(".")[0] for module in used(*modules) for name in imports(module)}
    return {DISTRIBUTIONS.get(top, top) for top in tops - {*OWN} - sys.stdlib_module_names}


def cached_tasks():
    """Return all tasks whose results are kept, by name."""
    modules = [import_module(f"tasks.{path.stem}") for path in sorted((ROOT / "tasks").glob("[!_]*.py"))]
    tasks = {id(value): value for module in modules for value in vars(module).values() if isinstance(value, Task)}
    return {task.name: task for task in tasks.values() if isinstance(task.cache_policy, InputsAndSourceClosure)}


TASKS = cached_tasks()
EVERY = pytest.mark.parametrize("experiment", experiments(), ids=folder_of)


def outputs(experiment):
    """Return the tables and figures of an experiment with the task that makes each."""
    planned = with_inputs(planned_outputs(experiment, smallest_setup(experiment)))
    return [(output, make_table if isinstance(output, Table) else draw_figure) for output in planned]


def unknown_to(task, *modules):
    """Return what a task, and modules that its inputs name, use and its key does not know."""
    roots = task.fn.__module__, *task.cache_policy.code, *modules
    return used(*roots) - code_modules(*roots).keys() - {"mlp_core", "tasks"}


def test_all_cached_tasks_are_looked_at():
    """The tests below look at something."""
    assert {"generate spirals", "train", "tune learning rate", "make table", "draw figure", "measure claims"} <= set(
        TASKS
    )


@pytest.mark.parametrize("name", TASKS)
def test_a_key_knows_the_code_that_its_task_uses(name):
    """Each module, wherever and in whatever form it is imported."""
    assert unknown_to(TASKS[name]) == set()


@EVERY
def test_a_key_knows_the_code_that_makes_an_output(experiment):
    """The functions that tables and figures name, and all that they use."""
    for output, task in outputs(experiment):
        for reference in (getattr(output, name, "") for name in ("function", "draw", "prepare")):
            if reference:
                assert reference.split(":")[0] in output.modules
        assert unknown_to(task, *output.modules) == set(), output.name


BY_NAME = {
    "mlp_core.experiments.interface": "what an output names, of which its input's `modules` tell the key",
    "mlp_core.experiments.catalog": "the experiments themselves; whose claims there are the key of those lists",
    "mlp_core.experiments.claims": "the claims, which the task lists",
    "mlp_core.experiments.sections": "the report, which is kept by no key",
    "tasks.dask_cluster": "what a worker imports before all else to find the packages; no result depends on it",
    "tasks.helper_process": "what the helper shall have at hand; no result depends on it",
}
"""Modules that import others by a name that is no line of theirs, and how a key knows of those."""


def test_what_is_imported_by_name_is_declared():
    """No other module can hide code from a key."""
    modules = [
        path.relative_to(ROOT).with_suffix("").as_posix().replace("/", ".")
        for top in OWN
        for path in (ROOT / top).rglob("*.py")
    ]
    assert {module for module in modules if imports(module) & {"importlib", "importlib.import_module"}} == {*BY_NAME}


def test_the_key_of_claims_knows_every_module_that_makes_some():
    """They are imported by name."""
    assert {experiment.claims for experiment in experiments() if experiment.claims} <= set(
        measure_claims.cache_policy.code
    )


DECIDE_BYTES = {"matplotlib", "pandas", "pyarrow", "scipy"}
"""Libraries that decide the bytes of tables and figures, and nothing that is trained."""


@EVERY
def test_a_key_knows_the_libraries_that_make_an_output(experiment):
    """Those that the functions of tables and figures use."""
    for output, task in outputs(experiment):
        assert libraries(*output.modules) & DECIDE_BYTES <= set(task.cache_policy.libraries), output.name
        assert isinstance(output, Figure) <= ("matplotlib" in task.cache_policy.libraries)


def test_the_key_of_claims_knows_its_libraries():
    """Intervals are scipy's in part."""
    used_there = libraries(*measure_claims.cache_policy.code) & DECIDE_BYTES
    assert "scipy" in used_there
    assert used_there <= set(measure_claims.cache_policy.libraries)


@pytest.mark.parametrize(
    ("task", "library"),
    [
        *((task, library) for task in ("train", "make table", "draw figure") for library in versions()),
        *(("make table", library) for library in ("scipy", "pandas", "pyarrow")),
        *(("draw figure", library) for library in ("scipy", "pandas", "pyarrow", "matplotlib")),
        *(("measure claims", library) for library in ("scipy", "pyarrow", "numpy")),
    ],
)
def test_another_version_of_a_library_is_another_key(task, library, monkeypatch):
    """What a library makes is made again when it has changed."""
    policy = TASKS[task].cache_policy
    before = policy.code_digest()
    changed = {**versions(), library: "0"} if library in versions() else versions()
    monkeypatch.setattr(caching, "versions", lambda: changed)
    monkeypatch.setattr(caching, "version", lambda name: "0" if name == library else version(name))
    assert policy.code_digest() != before


CHANGES = """
import sys
from pathlib import Path
sys.path.insert(0, str(Path.cwd()))
from mlp_core.artifacts.storage import _read_source, code_digest, code_modules
assert Path(code_modules.__code__.co_filename).is_relative_to(Path.cwd())
for changed in sys.argv[1:]:
    roots = {root: code_digest(root) for root in ("tasks.results", "tasks.report", "tasks.training", "tasks.data")}
    with Path(changed.replace(".", "/") + ".py").open("a") as file:
        file.write("# one line more\\n")
    code_digest.cache_clear()
    _read_source.cache_clear()
    print(*(root for root, before in roots.items() if code_digest(root) != before))
"""


STALE = {
    "tasks.data": {"tasks.results", "tasks.training", "tasks.data"},
    "tasks.results": {"tasks.results"},
    "tasks.drift": set(),
    "mlp_core.report.png": {"tasks.results"},
    "mlp_core.engine.training": {"tasks.results", "tasks.training"},
}
"""The modules of tasks whose code a changed module is."""


def test_a_changed_line_of_another_module_changes_the_key(tmp_path):
    """In a copy of the project: of the tasks that use it, and of no others."""
    for package in OWN:
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    command = [sys.executable, "-c", CHANGES, *STALE]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert [set(line.split()) for line in done.stdout.splitlines()] == list(STALE.values())
