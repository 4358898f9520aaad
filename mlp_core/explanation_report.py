"""Sections of the report that look for reasons: the decline with depth, the failure of width, the first layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from mlp_core.findings import (
    CASE_STUDY,
    EXPRESSIVITY,
    MEDIAN_NOTE,
    NEVER_LEARNED_NOTE,
    Findings,
    ReportFigure,
    Study,
    bracketed,
    counted,
    unbroken,
    words,
)
from mlp_core.metrics import MeanInterval, mean_interval, median_interval, share_interval

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
        "equal number share their seed between all rows: their starts differ in the size of the weights alone.",
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
    decline = mean_interval(base.decline(best).to_numpy())
    lead = (
        f"With {base.name} mean test accuracy falls from {_percent(base, best)} at depth {best} to "
        f"{_percent(base, deepest)} at depth {deepest}, by {_points(decline)}"
    )
    if best == deepest:
        return [f"With {base.name} the deepest network, {deepest} layers, is the best: no decline to explain."], []
    if not decline.low > 0:
        return [f"{lead}: these members alone do not show that it falls, so there is nothing to explain yet."], []
    alike = [one for one in others if one.epochs == base.epochs]
    short = [f"{lead}."]
    if alike:
        found = [(mean_interval(one.decline(best).to_numpy()), one) for one in alike]
        short.append(_verdict(decline, *min(found, key=lambda pair: pair[0].mean)))
    starts = [one for one in alike if one.activation == base.activation]
    activations = [one for one in alike if one.initialization == base.initialization]
    if starts:
        parts = [_carried(base, one, best, f"from {START_NAMES.get(one.initialization)}") for one in starts]
        short.append(f"With another start alone the decline is {'; '.join(parts)}.")
    if activations:
        parts = [_carried(base, one, best, f"with {one.activation}") for one in activations]
        short.append(f"With another activation alone it is {'; '.join(parts)}.")
    longer = [one for one in others if (one.activation, one.initialization) == (base.activation, base.initialization)]
    reasons = [_slowness(base, one, best) for one in longer]
    return short, [*reasons, *_failures_in_words(base, best, deepest), *_gradients_in_words(interventions, deepest)]


def _verdict(decline: MeanInterval, least: MeanInterval, one: _Intervention) -> str:
    remains = f"with {one.name} the decline is {_points(least)}"
    if least.high < decline.mean / 2:
        return f"Most of the decline is carried by the start and the activation, not by depth as such: {remains}."
    if least.low > decline.mean / 2:
        return f"No start or activation tried takes away half of the decline, so depth itself carries most: {remains}."
    return f"Whether depth itself carries most of the decline is not settled by these members: {remains}."


def _carried(base: _Intervention, one: _Intervention, best: int, how: str) -> str:
    left = mean_interval(one.decline(best).to_numpy())
    saved = mean_interval((base.decline(best) - one.decline(best)).to_numpy())
    less = f"{_points(saved)} less" if saved.low > 0 else f"{_points(saved)} less, which may be none"
    return f"{_points(left)} {how}, {less}"


def _slowness(base: _Intervention, longer: _Intervention, best: int) -> str:
    whole, left = (mean_interval(one.decline(best).to_numpy()) for one in (base, longer))
    verdict = "these members do not tell how much of it was slow learning"
    if left.low > whole.mean / 2:
        verdict = "slow learning is not what carries it"
    elif left.high < whole.mean / 2:
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
        sentence += f", {blocked} of them with a whole layer of dead units before the first step"
    left = mean_interval(base.decline(best).loc[rows.loc[rows["learned"], "seed"]].to_numpy())
    return [f"{sentence}; among the seeds whose deepest network learned the decline is {_points(left)}."]


def _gradients_in_words(interventions: list[_Intervention], deepest: int) -> list[str]:
    base, shallowest = interventions[0], min(interventions[0].rows["depth"])
    parts, as_small = [], []
    for one in interventions:
        if (one.initialization, one.epochs) != (base.initialization, base.epochs):
            continue
        shallow, deep = (one.at(depth)["first_gradient_mean_square"].median() for depth in (shallowest, deepest))
        part = f"1/{shallow / deep:,.0f}" if deep > 0 else "none"
        parts.append(f"{one.activation} {part} ({_n_failed(one, deepest)} of {len(one.at(deepest))} never learned)")
        smaller = deep < 2 * base.at(deepest)["first_gradient_mean_square"].median()
        if smaller and _failing(one, deepest).high < _failing(base, deepest).low:
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
    rows: pd.DataFrame

    def median(self, column: str) -> MeanInterval:
        values = self.rows[column].where(self.rows["status"] == "ok")
        return median_interval(values.to_numpy(dtype=float))

    def islands(self) -> pd.Series:
        return (self.rows["islands"] + self.rows["border_islands"]).astype(float)


def _generalize(table: pd.DataFrame, settings: Mapping[str, Any]) -> Findings:
    keys = ["model", "degree", "depth", "parameters"]
    models = []
    for (kind, degree, depth, parameters), rows in table.groupby(keys, sort=False, dropna=False):
        name = {"polynomial": f"polynomial, degree {degree:.0f}", "mlp": f"perceptron, depth {depth:.0f}"}.get(
            kind, kind
        )
        models.append(_Model(name, kind, parameters, rows))
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
        "The number of parameters of perceptrons comes near a budget, with the smallest width that reaches it.",
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
    finished = [one for one in models if one.median("outside_accuracy").n]
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
    alike = [one for one in finished if one.kind == "mlp" and abs(one.parameters / widest.parameters - 1) < 0.15]
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
    return [*sentences, f"Unconnected islands on the map, mean per member: {'; '.join(parts)}."]


def _features(table: pd.DataFrame, settings: Mapping[str, Any]) -> Findings:
    groups = _unit_groups(table)
    return Findings(
        _features_in_words(groups),
        [],
        ["units", "number", "participation ratio", "class cosine", "spatial frequency (cycles per image)"],
        1,
        [
            [name, str(len(rows)), *(_number(_over_members(rows, column)) for column in _MEASURES)]
            for name, rows in groups.items()
        ],
        "Mean over a member's units, median over members [95 % interval, order statistics]; edge filters are fixed "
        "and have none. The participation ratio is the share of the pixels that a unit looks at; the class cosine is "
        "the likeness to the nearest difference of two class means; the frequency is the mean one, weighted by power. "
        "Members of one configuration share the stream of batches.",
    )


_MEASURES = ("participation_ratio", "class_cosine", "spatial_frequency")


def _unit_groups(table: pd.DataFrame) -> dict[str, pd.DataFrame]:
    trained, random = (table[table["kind"] == kind] for kind in ("trained", "random"))
    depths = sorted(trained["depth"].unique())
    return {
        **{f"trained, depth {depth:.0f}": trained[trained["depth"] == depth] for depth in depths},
        "before training": random[random["depth"] == depths[0]],
        "edge filters": table[table["kind"] == "gabor"],
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
    random, filters = groups["before training"], groups["edge filters"]
    trained = pd.concat([rows for name, rows in groups.items() if name.startswith("trained")])
    start, local = (float(rows["participation_ratio"].mean()) for rows in (random, filters))
    ratio = _over_members(trained, "participation_ratio")
    if not ratio.n:
        return ["No trained unit has finite weights: the members diverged."]
    low, mean, high = ((end - local) / (start - local) for end in (ratio.low, ratio.mean, ratio.high))
    scale = MeanInterval(ratio.n, mean, low, high, 0)
    as_local = int((trained["participation_ratio"] <= filters["participation_ratio"].max()).sum())
    return [
        "The participation ratio of trained first-layer units, the share of the pixels that they look at, is "
        f"{_listed_means(groups, 'participation_ratio')}; before training it is {start:.3f}, that of edge filters "
        f"{local:.3f}.",
        f"On a scale from 0, edge filters, to 1, random weights, that is {_number(scale)}; {as_local} of "
        f"{len(trained)} units are as local as the widest filter.",
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
        *("activation", "initialization", "epochs", "depth", "seed", "test_accuracy", "status", "learned"),
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
    "true labels there. Who is still right, the wide polynomial or a perceptron of the same size?",
    columns=(
        *("model", "degree", "depth", "parameters", "status", "test_accuracy", "inside_accuracy", "rim_accuracy"),
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
    "a unit, how like a template of a class, how fine, beside random weights and beside edge filters?",
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
            "The most local units of each kind, with their participation ratios.",
            "Rows of small colour pictures: trained units of each depth, random ones and edge filters.",
        ),
    ),
    links=CASE_STUDY,
    find=_features,
)
