"""What holds for every experiment of the list, whichever it is: all that is asked here it says of itself."""

import json
import re
from base64 import b64encode
from importlib import import_module
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml
from cases import combinations
from drawn import texts
from PIL import Image
from smallest import (
    figure_names,
    flow_with,
    folder_of,
    make_outputs,
    one_configuration,
    planned_outputs,
    planned_trials,
    recorded_schemas,
    result_names,
    smallest_setup,
    smallest_stage,
)

from flows.command_line import program
from mlp_core.artifacts.units import units_of
from mlp_core.errors import InputError
from mlp_core.experiments.catalog import FOLDERS, experiments
from mlp_core.experiments.sections import all_sections
from mlp_core.report.page import ReportContent, render_report
from mlp_core.settings import validated
from mlp_core.statistics.claims import MIN_SEEDS
from tasks.resources import estimate_memory
from tasks.run_settings import RunSettings
from tasks.stages import Stage

ROOT = Path(__file__).parents[2]
EVERY = pytest.mark.parametrize("experiment", experiments(), ids=folder_of)


# What an experiment says of itself


@EVERY
def test_its_command_says_what_it_does_and_where_the_tutorial_has_it(experiment):
    """In one sentence, which ends with the section."""
    section = r" \((section \d(\.\d)?|bonus)\)\." if experiment.tutorial else r"[.?]"
    assert re.search(rf"^[A-Z].*{section}$", experiment.help)
    if not experiment.flow:
        assert program.commands[experiment.name.replace("_", "-")].help.startswith(experiment.help)


@EVERY
def test_its_flow_takes_its_settings_and_is_deployed(experiment):
    """What runs by hand runs on a schedule, too; a run's name has no gap."""
    flow = getattr(import_module(f"flows.{experiment.tag}"), experiment.tag)
    parameters = flow.validate_parameters({})
    assert isinstance(parameters[experiment.parameter], experiment.settings)
    assert "{" not in experiment.run_name.format(**parameters)
    deployments = yaml.safe_load((ROOT / "prefect.yaml").read_text())["deployments"]
    assert f"flows.{experiment.tag}.{experiment.tag}" in {deployment["entrypoint"] for deployment in deployments}


@EVERY
def test_alone_it_makes_what_it_makes_in_the_tutorial(experiment):
    """The same configurations, tables and figures with the same settings."""
    setups = [smallest_setup(experiment), smallest_stage(experiment, flow_with(experiment)).setup]
    trials = [[trial.config for trial in planned_trials(experiment, setup)] for setup in setups]
    assert trials[0] == trials[1]
    outputs = [planned_outputs(experiment, setup) for setup in setups]
    assert result_names(outputs[0]) == result_names(outputs[1]) >= {experiment.name}
    assert figure_names(outputs[0]) == figure_names(outputs[1]) != set()


@EVERY
@pytest.mark.parametrize("asked", ["settings", "smallest", "tutorial"])
def test_its_memory_is_estimated(experiment, asked):
    """By default, in the tests and in the tutorial: a run that cannot fit is refused before it begins."""
    settings = getattr(experiment, asked)
    settings = settings() if asked == "settings" else settings
    if settings is None:
        pytest.skip("it has no place in the tutorial")
    setup = smallest_setup(experiment, change=lambda own: settings if type(own) is type(settings) else own)
    parts = estimate_memory([Stage(experiment, setup)], RunSettings(workers=2))
    assert parts
    assert all(0 < need.n_bytes < 10**10 for need in parts)
    owned = {name for group in (type(settings), *experiment.others) for name in group.model_fields}
    assert {need.setting for need in parts} <= {*owned, "points", "seeds"}


@EVERY
def test_its_settings_are_refused_in_one_sentence(experiment):
    """A value that no setting has, and a setting that there is not."""
    for name in experiment.settings.model_fields:
        with pytest.raises(InputError, match=rf"^{name} must [^\n]*got [^\n]*\.$"):
            validated(experiment.settings, {name: "\0"})
    with pytest.raises(InputError, match=r"^no_such_setting [^\n]*\.$"):
        validated(experiment.settings, {"no_such_setting": 1})


