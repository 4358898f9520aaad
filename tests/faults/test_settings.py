"""Settings: whatever is asked for becomes a plan or one sentence; what cannot fit into memory is refused at once."""

import json
import re
import subprocess
import sys

import pytest
from configurations import memory_of, settings_models, stages_with
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from stored import result

from flows.command_line import main
from mlp_core.data.settings import Spirals
from mlp_core.errors import InputError
from mlp_core.experiments.generalization.experiment import Generalization
from mlp_core.experiments.images.experiment import Images
from mlp_core.experiments.polynomial.experiment import Polynomial
from mlp_core.settings import validated
from tasks.resources import available_bytes, check_memory
from tasks.run_settings import ImageRunSettings, RunSettings

FLOWS = settings_models()
MODELS = sorted(FLOWS, key=lambda model: model.__name__)
FIRST_WITH = {name: model for model in reversed(MODELS) for name in model.model_fields}
FIELDS = [
    pytest.param(
        model, name, id=f"{model.__name__}.{name}", marks=() if FIRST_WITH[name] is model else pytest.mark.thorough
    )
    for model in MODELS
    for name in model.model_fields
]
NUMBERS = st.integers(-(10**20), 10**20) | st.floats() | st.sampled_from([0, 1, 2, 100, 10**6, 10**6 + 1])
VALUES = (
    st.text(max_size=30)
    | NUMBERS
    | NUMBERS.map(str)
    | st.booleans()
    | st.none()
    | st.lists(NUMBERS, max_size=4)
    | st.lists(NUMBERS, max_size=4).map(lambda values: ",".join(map(str, values)))
    | st.tuples(NUMBERS, NUMBERS, NUMBERS).map(lambda values: ":".join(map(str, values)))
    | st.sampled_from(
        ["relu,tanh", "leaky_relu(1e400)", "1:5", "0.1:3:4", "s3://", "\0", "💥", "-1:-5", "cpu", "uniform"]
    )
)


@pytest.mark.parametrize(("model", "name"), FIELDS)
@hypothesis_settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)
@given(value=VALUES)
def test_any_value_makes_a_plan_or_one_sentence(model, name, value):
    """A value that is let in has a plan, with a memory that is a number; any other gets one short sentence."""
    try:
        settings = validated(model, {name: value})
    except InputError as error:
        sentence = str(error)
        assert sentence.startswith((name, "configurations must be from 1 to 20,000 for a product of"))
        assert re.search(r"must.*got .*; the default is ", sentence, re.DOTALL), sentence
        assert len(sentence) < 400
        return
    assert model.model_validate(settings.model_dump()) == settings
    for need in memory_of(FLOWS[model], settings):
        assert 0 < need.n_bytes < 10**30


