"""Sections of the report that look for reasons: the decline with depth, the failure of width, the first layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mlp_core.experiments.generalization.companions import TUNED, alike_in_size
from mlp_core.report.findings import (
    CASE_STUDY,
    EXPRESSIVITY,
    MEDIAN_NOTE,
    NEVER_LEARNED_NOTE,
    Findings,
    ReportFigure,
    Study,
)
from mlp_core.statistics.comparisons import ERROR_RATE, win_probability
from mlp_core.statistics.intervals import MeanInterval, median_interval, share_interval
from mlp_core.statistics.wording import bracketed, counted, unbroken, words

START_NAMES = {
    "pytorch": "PyTorch's start",
    "xavier": "Xavier's weights at gain 1",
    "xavier at the theoretical gain": "Xavier's weights at the theoretical gain",
}


@dataclass(frozen=True)
class _Intervention:
    """One activation from one start, trained for so many epochs, at all depths."""

    activation: str
    initialization: str
    epochs: int
    rows: pd.DataFrame

    @property
    def name(self) -> str:
        return f"{self.activation} from {START_NAMES.get(self.initialization, self.initialization)}"

    @property
    def accuracy(self) -> pd.DataFrame:
        """Return the test accuracy `[seed, depth]`, NaN where a member diverged."""
        finished = self.rows.assign(test_accuracy=self.rows["test_accuracy"].where(self.rows["status"] == "ok"))
        return finished.pivot(index="seed", columns="depth", values="test_accuracy").astype(float)

    def decline(self, best_depth: int) -> pd.Series:
        """Return by seed what is lost from a depth to the deepest."""
        accuracy = self.accuracy
        return accuracy[best_depth] - accuracy[accuracy.columns.max()]

    def beyond_half(self, whole: _Intervention, best_depth: int) -> NDArray[np.float64]:
        """Return by seed the decline minus half of another's: below 0 where most of it is gone."""
        beyond: NDArray[np.float64] = (self.decline(best_depth) - whole.decline(best_depth) / 2).to_numpy(dtype=float)
        return beyond

    def at(self, depth: int) -> pd.DataFrame:
        return self.rows[self.rows["depth"] == depth]


def _explain(table: pd.DataFrame, settings: Mapping[str, Any]) -> Findings:
    groups = table.groupby(["activation", "initialization", "epochs"], sort=False)
    interventions = [
        _Intervention(str(activation), str(initialization), int(epochs), rows)
        for (activation, initialization, epochs), rows in groups
    ]
    depths = sorted(table["depth"].unique())
    best = int(interventions[0].accuracy.mean().fillna(-1).idxmax())
    short, reasons = _explain_in_words(interventions, best, depths[-1])
    return Findings(
        short,
        reasons,
        [
            *("activation", "start", "epochs", f"decline, {best} to {depths[-1]}"),
            *(f"{what}, depth {depths[-1]}" for what in ("never learned", "dead units", "best member")),
            *(f"depth {depth}" for depth in depths),
        ],
        3,
        [_explain_row(one, best, depths) for one in interventions],
        f"{MEDIAN_NOTE} The decline, in percentage points, is taken seed by seed, from the depth of highest mean "
        "in the first row to the deepest, and the median is that of these differences. "
        f"{NEVER_LEARNED_NOTE} Dead is a ReLU unit that is 0 on every training point before the first step. Members of "
        "equal number share their seed between all rows: their starts differ in the size of the weights alone. The "
        "intervals in the sentences above are corrected for how many there are (Bonferroni).",
    )


def _explain_row(one: _Intervention, best: int, depths: Sequence[int]) -> list[str]:
    accuracy, deepest = one.accuracy, one.at(depths[-1])
    dead = deepest["dead_share"].astype(float).mean()
    reached = accuracy[depths[-1]].max()
    row = [
        one.activation,
        one.initialization.replace("xavier at the theoretical gain", "xavier, theoretical gain"),
        str(one.epochs),
        bracketed(median_interval(one.decline(best).to_numpy())).replace(" %", ""),
        counted(_failing(one, depths[-1])),
        f"{100 * dead:.0f} %" if np.isfinite(dead) else "cannot die",
        f"{100 * reached:.1f} %" if np.isfinite(reached) else "none finished",
        *(bracketed(median_interval(accuracy[depth].to_numpy())) for depth in depths),
    ]
    return [text if place == 1 else unbroken(text) for place, text in enumerate(row)]