# What a run of it leaves


@EVERY
def test_its_tables_are_as_promised(experiment, finished):
    """Each column has a unit; names, order and types are those that its folder of tests records, if it does."""
    flow = flow_with(experiment)
    names = result_names(planned_outputs(experiment, smallest_stage(experiment, flow).setup))
    schemas = recorded_schemas(experiment)
    assert schemas.keys() <= names
    for name in names:
        table = pq.read_table(finished(flow) / f"results/{name}.parquet")
        metadata = {key: json.loads(table.schema.metadata[key.encode()]) for key in ("units", "inputs", "settings")}
        assert set(metadata["units"]) == set(table.column_names)
        assert all(metadata["units"].values())
        assert metadata["inputs"]
        assert metadata["settings"]["seed"] == 2021
        assert "status" not in table.column_names or set(table["status"].to_pylist()) == {"ok"}
        promised = schemas.get(name)
        assert promised in (None, {field.name: str(field.type) for field in table.schema})
        assert promised is None or list(promised) == table.column_names


@EVERY
def test_its_table_has_a_row_for_each_member(experiment, finished):
    """With accuracies from 0 to 1, and the losses of all its epochs in the history."""
    flow = flow_with(experiment)
    setup = smallest_stage(experiment, flow).setup
    trials = planned_trials(experiment, setup)
    folder = finished(flow)
    path = folder / "results/history.parquet"
    if not trials and not path.exists():  # nor does any other of its flow train anything
        return
    history = pq.read_table(path).to_pandas()
    own = history[history["experiment"] == experiment.name]
    if not trials:
        assert own.empty
        return
    n_members = sum(setup.n_seeds * len(trial.config.gains) for trial in trials)
    # of a tuned one the name holds the rate that was chosen
    assert own["configuration"].nunique() == len(trials)
    assert set(own["configuration"]) >= {trial.config.name for trial in experiment.trials(setup)}
    assert len(own) == sum(setup.n_seeds * len(trial.config.gains) * trial.config.epochs for trial in trials)
    table = pq.read_table(folder / f"results/{experiment.name}.parquet").to_pandas()
    if "test_accuracy" in table:
        reached = table[table["seed"].notna()]
        assert len(reached) == n_members
        assert reached["test_accuracy"].between(0, 1).all()
        assert set(reached["member"]) == set(own["member"])
        last = own.groupby(["configuration", "member"])["train_loss"].last()
        assert sorted(last) == sorted(reached["final_train_loss"])


@EVERY
@pytest.mark.parametrize("own_figures", [False, pytest.param(True, marks=pytest.mark.thorough)])
def test_its_section_shows_its_figures(experiment, finished, own_figures):
    """Each is an image in the report, and none is made that no section shows."""
    flow = flow_with(experiment)
    folder = finished(flow, own_figures=own_figures)
    names = figure_names(planned_outputs(experiment, smallest_stage(experiment, flow).setup))
    page = (folder / "report.html").read_text(encoding="utf-8")
    section = page.split(f'<section id="{experiment.name}"')[1].split("</section>")[0]
    own = {figure.name for figure in import_module(experiment.section).SECTION.figures}
    assert own <= names
    assert section.count("<img ") == len(own)
    for name in names:
        with Image.open(folder / f"figures/{name}.png") as image:
            image.load()
            assert image.width == 1800  # twice the report's column
            assert image.height > 400
        drawing = folder / f"figures/{name}.svg"
        source = drawing if drawing.exists() else folder / f"figures/{name}.png"
        assert b64encode(source.read_bytes()).decode() in (section if name in own else page)


@pytest.mark.parametrize("flow", dict.fromkeys(map(flow_with, experiments())))
def test_a_run_leaves_nothing_else(flow, finished):
    """Tables and figures of its experiments, claims, and the history."""
    outputs = [
        output
        for experiment in experiments()
        if flow_with(experiment) == flow
        for output in planned_outputs(experiment, smallest_stage(experiment, flow).setup)
    ]
    folder = finished(flow)
    left = {path.stem for path in folder.glob("results/*")}
    assert left - {"claims"} == {*result_names(outputs), "runs", *(["history"] if flow != "data" else [])}
    assert {path.stem for path in folder.glob("figures/*")} == figure_names(outputs)


