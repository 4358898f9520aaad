"""Settings: what is accepted, how it is read and written, and the one sentence for what is not."""

import math
import re

import numpy as np
import pytest
from configurations import settings_models
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from mlp_core.activations import ACTIVATION_NAMES, canonical_activation
from mlp_core.data.settings import Spirals
from mlp_core.engine.networks import activation
from mlp_core.errors import InputError
from mlp_core.experiments.ablation.experiment import Ablation
from mlp_core.experiments.depth_sweep.experiment import DepthSweep
from mlp_core.experiments.first_layer.experiment import FirstLayer
from mlp_core.experiments.gain_sweep.experiment import GainSweep
from mlp_core.experiments.generalization.experiment import Generalization
from mlp_core.experiments.images.experiment import Images
from mlp_core.experiments.phase_diagram.experiment import PhaseDiagramSettings
from mlp_core.experiments.polynomial.experiment import Polynomial
from mlp_core.experiments.signal_propagation.experiment import SignalPropagation
from mlp_core.settings import text_of, validated
from mlp_core.theory.gains import forward_gain
from tasks.run_settings import ImageRunSettings, RunSettings
from tasks.stages import flow_parameters

REFUSED = [
    (RunSettings, "seeds", "0", "must be greater than or equal to 1, got '0'; the default is 8."),
    (RunSettings, "seeds", "-3", "must be greater than or equal to 1, got '-3'"),
    (RunSettings, "seeds", "2.5", "must be a whole number, got '2.5'"),
    (RunSettings, "seeds", "many", "must be a whole number, got 'many'"),
    (RunSettings, "seeds", "9" * 5000, "must be"),
    (RunSettings, "seed", "-1", "must be greater than or equal to 0, got '-1'"),
    (RunSettings, "seed", str(2**63), "must be less than"),
    (RunSettings, "device", "tpu", "must be 'auto', 'cpu', 'cuda' or 'mps', got 'tpu'"),
    (RunSettings, "runner", "ray", "must be 'threads', 'processes' or 'dask', got 'ray'"),
    (RunSettings, "workers", "-1", "must be greater than or equal to 0"),
    (RunSettings, "scheduler", "127.0.0.1", "must be an address such as tcp://127.0.0.1:8786, got '127.0.0.1'"),
    (RunSettings, "scheduler", "tcp://127.0.0.1:8786", "must be left out unless --runner dask, got 'tcp://127.0.0.1:8786'"),
    (RunSettings, "artifacts", "", "must "),
    (RunSettings, "artifacts", "gs://bucket/prefix", "must be a folder or s3://BUCKET/PREFIX"),
    (RunSettings, "artifacts", "s3:///prefix", "must be a folder or s3://BUCKET/PREFIX"),
    (RunSettings, "artifacts", "s3://NAME:SEC/RET@bucket", r"must be .* in the environment \(.*\), got 's3:\.\.\.'"),
    (ImageRunSettings, "images", "", "must "),
    (Spirals, "arms", "1", "must be greater than or equal to 2, got '1'"),
    (Spirals, "noise", "nan", "must be a finite number, got 'nan'"),
    (Spirals, "noise", "-0.1", "must be greater than or equal to 0"),
    (DepthSweep, "depths", "0", "must be greater than or equal to 1, got '0'; the default is 1,2,3,4,5."),
    (DepthSweep, "depths", "0:3", "must be greater than or equal to 1, got 0"),
    (DepthSweep, "depths", "2,2", "must hold each value once, got '2,2'"),
    (DepthSweep, "depths", "1,two", "must be a whole number, got 'two'"),
    (DepthSweep, "depths", "", "must "),
    (DepthSweep, "depths", "5:1", "must .*, got '5:1'"),
    (DepthSweep, "depths", "1:99999", "must "),
    (DepthSweep, "activation", "swish", r"must be one of relu, .*leaky_relu\(SLOPE\), got 'swish'; the default"),
    (DepthSweep, "activation", "__import__('os')", r"must be one of relu, .*leaky_relu\(SLOPE\), got"),
    (DepthSweep, "activation", "relu(1)", "must be one of relu"),
    (DepthSweep, "activation", "leaky_relu(-0.1)", r"must have a slope of at least 0 and below 1, such as"),
    (DepthSweep, "activation", "leaky_relu(nan)", "must have a slope"),
    (DepthSweep, "activation", "leaky_relu(0.1, 2)", "must have a slope"),
    (DepthSweep, "optimizer", "rmsprop", "must be 'adam' or 'sgd', got 'rmsprop'"),
    (DepthSweep, "learning_rate", "0", "must be greater than 0"),
    (DepthSweep, "learning_rate", "inf", "must be a finite number"),
    (DepthSweep, "parameter_budget", "0", "must be greater than or equal to 1"),
    (DepthSweep, "epochs", "0", "must be greater than or equal to 1"),
    (DepthSweep, "gain", "1.4", "must be 1 with PyTorch's start, which has no gain; use start xavier_normal or"),
    (Polynomial, "degree", "0", "must be greater than or equal to 1"),
    (Images, "hidden_widths", "64,0", "must be greater than or equal to 1, got '0'; the default is 64,64,64."),
    (Images, "hidden_widths", "1:99999", "must "),
    (GainSweep, "gains", "0", "must be greater than or equal to 0.000001, got '0'; the default is 0.1:3:10."),
    (GainSweep, "gains", "-1,2", "must be greater than or equal to 0.000001, got '-1'"),
    (GainSweep, "gains", "1,nan", "must be a finite number, got 'nan'"),
    (GainSweep, "gains", "nan:3:4", "must begin and end with a number, got 'nan:3:4'"),
    (GainSweep, "gains", "1,1.0", "must hold each value once, got '1,1.0'"),
    (GainSweep, "gains", "1,1.0000001", "must hold each value once, got '1,1.0000001'"),
    (GainSweep, "gains", "1:1:3", "must hold each value once, got '1:1:3'"),
    (GainSweep, "gains", "0.1:3", "must be numbers such as 0.5,1,2 or a range such as 0.1:3.0:10"),
    (GainSweep, "gains", "0.1:3:0", "must be numbers such as"),
    (GainSweep, "gains", "0.1:3:1e9", "must be numbers such as"),
    (GainSweep, "gains", "", "must "),
    (GainSweep, "distribution", "cauchy", "must be 'normal' or 'uniform', got 'cauchy'"),
]  # fmt: skip