def _explain_in_words(interventions: list[_Intervention], best: int, deepest: int) -> tuple[list[str], list[str]]:
    """Return what to say in short, and the reasons."""
    base, *others = interventions
    n_depths = base.rows["depth"].nunique()
    decline = median_interval(base.decline(best).to_numpy(), max(1, n_depths - 1))  # the best one was chosen
    lead = (
        f"With {base.name} mean test accuracy falls from {_percent(base, best)} at depth {best} to "
        f"{_percent(base, deepest)} at depth {deepest}, in the median of the seeds by {_points(decline)}"
    )
    if best == deepest:
        return [f"With {base.name} the deepest network, {deepest} layers, is the best: no decline to explain."], []
    if not decline.low > 0:
        return [f"{lead}: these members alone do not show that it falls, so there is nothing to explain yet."], []
    alike = [one for one in others if one.epochs == base.epochs]
    short = [f"{lead}."]
    if alike:
        short.append(_verdict(base, alike, best))
    short += _failures_in_words(base, best, deepest)
    starts = [one for one in alike if one.activation == base.activation]
    activations = [one for one in alike if one.initialization == base.initialization]
    if starts:
        parts = [_carried(base, one, best, f"from {START_NAMES.get(one.initialization)}", len(alike)) for one in starts]
        short.append(f"With another start alone the decline is {'; '.join(parts)}.")
    if activations:
        parts = [_carried(base, one, best, f"with {one.activation}", len(alike)) for one in activations]
        short.append(f"With another activation alone it is {'; '.join(parts)}.")
    longer = [one for one in others if (one.activation, one.initialization) == (base.activation, base.initialization)]
    reasons = [_slowness(base, one, best) for one in longer]
    return short, [*reasons, *_gradients_in_words(interventions, deepest)]


def _verdict(base: _Intervention, alike: Sequence[_Intervention], best: int) -> str:
    """Say whether half of the decline goes; the best of several starts is corrected for having been chosen."""
    least = min(alike, key=lambda one: median_interval(one.decline(best).to_numpy()).mean)
    remains = f"with {least.name} the decline is {_points(median_interval(least.decline(best).to_numpy()))}"
    against = [one.beyond_half(base, best) for one in alike]
    if any(median_interval(values, len(alike)).high < 0 for values in against):
        tried = f"the best of {len(alike)} tried, corrected for that" if len(alike) > 1 else "the one tried"
        return (
            f"In most seeds more than half of the decline goes with another start or activation: {remains} ({tried}). "
            "At a fixed budget of parameters the deeper network is the narrower one: this does not tell depth from "
            "width."
        )
    if all(median_interval(values).low > 0 for values in against):
        return f"No start or activation tried takes away half of the decline in most seeds: {remains}."
    return f"Whether half of the decline goes with another start or activation these members do not settle: {remains}."


def _carried(base: _Intervention, one: _Intervention, best: int, how: str, n_comparisons: int) -> str:
    left = median_interval(one.decline(best).to_numpy())
    saved = median_interval((base.decline(best) - one.decline(best)).to_numpy(), n_comparisons)
    less = f"{_points(saved)} less" if saved.low > 0 else f"{_points(saved)} less, which may be none"
    return f"{_points(left)} {how}, {less}"


def _slowness(base: _Intervention, longer: _Intervention, best: int) -> str:
    left = median_interval(longer.decline(best).to_numpy())
    against = median_interval(longer.beyond_half(base, best))
    verdict = "these members do not tell how much of it was slow learning"
    if against.low > 0:
        verdict = "slow learning is not what carries it"
    elif against.high < 0:
        verdict = "most of it was slow learning"
    return f"After {longer.epochs} epochs instead of {base.epochs} the decline is {_points(left)}: {verdict}."


