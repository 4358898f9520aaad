"""The shape of the tree, read from the sources: who imports whom, and what no module does."""

import ast
import json
import subprocess
import sys
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("flows", "tasks", "deep_mlp", "mlp_core")
MODULES = [path.relative_to(ROOT).as_posix() for name in PACKAGES for path in sorted((ROOT / name).rglob("*.py"))]
CORE = [module for module in MODULES if module.startswith("mlp_core/")]
FORBIDDEN = {
    "flows": set(),
    "tasks": {"flows"},
    "deep_mlp": {"flows", "tasks", "prefect"},
    "mlp_core": {"flows", "tasks", "deep_mlp", "prefect"},
}
DRAWS = (
    *("torch.bernoulli", "torch.multinomial", "torch.normal", "torch.rand", "torch.randint", "torch.randn"),
    *("torch.randperm", ".bernoulli_", ".exponential_", ".log_normal_", ".normal_", ".random_", ".uniform_"),
)


@cache
def parsed(module):
    """Return the syntax tree of a module, which the tests only read."""
    return ast.parse((ROOT / module).read_text(encoding="utf-8"))


def imports(module):
    """Yield the dotted name of everything a module imports, at any depth; relative imports as '.'."""
    for node in ast.walk(parsed(module)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield "." if node.level else node.module


def calls(module):
    """Yield the dotted name of every function called, with its node."""
    for node in ast.walk(parsed(module)):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


def test_the_modules_are_found():
    """The tests below look at something."""
    assert {"flows/command_line.py", "tasks/training.py", "mlp_core/engine/training.py"} <= set(MODULES)


@pytest.mark.parametrize("module", MODULES)
def test_imports_go_one_way(module):
    """Flows import tasks, tasks the core; the core knows nothing of either, nor of Prefect; nothing is relative."""
    tops = {name.split(".")[0] for name in imports(module)}
    assert tops.isdisjoint(FORBIDDEN[module.split("/")[0]])
    assert "" not in tops


@pytest.mark.parametrize("module", MODULES)
def test_nothing_is_evaluated(module):
    """No text becomes code."""
    assert {name for name, _ in calls(module)}.isdisjoint({"eval", "exec", "compile", "__import__", "builtins.eval"})


@pytest.mark.parametrize("module", CORE)
def test_the_core_is_silent_and_uses_no_global_randomness(module):
    """No print; every draw names its generator; no global seed is set."""
    for name, node in calls(module):
        assert name != "print"
        assert not name.endswith(("manual_seed_all", "random.seed")), name
        assert name not in {"torch.manual_seed", "torch.seed"}, name
        if name.endswith(DRAWS):
            assert any(keyword.arg == "generator" for keyword in node.keywords), f"{name}, line {node.lineno}"
        if name.startswith(("np.random.", "numpy.random.")):
            assert name.split(".")[-1] in {"default_rng", "Generator", "PCG64", "SeedSequence"}, name
    assert "random" not in set(imports(module))


@pytest.mark.parametrize("module", CORE)
def test_a_core_module_imports_others_so_that_digests_see_it(module):
    """`code_digest` reads lines `from mlp_core.x import`; another form would hide a dependency from the cache."""
    lines = (ROOT / module).read_text(encoding="utf-8").splitlines()
    for node in ast.walk(parsed(module)):
        if isinstance(node, ast.Import):
            assert not any(alias.name.split(".")[0] == "mlp_core" for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "mlp_core":
            assert (ROOT / node.module.replace(".", "/")).with_suffix(".py").is_file(), "a module, not a package"
            assert lines[node.lineno - 1].lstrip().startswith(f"from {node.module} import")


@pytest.mark.parametrize("module", CORE)
def test_importing_the_core_does_no_work(module):
    """At module level there are only definitions: imports, classes, functions, constants."""
    definitions = (
        ast.Import, ast.ImportFrom, ast.ClassDef, ast.FunctionDef, ast.Assign, ast.AnnAssign,
    )  # fmt: skip
    for node in parsed(module).body:
        docstring = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        typing_only = isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        assert docstring or typing_only or isinstance(node, definitions), f"line {node.lineno}"


ROOMS = ("statistics", "artifacts", "data", "engine", "theory", "report", "experiments")
"""The rooms of the core, each of which may import those before it; the modules directly in `mlp_core` are the floor."""


def room_of(name):
    """Return the room of a dotted name or a path in the core, and its experiment; None where it has none."""
    parts = name.removesuffix(".py").replace("/", ".").split(".")[1:]
    room = parts[0] if parts and parts[0] in ROOMS else None
    return room, parts[1] if room == "experiments" and len(parts) > 2 else None


def climbs(module):
    """Yield what a module of the core imports from a later room."""
    room, _ = room_of(module)
    for name in imports(module):
        if name.startswith("mlp_core."):
            other, _ = room_of(name)
            if other is not None and (room is None or ROOMS.index(other) > ROOMS.index(room)):
                yield name


@pytest.mark.parametrize("module", CORE)
def test_rooms_import_earlier_rooms_alone(module):
    """A module imports its own room, those before it and the floor."""
    assert list(climbs(module)) == []


def test_experiments_do_not_import_each_other_in_a_circle():
    """One may train, measure or draw what another defines, so that each can be read after those that it uses."""
    used = {}
    for module in CORE:
        _, experiment = room_of(module)
        others = {room_of(name)[1] for name in imports(module) if name.startswith("mlp_core.")}
        used.setdefault(experiment, set()).update(others - {None, experiment})
    del used[None]
    assert "depth_sweep" in used["ablation"]
    TopologicalSorter(used).prepare()


def test_every_module_of_the_core_has_a_room():
    """A folder that is in no list would be tested by nobody."""
    folders = {Path(module).parts[1] for module in CORE if len(Path(module).parts) > 2}
    assert folders == set(ROOMS)


@pytest.mark.parametrize("module", CORE)
def test_images_and_frames_stay_at_the_edge(module):
    """Only figures draw; only figures and what makes their data, the report and its sections know data frames."""
    tops = {name.split(".")[0] for name in imports(module)}
    in_report, figures = module.startswith("mlp_core/report/"), module.endswith("/figures.py")
    writes = module.endswith(("page.py", "section.py", "claims.py"))
    assert "matplotlib" not in tops or figures or (in_report and not writes)
    assert "pandas" not in tops or figures or in_report or module.endswith(("/section.py", "/measures.py"))


def loaded_by(program):
    """Return the top-level names in `sys.modules` after a program ran in a fresh interpreter."""
    ending = "\nimport json, sys\nprint()\nprint(json.dumps(sorted({name.split('.')[0] for name in sys.modules})))"
    command = [sys.executable, "-c", program + ending]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    *output, names = done.stdout.splitlines()
    return "\n".join(output), set(json.loads(names))


HEAVY = {"torch", "pandas", "matplotlib", "prefect", "pyarrow", "numpy", "numba"}


def test_help_loads_nothing_heavy():
    """Every command explains itself without torch, pandas, matplotlib, Prefect, pyarrow or numpy."""
    program = (
        "from flows.command_line import program\n"
        "for arguments in ([], *([name] for name in program.commands)):\n"
        "    program.main([*arguments, '--help'], prog_name='deep-mlp', standalone_mode=False)"
    )
    output, names = loaded_by(program)
    assert all(text in output for text in ("depth-sweep", "gain-sweep", "--gains", "--hidden-widths", "0.1:3:10"))
    assert names.isdisjoint(HEAVY)


def test_settings_and_configurations_load_without_torch():
    """A run that finds everything in the cache need not wait for torch."""
    _, names = loaded_by(
        "import mlp_core.engine.configs, mlp_core.experiments.catalog as catalog; catalog.experiments()"
    )
    assert names.isdisjoint(HEAVY)


def test_numba_waits_until_something_is_trained():
    """What a run imports that finds everything in the cache does not load it."""
    _, names = loaded_by("import mlp_core.engine.members, mlp_core.engine.tables, mlp_core.experiments.measures")
    assert "torch" in names
    assert names.isdisjoint({"numba", "llvmlite"})


def test_importing_the_core_writes_nothing_and_leaves_randomness_alone(tmp_path):
    """All modules of the core import in an empty folder, which stays empty, and the generator stays where it was."""
    names = [Path(module).with_suffix("").as_posix().replace("/", ".") for module in CORE]
    program = (
        "import sys, os, torch, importlib, numpy\n"
        f"sys.path.insert(0, {str(ROOT)!r})\n"
        f"os.chdir({str(tmp_path)!r})\n"
        "before, seed = torch.get_rng_state(), torch.initial_seed()\n"
        f"[importlib.import_module(name) for name in {names}]\n"
        "assert torch.equal(torch.get_rng_state(), before) and torch.initial_seed() == seed\n"
        "assert not os.listdir('.')"
    )
    _, loaded = loaded_by(program)
    assert "prefect" not in loaded


LONG_FILES = {"mlp_core/data/faces.py": "the images that it draws, in numbers"}
LONG_FUNCTIONS = {
    ("benchmarks/soak.py", "_soak"): "one scenario after the other",
    ("flows/local_run.py", "run_flow"): "what begins and ends around a run, in its order",
    ("mlp_core/engine/batches.py", "per_seed_epochs"): "one line more",
    ("mlp_core/engine/linear.py", "train_linear"): "its settings' lines",
    ("mlp_core/engine/small.py", "train_small"): "memory for all members, then the loop over them",
    ("tasks/execution.py", "run_environment"): "what begins and ends around a run, in its order",
}
"""Longer than a file or a function should be, and why."""


def test_files_and_functions_are_short():
    """A file has at most 400 lines, a function 60, or a word why."""
    modules = [*MODULES, *(path.relative_to(ROOT).as_posix() for path in sorted((ROOT / "benchmarks").glob("*.py")))]
    files = {name for name in modules if len((ROOT / name).read_text(encoding="utf-8").splitlines()) > 400}
    functions = {
        (name, node.name)
        for name in modules
        for node in ast.walk(parsed(name))
        if isinstance(node, ast.FunctionDef) and node.end_lineno - node.lineno >= 60
    }
    assert files <= LONG_FILES.keys()
    assert functions <= LONG_FUNCTIONS.keys()