@pytest.mark.parametrize(("model", "name", "value", "words"), REFUSED)
def test_bad_values_get_one_sentence(model, name, value, words):
    """The sentence begins with the setting, says rule, value and default, ends with a full stop and stays short."""
    with pytest.raises(InputError, match=f"^{name}:? {words}") as caught:
        validated(model, {name: value})
    sentence = str(caught.value)
    assert "; the default is " in sentence
    assert sentence.endswith(".")
    assert not re.search(r"\n|[Ss]hould|pydantic|Value error", sentence)
    assert len(sentence) < 300


def test_an_unknown_setting_lists_the_choices():
    """A misspelt setting is refused with the names there are."""
    with pytest.raises(
        InputError, match=r"^epoch is no setting of Images; choose from hidden_widths, .*epochs, batch_size\.$"
    ):
        validated(Images, {"epoch": "3"})


def test_the_first_of_several_mistakes_is_told():
    """Two bad values still make one sentence."""
    with pytest.raises(InputError, match=r"^seeds must") as caught:
        validated(RunSettings, {"seeds": "0", "device": "tpu"})
    assert "device" not in str(caught.value)


def test_settings_are_frozen():
    """Nobody changes a setting after it was checked."""
    with pytest.raises(ValueError, match="frozen"):
        RunSettings().seeds = 3


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (RunSettings, {"seed": 2021}),
        (Spirals, {"arms": 4, "points": 1000, "noise": 0.4}),
        (
            DepthSweep,
            {
                "depths": (1, 2, 3, 4, 5),
                "parameter_budget": 100,
                "activation": "relu",
                "optimizer": "adam",
                "learning_rate": 1e-3,
                "epochs": 100,
                "batch_size": 128,
                "start": "pytorch",
                "gain": 1.0,
            },
        ),
        (
            Polynomial,
            {"degree": 50, "optimizer": "adam", "learning_rate": 1e-3, "epochs": 100, "batch_size": 128},
        ),
        (
            Images,
            {
                "hidden_widths": (64, 64, 64),
                "activation": "relu",
                "optimizer": "adam",
                "learning_rate": 3e-4,
                "epochs": 30,
                "batch_size": 64,
            },
        ),
        (
            GainSweep,
            {
                "gains": tuple(np.linspace(1 / 10, 3.0, 10)),
                "distribution": "normal",
                "hidden_widths": (128, 64, 32),
                "activation": "leaky_relu(0.1)",
                "optimizer": "sgd",
                "learning_rate": 1e-2,
                "epochs": 1,
                "batch_size": 64,
            },
        ),
    ],
)
def test_defaults_are_the_tutorials_numbers(model, expected):
    """Every number of the tutorial is a default, to the last bit; besides the run's own options there are no others."""
    settings = validated(model, {}).model_dump()
    assert {name: settings[name] for name in expected} == expected
    assert model is RunSettings or set(settings) == set(expected)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1,2,5", (1, 2, 5)),
        ("1:5", (1, 2, 3, 4, 5)),
        (" 3 , 1 ", (3, 1)),
        ("7", (7,)),
        (" 2 : 3 ", (2, 3)),
        ("4:4", (4,)),
    ],
)
def test_whole_numbers_are_lists_or_ranges(text, expected):
    """A range of depths includes both ends; a list keeps its order."""
    assert validated(DepthSweep, {"depths": text}).depths == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0.5,1,2", (0.5, 1.0, 2.0)),
        ("1.4", (1.4,)),
        ("0.1:3.0:10", tuple(np.linspace(0.1, 3.0, 10))),
        ("3:0.1:7", tuple(np.linspace(3, 0.1, 7))),
        ("0.5:9:1", (0.5,)),
        ("1e-3 : 1 : 2", (1e-3, 1.0)),
    ],
)
def test_numbers_are_lists_or_ranges(text, expected):
    """A range start:stop:count has numpy's numbers, both ends included, to the last bit."""
    assert validated(GainSweep, {"gains": text}).gains == expected


