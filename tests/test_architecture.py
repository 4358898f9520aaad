"""The shape of the tree, read from the sources: who imports whom, and what no module does."""

import ast
import json
import os
import subprocess
import sys
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path
from types import SimpleNamespace

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


@cache
def calls(module):
    """Return the dotted name of every function called, with its node."""
    return [(ast.unparse(node.func), node) for node in ast.walk(parsed(module)) if isinstance(node, ast.Call)]


def test_the_modules_are_found():
    """The tests below look at something."""
    assert {"flows/command_line.py", "tasks/training.py", "mlp_core/engine/training.py"} <= set(MODULES)


def test_imports_go_one_way():
    """Flows import tasks, tasks the core; the core knows nothing of either, nor of Prefect; nothing is relative."""
    for module in MODULES:
        tops = {name.split(".")[0] for name in imports(module)}
        assert tops.isdisjoint(FORBIDDEN[module.split("/")[0]]), module
        assert "" not in tops, module


def test_nothing_is_evaluated():
    """No text becomes code."""
    for module in MODULES:
        called = {name for name, _ in calls(module)}
        assert called.isdisjoint({"eval", "exec", "compile", "__import__", "builtins.eval"}), module


def test_the_core_is_silent_and_uses_no_global_randomness():
    """No print; every draw names its generator; no global seed is set."""
    for module in CORE:
        for name, node in calls(module):
            where = f"{name} in {module}, line {node.lineno}"
            assert name != "print", where
            assert not name.endswith(("manual_seed_all", "random.seed")), where
            assert name not in {"torch.manual_seed", "torch.seed"}, where
            if name.endswith(DRAWS):
                assert any(keyword.arg == "generator" for keyword in node.keywords), where
            if name.startswith(("np.random.", "numpy.random.")):
                assert name.split(".")[-1] in {"default_rng", "Generator", "PCG64", "SeedSequence"}, where
        assert "random" not in set(imports(module)), module


def test_a_core_module_imports_others_so_that_digests_see_it():
    """`code_digest` reads lines `from mlp_core.x import`; another form would hide a dependency from the cache."""
    for module in CORE:
        lines = (ROOT / module).read_text(encoding="utf-8").splitlines()
        for node in ast.walk(parsed(module)):
            if isinstance(node, ast.Import):
                assert not any(alias.name.split(".")[0] == "mlp_core" for alias in node.names), module
            elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "mlp_core":
                where = f"{module}, line {node.lineno}: a module, not a package, and in one line"
                assert (ROOT / node.module.replace(".", "/")).with_suffix(".py").is_file(), where
                assert lines[node.lineno - 1].lstrip().startswith(f"from {node.module} import"), where


def test_importing_the_core_does_no_work():
    """At module level there are only definitions: imports, classes, functions, constants."""
    definitions = (
        ast.Import, ast.ImportFrom, ast.ClassDef, ast.FunctionDef, ast.Assign, ast.AnnAssign,
    )  # fmt: skip
    for module in CORE:
        for node in parsed(module).body:
            docstring = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
            typing_only = isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
            where = f"{module}, line {node.lineno}"
            assert docstring or typing_only or isinstance(node, definitions), where


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


def test_rooms_import_earlier_rooms_alone():
    """A module imports its own room, those before it and the floor."""
    assert {module: later for module in CORE if (later := list(climbs(module)))} == {}


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


def test_images_and_frames_stay_at_the_edge():
    """Only figures draw; only figures and what makes their data, the report and its sections know data frames."""
    for module in CORE:
        tops = {name.split(".")[0] for name in imports(module)}
        in_report, figures = module.startswith("mlp_core/report/"), module.endswith("figures.py")
        writes = module.endswith(("page.py", "section.py", "claims.py"))
        assert "matplotlib" not in tops or figures or (in_report and not writes), module
        knows_frames = figures or in_report or module.endswith(("/section.py", "/measures.py"))
        assert "pandas" not in tops or knows_frames, module