@pytest.fixture
def refused(tmp_path, monkeypatch, capsys):
    """Give a function that runs the program, here, on what it must refuse before it starts a server."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PREFECT_API_URL")
    monkeypatch.setattr("flows.local_run.LocalServer", None)
    monkeypatch.setattr("tasks.resources.available_bytes", lambda: 8 * 10**9)  # whatever this machine has

    def refused(command):
        monkeypatch.setattr(sys, "argv", ["deep-mlp", *command.split()])
        with pytest.raises(SystemExit) as ended:
            main()
        output = capsys.readouterr()
        assert (ended.value.code, output.out) == (2, "")
        assert list(tmp_path.iterdir()) == []
        return output.err

    return refused


@pytest.mark.parametrize(
    ("command", "setting"),
    [
        ("depth-sweep --seeds 1000000 --epochs 1000", "seeds"),
        ("polynomial --degree 500 --points 1000000", "degree"),
        ("images --hidden-widths 100000,100000,100000", "hidden_widths"),
        ("images --seeds 1000000 --epochs 100000", "seeds"),
        ("gain-sweep --hidden-widths 100000,100000,100000 --seeds 1", "hidden_widths"),
        ("phase-diagram --width 100000", "width"),
        ("first-layer --width 100000", "width"),
        ("signal-propagation --seeds 1000000", "seeds"),
        ("depth-sweep --ablation --seeds 100000 --epochs 20 --ablation-epochs 100000", "seeds"),
        ("depth-sweep --points 1000000 --arms 100", "points"),
        ("depth-sweep --parameter-budget 1000000 --depths 1 --batch-size 1000000", "parameter_budget"),
        ("generalization --degrees 500 --points 1000000", "degrees"),
    ],
)
def test_what_cannot_fit_into_memory_is_refused(refused, command, setting):
    """The sentence says what the run would need and what there is, before a server is started or a file made."""
    assert re.fullmatch(
        rf"deep-mlp: {setting} must leave what fits into memory, got .*: .* needs? about [\d,.]+ GB and [\d,.]+ GB are "
        r"available; use .*--.*\.\n",
        sentence := refused(command),
    ), sentence


def test_weights_that_cannot_fit_on_the_disk_are_refused(refused):
    """A million networks for images are more than a disk holds, and that is said before the first."""
    sentence = refused("images --seeds 1000000 --hidden-widths 512,512 --epochs 1")
    assert re.fullmatch(
        r"deep-mlp: seeds must leave what fits on the disk, got 1000000: the weights of all members take about [\d,]+ "
        r"GB and [\d.,]+ GB are available; use fewer --seeds, or another --artifacts\.\n",
        sentence,
    ), sentence


def test_a_flow_without_the_program_refuses_too(run, tmp_path):
    """A deployment's run is checked in the flow, by the same rule, and leaves no folder."""
    with pytest.raises(InputError, match="hidden_widths must leave what fits into memory"):
        run("images", tmp_path / "artifacts", model=Images(hidden_widths=(10**5, 10**5, 10**5))).state.result()
    assert list(tmp_path.iterdir()) == []


def test_many_classes_of_images_count():
    """Of a source with a hundred thousand classes the output layer is large, and so are the means of the classes."""
    run = ImageRunSettings(workers=1)
    check_memory(*stages_with("images", run), available=10**9)
    with pytest.raises(InputError, match=r"hidden_widths must .* images hidden=64-64-64 needs about \d"):
        check_memory(*stages_with("images", run, n_classes=100_000), available=10**9)
    features = [need.what for need in memory_of("first_layer", run, n_classes=1000) if need.n_bytes > 10**8]
    assert "the means of all classes" in features


def test_a_run_learns_the_number_of_classes_from_its_images(run, tmp_path, monkeypatch):
    """And is refused before anything is trained."""
    monkeypatch.setattr("flows.orchestration.available_bytes", lambda: 10**6)
    with pytest.raises(InputError, match="hidden_widths must leave what fits into memory"):
        run("images", tmp_path / "artifacts").state.result()
    assert not list(tmp_path.glob("artifacts/models/*"))


def test_what_fits_is_let_through():
    """The check goes by what there is: the same run is refused on a smaller machine."""
    wanted = stages_with("polynomial", RunSettings(workers=2), Polynomial(degree=200))
    check_memory(*wanted, available=8 * 10**9)
    with pytest.raises(InputError, match=r"degree must .* needs about 1\.\d GB and 1\.0 GB are available"):
        check_memory(*wanted, available=10**9)
    check_memory(*wanted, available=None)