def _failures_in_words(base: _Intervention, best: int, deepest: int) -> list[str]:
    rows = base.at(deepest)
    failed = rows[~rows["learned"]]
    if failed.empty:
        return [f"All {len(rows)} members of depth {deepest} learned something."]
    sentence = f"Of {len(rows)} members of depth {deepest} {len(failed)} never learned"
    if rows["dead_layers"].notna().any():
        blocked = int((failed["dead_layers"] > 0).sum())
        width = int(rows["width"].iloc[0])
        sentence += f", {blocked} of them with all {width} units of a layer dead before the first step"
        sentence += ", which is the width's doing" if blocked else ""
    left = median_interval(base.decline(best).loc[rows.loc[rows["learned"], "seed"]].to_numpy())
    return [f"{sentence}; among the seeds whose deepest network learned the decline is {_points(left)}."]


def _gradients_in_words(interventions: list[_Intervention], deepest: int) -> list[str]:
    base, shallowest = interventions[0], min(interventions[0].rows["depth"])
    n_compared = (
        sum((one.initialization, one.epochs) == (base.initialization, base.epochs) for one in interventions) - 1
    )
    parts, as_small = [], []
    for one in interventions:
        if (one.initialization, one.epochs) != (base.initialization, base.epochs):
            continue
        shallow, deep = (one.at(depth)["first_gradient_mean_square"].median() for depth in (shallowest, deepest))
        part = f"1/{shallow / deep:,.0f}" if deep > 0 else "none"
        parts.append(f"{one.activation} {part} ({_n_failed(one, deepest)} of {len(one.at(deepest))} never learned)")
        smaller = deep < 2 * base.at(deepest)["first_gradient_mean_square"].median()
        learned, base_learned = (part.at(deepest).set_index("seed")["learned"].astype(float) for part in (one, base))
        if smaller and win_probability(*_pairs(learned, base_learned)) <= ERROR_RATE / max(1, n_compared):
            as_small.append(one.activation)
    sentence = (
        f"Before the first step the mean square of the first layer's gradient at depth {deepest} is this part of that "
        f"at depth {shallowest} (medians, {START_NAMES[base.initialization]}): {', '.join(parts)}"
    )
    if as_small:
        sentence += (
            f"; with {' and '.join(as_small)} it is about as small as with {base.activation} or smaller, and yet the "
            "members learn: a small gradient alone does not keep them from it"
        )
    return [f"{sentence}."]


def _n_failed(one: _Intervention, depth: int) -> int:
    return int((~one.at(depth)["learned"]).sum())


def _failing(one: _Intervention, depth: int) -> MeanInterval:
    return share_interval(_n_failed(one, depth), len(one.at(depth)))


def _pairs(first: pd.Series, second: pd.Series) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the values of seeds that both have, where they differ: their sign test is McNemar's exact one."""
    both = pd.concat([first, second], axis=1, join="inner").to_numpy(dtype=float)
    both = both[both[:, 0] != both[:, 1]]
    return both[:, 0], both[:, 1]


def _percent(one: _Intervention, depth: int) -> str:
    return f"{100 * one.accuracy[depth].mean():.1f} %"


def _points(found: MeanInterval) -> str:
    if found.n == 0:
        return "none finished"
    if not found.has_interval:
        return f"{100 * found.mean:.1f} points (n = {found.n})"
    return f"{100 * found.mean:.1f} points ({100 * found.low:.1f} to {100 * found.high:.1f})"


@dataclass(frozen=True)
class _Model:
    """A polynomial, a perceptron or the nearest neighbour, and its members' rows."""

    name: str
    kind: str
    parameters: float
    tuned: bool
    rows: pd.DataFrame

    def median(self, column: str) -> MeanInterval:
        values = self.rows[column].where(self.rows["status"] == "ok")
        return median_interval(values.to_numpy(dtype=float))

    def islands(self) -> pd.Series:
        return (self.rows["islands"] + self.rows["border_islands"]).astype(float)


