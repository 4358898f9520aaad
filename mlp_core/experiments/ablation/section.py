"""Section of the report on the ablation: what carries the decline with depth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mlp_core.report.section import EXPRESSIVITY, MEDIAN_NOTE, NEVER_LEARNED_NOTE, ReportFigure, Section, SectionContent
from mlp_core.statistics.by_seed import highest_median
from mlp_core.statistics.comparisons import ERROR_RATE, win_probability
from mlp_core.statistics.intervals import Interval, median_interval, share_interval
from mlp_core.statistics.wording import count, format_cell, format_share, no_break

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
    def finished(self) -> pd.DataFrame:
        """Return the rows of the members that did not diverge."""
        return self.rows[self.rows["status"] == "ok"]

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


def _content(table: pd.DataFrame, settings: Mapping[str, Any]) -> SectionContent:
    groups = table.groupby(["activation", "initialization", "epochs"], sort=False)
    interventions = [
        _Intervention(str(activation), str(initialization), int(epochs), rows)
        for (activation, initialization, epochs), rows in groups
    ]
    depths = sorted(table["depth"].unique())
    best = highest_median(interventions[0].finished, "test_accuracy", "depth")
    best = depths[0] if np.isnan(best) else int(best)
    full, reasons = _describe_ablation(interventions, best, depths[-1])
    return SectionContent(
        _in_short(interventions, best, depths[-1]),
        [*full, *reasons],
        [
            *("activation", "start", "epochs", f"decline, {best} to {depths[-1]}"),
            *(f"{what}, depth {depths[-1]}" for what in ("never learned", "dead units", "best member")),
            *(f"depth {depth}" for depth in depths),
        ],
        3,
        [_row(intervention, best, depths) for intervention in interventions],
        f"{MEDIAN_NOTE} The decline, in percentage points, is taken seed by seed, from the depth of highest "
        "median in the first row to the deepest, and the median is that of these differences. "
        f"{NEVER_LEARNED_NOTE} Dead is a ReLU unit that is 0 on every training point before the first step. Members of "
        "equal number share their seed between all rows: their starts differ in the size of the weights alone. The "
        "intervals in the sentences above are corrected for how many there are (Bonferroni).",
    )


def _in_short(interventions: list[_Intervention], best: int, deepest: int) -> list[str]:
    """Return a plain sentence on what carries the decline, or on why there is none to explain."""
    base, *others = interventions
    n_depths = base.rows["depth"].nunique()
    decline = median_interval(base.decline(best).to_numpy(), max(1, n_depths - 1))
    if best == deepest:
        return [f"The deepest network, {count(int(deepest), 'layer')}, is the best: no decline to explain."]
    if decline.n == 0:
        return [f"No seed finished at depths {best} and {deepest}: no decline to explain."]
    if not decline.low > 0:
        do = "does" if decline.n == 1 else "do"
        seeds = count(decline.n, "seed").capitalize()
        return [f"{seeds} {do} not show that accuracy falls from depth {best} to depth {deepest}."]
    lost = f"{100 * decline.estimate:.0f} points lost from depth {best} to depth {deepest}"
    alike = [intervention for intervention in others if intervention.epochs == base.epochs]
    if not alike:
        return [f"In the median seed there are {lost}."]
    against = [intervention.beyond_half(base, best) for intervention in alike]
    if any(median_interval(values, len(alike)).high < 0 for values in against):
        return [f"With another start or activation they fail less: of the {lost} more than half goes."]
    if all(median_interval(values).low > 0 for values in against):
        return [f"Not for their start or activation: no other takes away half of the {lost}."]
    return [f"These networks do not settle what carries the {lost}."]


def _row(intervention: _Intervention, best: int, depths: Sequence[int]) -> list[str]:
    accuracy, deepest = intervention.accuracy, intervention.at(depths[-1])
    dead = deepest["dead_share"].astype(float).median()
    reached = accuracy[depths[-1]].max()
    row = [
        intervention.activation,
        intervention.initialization.replace("xavier at the theoretical gain", "xavier, theoretical gain"),
        str(intervention.epochs),
        format_cell(median_interval(intervention.decline(best).to_numpy())).replace(" %", ""),
        format_share(_failing(intervention, depths[-1])),
        f"{100 * dead:.0f} %" if np.isfinite(dead) else "cannot die",
        f"{100 * reached:.1f} %" if np.isfinite(reached) else "none finished",
        *(format_cell(median_interval(accuracy[depth].to_numpy())) for depth in depths),
    ]
    return [text if place == 1 else no_break(text) for place, text in enumerate(row)]


def _describe_ablation(interventions: list[_Intervention], best: int, deepest: int) -> tuple[list[str], list[str]]:
    """Return the sentences with numbers, and the reasons."""
    base, *others = interventions
    n_depths = base.rows["depth"].nunique()
    decline = median_interval(base.decline(best).to_numpy(), max(1, n_depths - 1))  # the best one was chosen
    lead = (
        f"With {base.name} median test accuracy falls from {_percent(base, best)} at depth {best} to "
        f"{_percent(base, deepest)} at depth {deepest}, in the median of the seeds by {_points(decline)}"
    )
    if best == deepest:
        return [
            f"With {base.name} the deepest network, {count(int(deepest), 'layer')}, is the best: no decline to explain."
        ], []
    if decline.n == 0:
        return [f"With {base.name} no seed finished at depths {best} and {deepest}: no decline to explain."], []
    if not decline.low > 0:
        return [f"{lead}: these members alone do not show that it falls, so there is nothing to explain yet."], []
    alike = [intervention for intervention in others if intervention.epochs == base.epochs]
    short = [f"{lead}."]
    if alike:
        short.append(_verdict(base, alike, best))
    short += _describe_failures(base, best, deepest)
    starts = [intervention for intervention in alike if intervention.activation == base.activation]
    activations = [intervention for intervention in alike if intervention.initialization == base.initialization]
    if starts:
        parts = [
            _carried(base, intervention, best, f"from {START_NAMES.get(intervention.initialization)}", len(alike))
            for intervention in starts
        ]
        short.append(f"With another start alone the decline is {'; '.join(parts)}.")
    if activations:
        parts = [
            _carried(base, intervention, best, f"with {intervention.activation}", len(alike))
            for intervention in activations
        ]
        short.append(f"With another activation alone it is {'; '.join(parts)}.")
    longer = [
        intervention
        for intervention in others
        if (intervention.activation, intervention.initialization) == (base.activation, base.initialization)
    ]
    reasons = [_slowness(base, intervention, best) for intervention in longer]
    return short, [*reasons, *_describe_gradients(interventions, deepest)]


def _verdict(base: _Intervention, alike: Sequence[_Intervention], best: int) -> str:
    """Say whether half of the decline goes; the best of several starts is corrected for having been chosen."""
    least = min(alike, key=lambda intervention: median_interval(intervention.decline(best).to_numpy()).estimate)
    remains = f"with {least.name} the decline is {_points(median_interval(least.decline(best).to_numpy()))}"
    against = [intervention.beyond_half(base, best) for intervention in alike]
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


def _carried(base: _Intervention, intervention: _Intervention, best: int, how: str, n_comparisons: int) -> str:
    left = median_interval(intervention.decline(best).to_numpy())
    saved = median_interval((base.decline(best) - intervention.decline(best)).to_numpy(), n_comparisons)
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


def _describe_failures(base: _Intervention, best: int, deepest: int) -> list[str]:
    rows = base.at(deepest)
    failed = rows[~rows["learned"]]
    if failed.empty:
        return [f"At depth {deepest} every member learned something."]
    sentence = f"{len(failed)} of {len(rows)} members of depth {deepest} never learned"
    if rows["dead_layers"].notna().any():
        blocked = int((failed["dead_layers"] > 0).sum())
        width = int(rows["width"].iloc[0])
        of_them = "" if len(failed) == 1 else f"{blocked or 'none'} of them "
        dead = f"all {width} units" if width > 1 else "the one unit"
        if len(failed) > 1 or blocked:
            sentence += f", {of_them}with {dead} of a layer dead before the first step"
        sentence += ", which is the width's doing" if blocked else ""
    left = median_interval(base.decline(best).loc[rows.loc[rows["learned"], "seed"]].to_numpy())
    return [f"{sentence}; among the seeds whose deepest network learned the decline is {_points(left)}."]


def _describe_gradients(interventions: list[_Intervention], deepest: int) -> list[str]:
    base, shallowest = interventions[0], min(interventions[0].rows["depth"])
    n_compared = (
        sum(
            (intervention.initialization, intervention.epochs) == (base.initialization, base.epochs)
            for intervention in interventions
        )
        - 1
    )
    parts, as_small = [], []
    for intervention in interventions:
        if (intervention.initialization, intervention.epochs) != (base.initialization, base.epochs):
            continue
        shallow, deep = (
            intervention.at(depth)["first_gradient_mean_square"].median() for depth in (shallowest, deepest)
        )
        part = f"1/{shallow / deep:,.0f}" if deep > 0 else "none"
        parts.append(
            f"{intervention.activation} {part} "
            f"({_n_failed(intervention, deepest)} of {len(intervention.at(deepest))} never learned)"
        )
        smaller = deep < 2 * base.at(deepest)["first_gradient_mean_square"].median()
        learned, base_learned = (
            part.at(deepest).set_index("seed")["learned"].astype(float) for part in (intervention, base)
        )
        if smaller and win_probability(*_pairs(learned, base_learned)) <= ERROR_RATE / max(1, n_compared):
            as_small.append(intervention.activation)
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


def _n_failed(intervention: _Intervention, depth: int) -> int:
    return int((~intervention.at(depth)["learned"]).sum())


def _failing(intervention: _Intervention, depth: int) -> Interval:
    return share_interval(_n_failed(intervention, depth), len(intervention.at(depth)))


def _pairs(first: pd.Series, second: pd.Series) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the values of seeds that both have, where they differ: their sign test is McNemar's exact one."""
    both = pd.concat([first, second], axis=1, join="inner").to_numpy(dtype=float)
    both = both[both[:, 0] != both[:, 1]]
    return both[:, 0], both[:, 1]