GIB = 2**30


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, None),
        ({"proc/meminfo": "MemTotal: 9 kB\nMemAvailable:    4194304 kB\n"}, 4 * GIB),
        (
            {
                "proc/meminfo": "MemAvailable: 4194304 kB\n",
                "sys/fs/cgroup/memory.max": f"{2 * GIB}\n",
                "sys/fs/cgroup/memory.current": f"{GIB + GIB // 2}\n",
                "sys/fs/cgroup/memory.stat": f"anon 5\ninactive_file {GIB // 2}\n",
            },
            GIB,
        ),
        (
            {
                "proc/meminfo": "MemAvailable: 4194304 kB\n",
                "sys/fs/cgroup/memory.max": "max\n",
                "sys/fs/cgroup/memory.current": "5\n",
                "sys/fs/cgroup/memory.stat": "inactive_file 0\n",
            },
            4 * GIB,
        ),
        (
            {
                "proc/meminfo": "MemAvailable: 4194304 kB\n",
                "sys/fs/cgroup/memory/memory.limit_in_bytes": f"{GIB}\n",
                "sys/fs/cgroup/memory/memory.usage_in_bytes": f"{2 * GIB}\n",
                "sys/fs/cgroup/memory/memory.stat": "total_inactive_file 0\n",
            },
            0,
        ),
        (
            {
                "proc/meminfo": "MemAvailable: 4194304 kB\n",
                "proc/self/cgroup": "0::/system.slice/slurmstepd.scope/job_1/step_0\n",
                "sys/fs/cgroup/system.slice/slurmstepd.scope/job_1/memory.max": f"{2 * GIB}\n",
                "sys/fs/cgroup/system.slice/slurmstepd.scope/job_1/memory.current": f"{GIB}\n",
                "sys/fs/cgroup/system.slice/slurmstepd.scope/job_1/memory.stat": "inactive_file 0\n",
                "sys/fs/cgroup/system.slice/slurmstepd.scope/job_1/step_0/memory.max": "max\n",
                "sys/fs/cgroup/system.slice/slurmstepd.scope/job_1/step_0/memory.current": "5\n",
                "sys/fs/cgroup/system.slice/slurmstepd.scope/job_1/step_0/memory.stat": "inactive_file 0\n",
            },
            GIB,
        ),
        (
            {
                "proc/meminfo": "MemAvailable: 4194304 kB\n",
                "proc/self/cgroup": "3:cpu,cpuacct:/\n2:memory:/slurm/job_1\n0::/\n",
                "sys/fs/cgroup/memory/slurm/job_1/memory.limit_in_bytes": f"{GIB}\n",
                "sys/fs/cgroup/memory/slurm/job_1/memory.usage_in_bytes": "0\n",
                "sys/fs/cgroup/memory/slurm/job_1/memory.stat": "total_inactive_file 0\n",
            },
            GIB,
        ),
        (
            {
                "proc/meminfo": "MemAvailable: 4194304 kB\n",
                "proc/self/cgroup": "2:memory:/\n0::/\n",
                "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
                "sys/fs/cgroup/memory/memory.usage_in_bytes": "5\n",
                "sys/fs/cgroup/memory/memory.stat": f"hierarchical_memory_limit {GIB}\ntotal_inactive_file 5\n",
            },
            GIB,
        ),
        (
            {
                "proc/meminfo": "MemAvailable: 4194304 kB\n",
                "proc/self/limits": "Max data size  unlimited  unlimited  bytes\n"
                f"Max address space  {3 * GIB}  unlimited  bytes\n",
                "proc/self/status": "VmSize:\t 1048576 kB\nVmData:\t 1024 kB\n",
            },
            2 * GIB,
        ),
    ],
    ids=[
        "nothing known",
        "a machine",
        "a container",
        "a container without a limit",
        "a full container of version 1",
        "a job in a group around its own",
        "a job of version 1",
        "a container in a job of version 1",
        "a shell's limit",
    ],
)
def test_the_memory_that_there_is_counts_the_container_s_limit(tmp_path, files, expected):
    """The kernel's files as they are on a machine and in control groups of both versions."""
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert available_bytes(tmp_path) == expected