# What it makes of members of any kind


KINDS = {
    "one": {"n_seeds": 1, "change": one_configuration},
    "none of two": {"n_seeds": 2},
    "all but one": {"n_seeds": MIN_SEEDS - 1},
}
"""Members that finish: that of one configuration after one epoch, and of several configurations; others diverge."""
LOST = {"none of two": (0, 1), "all but one": (1,)}
OF_ANY_KIND = pytest.mark.parametrize(
    ("experiment", "kind"),
    combinations(experiments(), list(KINDS)),
    ids=lambda value: value if isinstance(value, str) else folder_of(value),
)


@pytest.fixture(scope="module")
def made_of(image_zip):
    """Give a function that makes an experiment's outputs of members of a kind."""
    known = {}

    def made_of(experiment, kind):
        if (experiment.name, kind) not in known:
            setup = smallest_setup(experiment, **KINDS[kind])
            known[experiment.name, kind] = make_outputs(experiment, setup, image_zip, LOST.get(kind, ()))
        return known[experiment.name, kind]

    return made_of


@OF_ANY_KIND
def test_its_figures_and_section_show_members_of_any_kind(experiment, kind, made_of):
    """One has no interval; who diverged is no number; nothing fails, and no text says nan."""
    outputs = made_of(experiment, kind)
    for table in outputs.tables.values():
        assert units_of(table).keys() == set(table.column_names)
    for name, figure in outputs.figures.items():
        figure.set_layout_engine("none")  # half the time; the images of whole runs are laid out
        figure.draw_without_rendering()
        assert not re.search(r"\bnan\b", texts(figure)), name
    section = import_module(experiment.section).SECTION
    frames = {name: table.to_pandas() for name, table in outputs.tables.items()}
    page = render_report(ReportContent(frames, {}, outputs.settings, {}), [section], usual_seeds=8)
    assert not re.search(r"\b(nan|None|inf)\b", re.sub(r"<[^>]*>", "", page))
    findings = section.content(frames[section.name], outputs.settings[section.name])
    for sentence in (
        *findings.summary,
        *findings.details,
    ):  # no number runs into the next one: "depth 5 2 never learned"
        assert not re.search(r"\d \d|\b1 (networks|members|seeds|cells|layers|units)\b|\d\.\d{7}", sentence), sentence
    if kind == "one":
        cells = " ".join(cell for row in findings.rows for cell in row[findings.n_keys :])
        # but that of a share, which one member has, too
        assert not re.search(r"\[|±", re.sub(r"\d+\sof\s\d+\s\[[^]]*\]", "", cells)), cells


@OF_ANY_KIND
def test_its_claims_need_more_seeds(experiment, kind, made_of):
    """Fewer than the least number decide nothing but what theory says exactly."""
    claims = made_of(experiment, kind).claims(experiment)
    for claim in claims:
        assert claim.n < MIN_SEEDS
        assert claim.verdict == "undecided" or "the estimate is exact" in claim.effect, claim
    assert bool(claims) <= bool(experiment.claims)


# The list


def test_no_two_experiments_share_a_name_or_a_figure():
    """Names are files, and anchors of one page; a panel is drawn into together."""
    sections = all_sections()
    figures = [figure.name for section in sections for figure in section.figures]
    assert [section.name for section in sections] == [experiment.name for experiment in experiments()]
    assert len({section.name for section in sections}) == len(sections) == len(FOLDERS)
    assert len(set(figures)) == len(figures)
    assert len({experiment.settings for experiment in experiments()}) == len(FOLDERS)


def test_every_section_says_how_to_make_its_table():
    """By a command of the program with options that it has."""
    for section in all_sections():
        name, *options = section.command.removeprefix("deep-mlp ").split()
        known = {text for parameter in program.commands[name].params for text in parameter.opts}
        assert known >= set(options)