HEAVY = {"torch", "pandas", "matplotlib", "prefect", "pyarrow", "numpy", "numba"}
IMPORTS = """
import json, sys
from importlib import import_module
sys.path.insert(0, sys.argv[1])
from tasks.process import configure
configure()

def tell():
    print(json.dumps([*sys.modules]))

def do(*names):
    for name in names:
        import_module(name)

from flows.command_line import program
for arguments in ([], *([name] for name in program.commands)):
    program.main([*arguments, "--help"], prog_name="deep-mlp", standalone_mode=False)
print()
tell()
do("mlp_core.engine.configs", "mlp_core.experiments.catalog")
sys.modules["mlp_core.experiments.catalog"].experiments()
tell()
do("mlp_core.theory.gains", "mlp_core.theory.phases", "mlp_core.theory.predictions")
tell()
from mlp_core.experiments.sections import all_sections
all_sections()
do(*(name for name in sys.argv[2:] if name.startswith("mlp_core.report.") or name.endswith(".figures")))
tell()
import torch
state, seed = torch.get_rng_state(), torch.initial_seed()
do("mlp_core.engine.members", "mlp_core.engine.tables", "mlp_core.experiments.measures")
tell()
do(*sys.argv[2:])
tell()
print(torch.equal(torch.get_rng_state(), state) and torch.initial_seed() == seed)
print(torch.get_num_threads())
"""


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    """Give what an interpreter in an empty folder has loaded after each step of `IMPORTS`, and what it printed."""
    folder = tmp_path_factory.mktemp("empty")
    names = [Path(module).with_suffix("").as_posix().replace("/", ".") for module in CORE]
    command = [sys.executable, "-c", IMPORTS, str(ROOT), *names]
    environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=True)
    *printed, helped, settings, theory, figures, training, core, is_untouched, n_threads = done.stdout.splitlines()
    lines = {"help": helped, "settings": settings, "theory": theory, "figures": figures, "training": training}
    after = {step: set(json.loads(line)) for step, line in {**lines, "core": core}.items()}
    return SimpleNamespace(
        after=after,
        help="\n".join(printed),
        is_untouched=is_untouched == "True",
        n_threads=int(n_threads),
        folder=folder,
    )


def test_help_loads_nothing_heavy(loaded):
    """Every command explains itself without torch, pandas, matplotlib, Prefect, pyarrow or numpy."""
    assert all(text in loaded.help for text in ("depth-sweep", "gain-sweep", "--gains", "--hidden-widths", "0.1:3:10"))
    assert loaded.after["help"].isdisjoint(HEAVY)


def test_settings_and_configurations_load_without_torch(loaded):
    """A run that finds everything in the cache need not wait for torch."""
    assert loaded.after["settings"].isdisjoint(HEAVY)


def test_theory_imports_nothing_slow(loaded):
    """A flow whose results are cached draws predicted lines without waiting for torch or for half of scipy."""
    assert "mlp_core.theory.predictions" in loaded.after["theory"]
    assert loaded.after["theory"].isdisjoint({"torch", "scipy.optimize", "scipy.stats"})


def test_drawing_and_reporting_need_neither_torch_nor_pyplot(loaded):
    """A cached run that only draws and reports must start quickly and without a display."""
    assert {"mlp_core.experiments.phase_diagram.figures", "mlp_core.report.page"} <= loaded.after["figures"]
    assert loaded.after["figures"].isdisjoint({"torch", "matplotlib.pyplot"})


def test_numba_waits_until_something_is_trained(loaded):
    """What a run imports that finds everything in the cache does not load it."""
    assert "mlp_core.engine.members" in loaded.after["training"]
    assert loaded.after["training"].isdisjoint({"numba", "llvmlite"})


def test_a_task_computes_on_one_thread(loaded):
    """A process that is configured before it imports torch, as every worker is, has a torch that uses one thread."""
    assert loaded.n_threads == 1


def test_importing_the_core_writes_nothing_and_leaves_randomness_alone(loaded):
    """All modules of the core import in an empty folder, which stays empty, and the generator stays where it was."""
    assert loaded.is_untouched
    assert list(loaded.folder.iterdir()) == []
    assert "mlp_core.engine.compiled" in loaded.after["core"]
    assert "prefect" not in loaded.after["core"]


LONG_FILES = {"mlp_core/data/faces.py": "the images that it draws, in numbers"}
LONG_FUNCTIONS = {
    ("benchmarks/soak.py", "_soak"): "one scenario after the other",
    ("flows/local_run.py", "run_flow"): "what begins and ends around a run, in its order",
    ("mlp_core/engine/batches.py", "per_seed_epochs"): "one line more",
    ("mlp_core/engine/linear.py", "train_linear"): "its settings' lines",
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