def _generalize(table: pd.DataFrame, settings: Mapping[str, Any]) -> Findings:
    keys = ["model", "degree", "depth", "parameters", "training", "learning_rate"]
    models = []
    for (kind, degree, depth, parameters, training, rate), rows in table.groupby(keys, sort=False, dropna=False):
        name = {"polynomial": f"polynomial, degree {degree:.0f}", "mlp": f"perceptron, depth {depth:.0f}"}.get(
            kind, kind
        )
        tuned = training == TUNED
        models.append(_Model(f"{name}, tuned (rate {rate:g})" if tuned else name, kind, parameters, tuned, rows))
    radius = min(2.0, float(table["training_radius"].iloc[0]))
    return Findings(
        _generalize_in_words(models, radius, int(settings.get("arms", 4))),
        [],
        [
            *("model", "parameters", "n", "test accuracy", "inside, to radius 1", f"rim, 1 to {radius:.2f}"),
            *(f"outside, {radius:.2f} to 2", "islands on the map", "their area"),
        ],
        1,
        [_model_row(one) for one in models],
        f"{MEDIAN_NOTE} Islands and their area are means. Inside, rim and outside are points on the arms, continued "
        "without noise from their end at radius 1 to radius 2; beyond the rim lies no training point. An island is a "
        "region of a class that holds none of its training points, on the map from -2 to 2; those that reach its "
        "edge may belong to a larger region beyond and are counted too. "
        "The number of parameters of perceptrons comes near a budget, with the smallest width that reaches it. Tuned: "
        "inputs with mean 0 and standard deviation 1, and of five learning rates from 0.001 to 0.1 the one that was "
        "right most often on a fifth of the training points, held out while it was chosen.",
    )


def _model_row(one: _Model) -> list[str]:
    counts, areas = one.islands(), one.rows["island_area"] + one.rows["border_island_area"]
    regions = [one.median(name) for name in ("test_accuracy", "inside_accuracy", "rim_accuracy", "outside_accuracy")]
    row = [
        one.name,
        "none" if np.isnan(one.parameters) else f"{one.parameters:.0f}",
        str(one.median("test_accuracy").n),
        *(bracketed(found) for found in regions),
        f"{counts.mean():.1f}" if counts.notna().any() else "none",
        f"{areas.mean():.2f} of 16" if areas.notna().any() else "none",
    ]
    return [row[0], *(unbroken(text) for text in row[1:])]


def _generalize_in_words(models: list[_Model], radius: float, n_classes: int) -> list[str]:
    finished = [one for one in models if one.median("outside_accuracy").n and not one.tuned]
    wide = [one for one in finished if one.kind == "polynomial"][-1:]
    if not wide:
        return ["Of no polynomial there is an accuracy outside the training region."]
    widest, chance = wide[0], 1 / n_classes
    outside = widest.median("outside_accuracy")
    sentences = [
        f"The {widest.name}, is right, in the median over members, on the arms that it was trained on for "
        f"{words(widest.median('inside_accuracy'))}; on the same arms continued, beyond the last training point at "
        f"radius {radius:.2f}, for {words(outside, short=True)}, where guessing gives {100 * chance:.0f} %."
    ]
    alike = [one for one in finished if one.kind == "mlp" and alike_in_size(one.parameters, widest.parameters)]
    if alike:
        found = [one.median("outside_accuracy") for one in alike]
        parts = [
            f"{one.name.removeprefix('perceptron, ')}: {words(accuracy, short=True)}"
            for one, accuracy in zip(alike, found, strict=True)
        ]
        sentences.append(f"Perceptrons with as many parameters, give or take 15 %, reach there at {'; '.join(parts)}.")
        nearest = [one.median("outside_accuracy").mean for one in finished if one.kind == "nearest neighbour"]
        if all(one.rows["outside_accuracy"].max() < chance for one in alike):
            sentences.append("That is less than guessing: there the arms have turned on, away from what was learned.")
            if nearest and nearest[0] < chance:
                sentences.append(f"So is the answer of the nearest training point, {100 * nearest[0]:.1f} %.")
    parts = [f"{one.name} {one.islands().mean():.1f}" for one in (widest, *alike)]
    sentences.append(f"Unconnected islands on the map, mean per member: {'; '.join(parts)}.")
    return [*sentences, *_tuned_in_words(models, widest)]