def test_a_network_may_have_no_hidden_layer():
    """An empty list of widths is a linear model, and equal widths are no mistake."""
    assert validated(Images, {"hidden_widths": ""}).hidden_widths == ()
    assert validated(Images, {"hidden_widths": "64,64"}).hidden_widths == (64, 64)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("ReLU()", "relu"),
        ("LeakyReLU(0.1)", "leaky_relu(0.1)"),
        ("LeakyReLU()", "leaky_relu(0.01)"),
        ("Leaky_ReLU( 0.10 )", "leaky_relu(0.1)"),
        ("leaky_relu", "leaky_relu(0.01)"),
        ("Tanh()", "tanh"),
        ("SELU", "selu"),
        (" GELU() ", "gelu"),
        ("Sigmoid( )", "sigmoid"),
        ("erf", "erf"),
    ],
)
def test_an_activation_may_be_spelt_as_in_the_tutorial(text, name):
    """PyTorch's class names, with or without parentheses, mean the same as ours."""
    assert validated(DepthSweep, {"activation": text}).activation == name
    assert canonical_activation(name) == name


@given(st.floats(0, 1, exclude_max=True))
@hypothesis_settings(derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_every_slope_is_understood_everywhere(slope):
    """Whatever slope the settings let in, the network and the theory read the same number."""
    name = canonical_activation(f"LeakyReLU({slope!r})")
    assert canonical_activation(name) == name
    assert name.startswith("leaky_relu(")
    assert activation(name)
    assert forward_gain(name) == pytest.approx(math.sqrt(2 / (1 + slope**2)), rel=1e-12)


positive = st.integers(1, 1_000_000)
rates = st.floats(0, 1e6, exclude_min=True)
slopes = st.floats(0, 1, exclude_max=True).map(lambda slope: f"leaky_relu({slope!r})")
activations = st.sampled_from([name for name in ACTIVATION_NAMES if "(" not in name]) | slopes
widths = st.lists(positive, max_size=6).map(tuple)
optimizers = st.sampled_from(["adam", "sgd"])
ranges = st.builds(np.linspace, st.floats(0.01, 1), st.floats(2, 9), st.integers(2, 30))
gains = (st.lists(st.floats(1e-6, 1e6), min_size=1, max_size=8, unique=True) | ranges).map(
    lambda values: tuple(map(float, values))
)
training = {"optimizer": optimizers, "learning_rate": rates, "epochs": positive, "batch_size": positive}
MODELS = st.one_of(
    st.builds(
        ImageRunSettings,
        seeds=positive,
        seed=st.integers(0, 2**63 - 1),
        images=st.text(min_size=1),
        artifacts=st.sampled_from(["artifacts", "a b/c", "/x", ".", "~/x", "s3://bucket/prefix"]),
        device=st.sampled_from(["auto", "cpu", "cuda", "mps"]),
        runner=st.sampled_from(["threads", "processes", "dask"]),
        refresh=st.booleans(),
    ),
    st.builds(Spirals, arms=st.integers(2, 100), points=st.integers(10, 1_000_000), noise=st.floats(0, 10)),
    st.builds(
        DepthSweep,
        depths=st.lists(st.integers(1, 1000), min_size=1, max_size=9, unique=True).map(tuple),
        parameter_budget=positive,
        activation=activations,
        **training,
    ),
    st.builds(Polynomial, degree=st.integers(1, 500), **training),
    st.builds(Images, hidden_widths=widths, activation=activations, **training),
    st.builds(
        GainSweep,
        gains=gains,
        distribution=st.sampled_from(["normal", "uniform"]),
        hidden_widths=widths,
        activation=activations,
        **training,
    ),
)


@given(MODELS)
# some five of each model
@hypothesis_settings(derandomize=True, deadline=None, max_examples=40, suppress_health_check=[HealthCheck.too_slow])
def test_settings_survive_being_written_as_text(model):
    """What `text_of` shows for each value, typed on the command line, gives the same settings to the last bit."""
    texts = {name: text_of(value) for name, value in model}
    assert validated(type(model), texts) == model


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ((64, 64), "64,64"),
        ((), ""),
        (3e-4, "0.0003"),
        (GainSweep().gains, "0.1:3:10"),
        ((0.5, 1.0, 2.0), "0.5,1.0,2.0"),
        ("", ""),
    ],
)
def test_values_are_shown_as_one_types_them(value, text):
    """Even steps are shown as a range, everything else as it is."""
    assert text_of(value) == text