def _percent(intervention: _Intervention, depth: int) -> str:
    return f"{100 * intervention.accuracy[depth].median():.1f} %"


def _points(interval: Interval) -> str:
    if interval.n == 0:
        return "none finished"
    if not interval.has_interval:
        return f"{100 * interval.estimate:.1f} points (n = {interval.n})"
    return f"{100 * interval.estimate:.1f} points ({100 * interval.low:.1f} to {100 * interval.high:.1f})"


SECTION = Section(
    name="ablation",
    command="deep-mlp depth-sweep --ablation",
    title="Why is there a best depth?",
    question="Past a best depth learning itself fails, says the tutorial, because gradients vanish. The same depths "
    "with other activations and from other starts: what carries the decline, depth as such or how the networks start?",
    columns=(
        *("activation", "initialization", "epochs", "depth", "width", "seed", "test_accuracy", "status", "learned"),
        *("dead_share", "dead_layers", "first_gradient_mean_square"),
    ),
    figures=(
        ReportFigure(
            "ablation",
            "Test accuracy against hidden layers, a panel for each activation and a colour for each start; members "
            "faint, medians with 95 % intervals.",
            "Panels of median test accuracy by depth for each activation and start. The table has the numbers.",
        ),
        ReportFigure(
            "ablation_causes",
            "Before the first step: the gradient that reaches the first layer, and the share of dead units. After "
            "training: the share of members that never learned.",
            "Panels of start gradient, dead units and failures by depth for each activation and start.",
        ),
    ),
    links=EXPRESSIVITY,
    content=_content,
    poster="Why do the deepest fail?",
)