def _tuned_in_words(models: Sequence[_Model], widest: _Model) -> list[str]:
    """Say what standardised inputs and tuned learning rates make of the widest polynomial and of a perceptron."""
    tuned = [one for one in models if one.tuned and one.median("test_accuracy").n]
    wide = [one for one in tuned if one.kind == "polynomial"]
    if not wide:
        return []
    reached = [words(one.median("test_accuracy"), short=True) for one in (widest, *wide)]
    sentence = (
        f"On test points inside the training region the {widest.name}, reaches {reached[0]} as the settings have it "
        f"and {reached[1]} with standardised inputs and a tuned learning rate"
    )
    deep = [f"the {one.name}, {words(one.median('test_accuracy'), short=True)}" for one in tuned if one.kind == "mlp"]
    return [f"{sentence}; {deep[0]}." if deep else f"{sentence}."]


def _features(table: pd.DataFrame, settings: Mapping[str, Any]) -> Findings:
    groups = _unit_groups(table)
    return Findings(
        _features_in_words(groups),
        [],
        [
            *("units", "number", "extent (image sides)", "participation ratio", "class cosine"),
            "spatial frequency (cycles per image)",
        ],
        1,
        [
            [name, str(len(rows)), *(_number(_over_members(rows, column)) for column in _MEASURES)]
            for name, rows in groups.items()
        ],
        "Mean over a member's units, median over members [95 % interval, order statistics]; what has no members has "
        "none. The extent is the rms distance of the squared weights from their centre; the participation ratio is the "
        "share of the pixels that a unit looks at, wherever they lie; the class cosine is the likeness to the nearest "
        "difference of two class means; the frequency is the mean one, weighted by power. Whole faces are templates, "
        "the class means, and single photographs, both less the mean photograph. "
        "Members of one configuration share the stream of batches.",
    )


_MEASURES = ("extent", "participation_ratio", "class_cosine", "spatial_frequency")


def _unit_groups(table: pd.DataFrame) -> dict[str, pd.DataFrame]:
    trained, random = (table[table["kind"] == kind] for kind in ("trained", "random"))
    depths = sorted(trained["depth"].unique())
    return {
        **{f"trained, depth {depth:.0f}": trained[trained["depth"] == depth] for depth in depths},
        "before training": random[random["depth"] == depths[0]],
        "edge filters": table[table["kind"] == "gabor"],
        "whole faces, templates": table[table["kind"] == "template"],
        "whole faces, photographs": table[table["kind"] == "photograph"],
    }


def _over_members(rows: pd.DataFrame, column: str) -> MeanInterval:
    return median_interval(rows.groupby(rows["member"].fillna(-1))[column].mean().to_numpy(dtype=float))


def _number(found: MeanInterval) -> str:
    if not found.n:
        return "none"
    digits = 3 if abs(found.mean) < 1 else 2
    interval = f" [{found.low:.{digits}f} to {found.high:.{digits}f}]" if found.has_interval else ""
    return unbroken(f"{found.mean:.{digits}f}{interval}")


def _features_in_words(groups: Mapping[str, pd.DataFrame]) -> list[str]:
    random, filters, templates, photographs = (
        groups[name]
        for name in ("before training", "edge filters", "whole faces, templates", "whole faces, photographs")
    )
    trained = pd.concat([rows for name, rows in groups.items() if name.startswith("trained")])
    local, whole, single, start = (float(rows["extent"].mean()) for rows in (filters, templates, photographs, random))
    if not _over_members(trained, "extent").n:
        return ["No trained unit has finite weights: the members diverged."]
    as_local = int((trained["extent"] <= filters["extent"].max()).sum())
    return [
        "The extent of trained first-layer units, how far their weights reach in sides of the image, is "
        f"{_listed_means(groups, 'extent')}; that of edge filters is {local:.3f}, of templates of whole faces "
        f"{whole:.3f}, of single photographs {single:.3f}, and of the units before training {start:.3f}.",
        f"{as_local} of {len(trained)} units are as local as the widest edge filter. The network starts with units "
        "that see the whole image: that they do not become local is what is shown.",
        "Their cosine with the nearest difference of two class means, 1 for a whole template, is "
        f"{_listed_means(groups, 'class_cosine')}, against {random['class_cosine'].mean():.3f} before training.",
    ]