def test_lists_of_activations_are_read_and_written():
    """Names are separated by commas, whatever their spelling, and a slope's brackets are no obstacle."""
    settings = validated(Ablation, {"ablation_activations": "ReLU, leaky_relu(0.10),tanh"})
    assert settings.ablation_activations == ("relu", "leaky_relu(0.1)", "tanh")
    assert text_of(settings.ablation_activations) == "relu,leaky_relu(0.1),tanh"


@pytest.mark.parametrize(
    ("model", "name", "value", "words"),
    [
        (Ablation, "ablation_activations", "relu,ReLU()", "must hold each value once"),
        (Ablation, "ablation_activations", "", "must "),
        (Ablation, "ablation_activations", "relu,swish", "must be one of relu"),
        (Generalization, "degrees", "0,1", "must be greater than or equal to 1"),
        (Generalization, "degrees", "1,501", "must be less than or equal to 500"),
        (Generalization, "parameter_budgets", "100,100", "must hold each value once"),
        (FirstLayer, "depths", "", "must "),
        (FirstLayer, "width", "0", "must be greater than or equal to 1"),
    ],
)
def test_bad_values_of_the_explanations_get_one_sentence(model, name, value, words):
    """Setting, rule and value, in one sentence."""
    with pytest.raises(InputError, match=rf"^{name} .*{words}") as caught:
        validated(model, {name: value})
    assert "\n" not in str(caught.value)