PEAK = """
import json, pathlib, re, sys, tempfile, torch
from mlp_core.data.datasets import Split
from mlp_core.engine.members import train_members
from mlp_core.engine.configs import Training
from mlp_core.engine.footprint import training_bytes
from mlp_core.experiments.depth_sweep.experiment import depth_sweep_trials
from mlp_core.experiments.images.experiment import images_trial
from mlp_core.experiments.polynomial.experiment import polynomial_trial
from safetensors.torch import save_file

kind, size, n_members, n_examples, training = json.loads(sys.argv[1])
training = Training(**training, learning_rate=1e-3, epochs=1, seed=1)

def plan_of(size):
    if kind == "depth_sweep":
        return depth_sweep_trials([size[0]], size[1], 4, training)[0].config
    trial = images_trial(size, 3072, 3, training) if kind == "images" else polynomial_trial(size[0], 4, training)
    return trial.config

def part(plan, n):
    features = (n, 3, 32, 32) if kind == "images" else (n, plan.layer_sizes[0])
    inputs = torch.randint(255, features, dtype=torch.uint8) if kind == "images" else torch.randn(features)
    return inputs, torch.arange(n) % plan.layer_sizes[-1]

def peak():
    # not ru_maxrss, which a process inherits from the one that started it
    status = pathlib.Path("/proc/self/status").read_text()
    return int(re.search(r"VmHWM:\\s+(\\d+) kB", status)[1]) * 1024

torch.set_num_threads(1)
small = plan_of({"depth_sweep": [1, 10], "images": [2], "polynomial": [2]}[kind])
train_members(small, Split(*part(small, 1600), *part(small, 400)), [0])
plan = plan_of(size)
data = Split(*part(plan, n_examples * 4 // 5), *part(plan, n_examples // 5))
before = peak()
with tempfile.NamedTemporaryFile() as file:
    save_file(train_members(plan, data, range(n_members)).state, file.name)
print(json.dumps([peak() - before, training_bytes(plan, n_members, n_examples)]))
"""
ADAM = {"activation": "relu", "optimizer": "adam", "batch_size": 128}
SGD = {"activation": "tanh", "optimizer": "sgd", "batch_size": 64}


@pytest.mark.slow
@pytest.mark.parametrize(
    "case",
    [
        ("depth_sweep", [1, 100], 6000, 4000, ADAM),
        ("depth_sweep", [5, 100], 6000, 4000, ADAM),
        ("depth_sweep", [3, 5304], 2000, 4000, {**ADAM, "activation": "gelu", "batch_size": 512}),
        ("depth_sweep", [3, 500_000], 30, 4000, ADAM),
        ("depth_sweep", [2, 100], 60, 400_000, SGD),
        ("images", [64, 64, 64], 200, 2000, ADAM),
        ("images", [128, 64, 32], 200, 2000, SGD),
        ("images", [4000, 4000], 4, 2000, ADAM),
        ("images", [64] * 64, 100, 2000, SGD),
        ("polynomial", [50], 2000, 4000, ADAM),
    ],
    ids=lambda case: f"{case[2]} of {case[0]} {case[1][0]} x {len(case[1])}",
)
def test_the_estimate_is_what_a_training_takes(case):
    """The peak of the process's memory lies within a factor of two of the estimate."""
    done = subprocess.run([sys.executable, "-c", PEAK, json.dumps(case)], capture_output=True, text=True, check=True)
    took, estimated = json.loads(done.stdout)
    assert took > 100e6
    assert estimated / 2 < took < estimated * 2


def test_many_members_are_trained_in_parts(run, finished, tmp_path, monkeypatch):
    """What would take more than the limit is cut, and the table is that of one piece."""
    whole, parts = finished("depth_sweep"), tmp_path / "parts"
    monkeypatch.setattr("tasks.training.split_by_memory.__defaults__", (1,))  # one member in each
    assert run("depth_sweep", parts).state.is_completed()
    blocks = [
        sorted(path.stem[-7:] for path in folder.glob("members/depth_sweep-depth=1-*")) for folder in (whole, parts)
    ]
    assert blocks == [["000-001"], ["000-000", "001-001"]]
    assert result(parts) == result(whole)


def test_small_networks_next_to_large_ones_need_what_they_need_alone():
    """More of the small ones train at once, so that it may be they who need most."""
    settings = RunSettings(seeds=300, workers=2), Spirals(points=100_000)
    together, alone = (
        max(need.n_bytes for need in memory_of("generalization", *settings, model) if " depth=" in need.what)
        for model in (Generalization(parameter_budgets=(100, 5304)), Generalization(parameter_budgets=(100,)))
    )
    assert together >= alone > 10**9


def test_a_depth_sweep_s_defaults_need_little():
    """What everybody runs is far from any limit."""
    assert max(need.n_bytes for need in memory_of("depth_sweep", RunSettings(workers=2))) < 10**8