def _listed_means(groups: Mapping[str, pd.DataFrame], column: str) -> str:
    shown = {name: rows for name, rows in groups.items() if name.startswith("trained")}
    return ", ".join(f"{_number(_over_members(rows, column))} at {name.split(', ')[1]}" for name, rows in shown.items())


EXPLANATION = Study(
    name="explain",
    command="deep-mlp depth-sweep --explain",
    title="Why is there a best depth?",
    question="Past a best depth learning itself fails, says the tutorial, because gradients vanish. The same depths "
    "with other activations and from other starts: what carries the decline, depth as such or how the networks start?",
    columns=(
        *("activation", "initialization", "epochs", "depth", "width", "seed", "test_accuracy", "status", "learned"),
        *("dead_share", "dead_layers", "first_gradient_mean_square"),
    ),
    figures=(
        ReportFigure(
            "explain",
            "Test accuracy against hidden layers, a panel for each activation and a colour for each start; members "
            "faint, medians with 95 % intervals.",
            "Panels of median test accuracy by depth for each activation and start. The table has the numbers.",
        ),
        ReportFigure(
            "explain_causes",
            "Before the first step: the gradient that reaches the first layer, and the share of dead units. After "
            "training: the share of members that never learned.",
            "Panels of start gradient, dead units and failures by depth for each activation and start.",
        ),
    ),
    links=EXPRESSIVITY,
    find=_explain,
)

GENERALIZATION = Study(
    name="generalization",
    command="deep-mlp generalization",
    title="Where wide fails, counted",
    question="Outside the training region the tutorial looks at a map. The spirals can be continued: their curve gives "
    "true labels there. Who is still right, the wide polynomial or a perceptron of the same size? And inside, how much "
    "of what the polynomial lacks is the optimizer's doing?",
    columns=(
        *("model", "degree", "depth", "parameters", "training", "learning_rate", "status"),
        *("test_accuracy", "inside_accuracy", "rim_accuracy"),
        *("outside_accuracy", "islands", "island_area", "border_islands", "border_island_area", "training_radius"),
    ),
    figures=(
        ReportFigure(
            "generalization",
            "Accuracy on the arms, continued beyond their end at radius 1, against radius: polynomials above, "
            "perceptrons below, nearest neighbour dotted in both. Bands are 95 % intervals of the median.",
            "Curves of accuracy against radius for polynomials and for perceptrons. The table has the numbers.",
        ),
        ReportFigure(
            "generalization_maps",
            "What polynomials of the lowest, a middle and the highest degree, and the best perceptron, answer "
            "everywhere.",
            "Four square maps of predicted classes with the test points on them.",
        ),
    ),
    links=EXPRESSIVITY,
    find=_generalize,
)

FEATURES = Study(
    name="features",
    command="deep-mlp features",
    title="What the first layer sees",
    question="Whole faces show in the first layer, so the network is not hierarchical, says the tutorial. How local is "
    "a unit, how like a template of a class, how fine, next to random weights, edge filters and whole faces?",
    columns=("kind", "depth", "member", "seed", "unit", *_MEASURES),
    figures=(
        ReportFigure(
            "features",
            "Cumulated shares of units by how local they are, how like the difference of two classes, and how fine: "
            "trained at each depth, before training, and edge filters.",
            "Three panels of cumulated shares. The table has the means.",
        ),
        ReportFigure(
            "features_units",
            "The most local units of each kind, with their extents in sides of the image.",
            "Rows of small colour pictures: trained units of each depth, random ones and edge filters.",
        ),
    ),
    links=CASE_STUDY,
    find=_features,
)