def test_the_explanations_share_the_defaults_of_the_experiments_they_explain():
    """With defaults, networks that others train are not trained again, so the training's settings are the same."""
    sweep, images = DepthSweep().model_dump(), Images().model_dump()
    generalization, features = Generalization().model_dump(), FirstLayer().model_dump()
    assert all(generalization[name] == sweep[name] for name in sweep.keys() & generalization.keys() - {"depths"})
    assert all(features[name] == images[name] for name in images.keys() & features.keys())
    assert DepthSweep().parameter_budget in Generalization().parameter_budgets
    assert Polynomial().degree in Generalization().degrees
    assert Images().hidden_widths in [(FirstLayer().width,) * depth for depth in FirstLayer().depths]
    assert all(generalization[name] == value for name, value in Polynomial().model_dump(exclude={"degree"}).items())


@pytest.mark.parametrize(
    ("model", "name", "value", "words"),
    [
        (
            SignalPropagation,
            "relative_gains",
            "0.5,0",
            "must be greater than or equal to 0.000001, got '0'; the default is 0.7,1.0,1.5.",
        ),
        (SignalPropagation, "sigma_b", "-0.1", "must be greater than or equal to 0, got '-0.1'; the default is 0.3."),
        (SignalPropagation, "sigma_b", "nan", "must be a finite number, got 'nan'"),
        (SignalPropagation, "width", "1", "must be greater than or equal to 2, got '1'"),
        (SignalPropagation, "layers", "1", "must be greater than or equal to 2, got '1'"),
        (SignalPropagation, "distribution", "cauchy", "must be 'normal' or 'uniform', got 'cauchy'"),
        (PhaseDiagramSettings, "gains", "1,1", "must hold each value once, got '1,1'; the default is 0.5,0.6,"),
        (
            PhaseDiagramSettings,
            "depths",
            "2,2",
            "must hold each value once, got '2,2'; the default is 2,3,4,6,8,12,16,24,32,48,64.",
        ),
        (PhaseDiagramSettings, "examples", "0", "must be greater than or equal to 1, got '0'; the default is 512."),
    ],
)
def test_bad_values_of_theory_get_one_sentence(model, name, value, words):
    """The sentence names setting, rule, value and default."""
    with pytest.raises(InputError, match=f"^{name} {words}"):
        validated(model, {name: value})


def test_a_phase_diagram_resolves_the_transition():
    """At least 15 gains on both sides of the edge, at least 8 depths from 2 to 64, two seeds unless told otherwise."""
    grid = PhaseDiagramSettings()
    assert len(grid.gains) >= 15
    assert min(grid.gains) <= 0.5 < 1.156 < 3 <= max(grid.gains)
    assert len(grid.depths) >= 8
    assert (min(grid.depths), max(grid.depths)) == (2, 64)
    assert flow_parameters("phase_diagram")["run"] == ImageRunSettings(seeds=2)
    assert RunSettings().seeds == 8
    assert validated(PhaseDiagramSettings, {name: text_of(value) for name, value in grid}) == grid


@pytest.mark.parametrize("model", settings_models(), ids=lambda model: model.__name__)
def test_every_setting_makes_a_field_of_a_form(model):
    """What Prefect's UI shows: a title, a help of a sentence, a default, choices, and bounds of every number."""
    for name, field in model.model_json_schema()["properties"].items():
        assert field["title"]
        assert field["description"][0].isupper(), name
        assert field["description"].endswith("."), name
        assert "default" in field, name
        single = field.get("items", field)
        if "activation" in name or name in ("starts", "data", "images"):
            names, others = single["anyOf"]
            assert names["enum"] == list(ACTIVATION_NAMES[:-1]) or "activation" not in name
            usual = field["default"] if isinstance(field["default"], list) else [field["default"]]
            assert {value for value in usual if "leaky" not in value} <= {*names["enum"]}
            assert (names["type"], others["type"]) == ("string", "string")
            continue
        assert field["type"] in {"integer", "number", "boolean", "string", "array"}, name
        if single["type"] in ("integer", "number"):
            assert {"minimum", "exclusiveMinimum"} & single.keys(), name
            assert {"maximum", "exclusiveMaximum"} & single.keys(), name
        if name in ("optimizer", "distribution", "device", "runner", "on_drift", "missing"):
            assert len(field["enum"]) > 1
