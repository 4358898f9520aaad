"""Section of the report on the phase diagram: does trainable depth follow what theory predicts?"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from mlp_core.experiments.phase_diagram.diagram import (
    SCALES,
    Agreement,
    PhaseDiagram,
    PhaseGrid,
    phase_diagram,
    phase_grid,
)
from mlp_core.experiments.phase_diagram.experiment import EXPERIMENT, PhaseDiagramSettings
from mlp_core.report.section import INITIALIZATION, SIGNAL_PAPERS, ReportFigure, Section, SectionContent
from mlp_core.statistics.wording import count, range_words


def _content(table: pd.DataFrame, settings: Mapping[str, Any]) -> SectionContent:
    activation, width = str(table["activation"].iloc[0]), int(table["width"].iloc[0])
    depth, gain = table["depth"].to_numpy(), table["gain"].to_numpy(dtype=float)
    finished = table["status"] == "ok"
    train, test = (
        phase_grid(depth, gain, table[name].where(finished).to_numpy(dtype=float))
        for name in ("train_accuracy", "test_accuracy")
    )
    chance = 1 / int(settings.get("classes", 3))
    diagram = phase_diagram(train, activation, width, chance)
    cells = [
        (train.accuracy[row, column], test.accuracy[row, column], int(train.diverged[:, column].sum()))
        for column, row in enumerate(np.searchsorted(train.depths, diagram.deepest))
        for row in [min(row, len(train.depths) - 1)]
    ]
    full = _describe_phase(diagram, activation, width)
    return SectionContent(
        _in_short(diagram) or full,
        [*full, *_spread(diagram), *_phase_details(diagram, test.accuracy)] if diagram.deepest.any() else [],
        [
            *("gain = sigma_w", "phase", "deepest trainable"),
            *(f"{SCALES} correlation scales", f"{SCALES} gradient scales"),
            *("train accuracy there", "test accuracy there", "diverged, all depths"),
        ],
        2,
        [
            [
                f"{train.gains[place]:.4g}",
                "order" if diagram.ordered[place] else "chaos",
                f"{_at_least(diagram.deepest[place], train.depths[-1])}{diagram.deepest[place] or 'none'}",
                _layers(SCALES * diagram.scales.correlation[place]),
                _layers(SCALES * diagram.scales.gradient[place]),
                *(f"{100 * accuracy:.1f} %" if diagram.deepest[place] else "" for accuracy in accuracies),
                str(diverged),
            ]
            for place, (*accuracies, diverged) in enumerate(cells)
        ],
        f"Trainable is a depth whose {_median(train)}train accuracy is at least half-way from chance to the best of "
        f"the grid{_here(diagram.threshold)}. Trained were {_numbers(train.depths)} hidden "
        f"layer{'s' * bool(train.depths.max() > 1)} on {settings.get('examples', 'some')} training examples, "
        f"{_n_members(train)} per cell; all members see the same batches. "
        "The scales are of the layers between hidden ones before training, with PyTorch's biases (sigma_b = "
        f"1 / sqrt(3 width) = {diagram.scales.sigma_b:.3f}).{_whole_grid(len(train.gains), len(train.depths))}",
    )


def _here(threshold: float) -> str:
    return f", here {100 * threshold:.1f} %" if math.isfinite(threshold) else ""


def _whole_grid(n_gains: int, n_depths: int) -> str:
    """Say what the command trains, for the tutorial's run has a smaller grid."""
    whole = PhaseDiagramSettings()
    if n_gains >= len(whole.gains) and n_depths >= len(whole.depths):
        return ""
    sizes = f"{len(whole.gains)} gains by {len(whole.depths)} depths"
    return (
        f" This grid is a small one: with {EXPERIMENT.n_seeds} members per cell deep-mlp phase-diagram trains {sizes}."
    )


def _layers(depth: float) -> str:
    return "no scale" if math.isnan(depth) else "no limit" if math.isinf(depth) else f"{depth:.1f}"


def _numbers(values: Sequence[Any] | np.ndarray[Any, Any]) -> str:
    words = [f"{value:.4g}" for value in values]
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def _in_short(diagram: PhaseDiagram) -> list[str]:
    grid, deepest = diagram.grid, diagram.deepest
    if not deepest.any():
        return []
    best, last = grid.gains[deepest == deepest.max()], int(grid.depths[-1])
    where = f"gain {best[0]:.3g}" if len(best) == 1 else f"gains from {best[0]:.3g} to {best[-1]:.3g}"
    alone = "" if _has_several(grid) else "; one network was trained in each cell"
    return [
        f"The deepest networks that train have {_depth_words(int(deepest.max()), last)}, at {where}{alone}.",
        f"Theory puts the edge between order and chaos at gain {diagram.scales.critical.sigma_w:.3g}.",
    ]


def _describe_phase(diagram: PhaseDiagram, activation: str, width: int) -> list[str]:
    grid, deepest = diagram.grid, diagram.deepest
    if not deepest.any():
        return ["No cell of the grid did better than chance." if grid.finished.any() else "No member finished."]
    best = grid.gains[deepest == deepest.max()]
    where = f"gain {best[0]:.3g}" if len(best) == 1 else f"gains from {best[0]:.3g} to {best[-1]:.3g}"
    last = int(grid.depths[-1])
    first_words, last_words = _depth_words(int(deepest[0]), last), _depth_words(int(deepest[-1]), last)
    ends = f"{first_words} at gain {grid.gains[0]:.3g} and {last_words} at gain "
    deep = _depth_words(int(deepest.max()), last).replace("layer", "hidden layer")
    sentences = [
        f"{activation} networks of width {width} can be trained to {deep} at {where}, to {ends}"
        f"{grid.gains[-1]:.3g}; theory puts the line between order and chaos at "
        f"{diagram.scales.critical.sigma_w:.3g}."
    ]
    if math.isfinite(diagram.by_correlation.rank_correlation):
        sentences.append(
            f"Over {len(grid.gains)} gains the deepest trainable depth follows the predicted {SCALES} correlation "
            f"scales, cut at the grid's {grid.depths[-1]} layers, with a rank correlation of "
            f"{diagram.by_correlation.rank_correlation:.2f}, and {SCALES} gradient scales with "
            f"{diagram.by_gradient.rank_correlation:.2f}."
        )
    return sentences


def _at_least(depth: int, last: int) -> str:
    """Return what stands before a depth at which the grid ends: deeper networks were not tried."""
    return "at least " if depth == last else ""


def _depth_words(depth: int, last: int) -> str:
    return f"{_at_least(depth, last)}{count(depth, 'layer')}" if depth else "no depth of the grid"


def _n_members(grid: PhaseGrid) -> str:
    counts = grid.finished + grid.diverged
    most = int(counts.max())
    return f"{range_words({int(count) for count in counts[counts > 0]})} member{'s' if most > 1 else ''}"


def _has_several(grid: PhaseGrid) -> bool:
    return bool((grid.finished + grid.diverged).max(initial=0) > 1)


def _median(grid: PhaseGrid) -> str:
    return "median " if _has_several(grid) else ""


def _few(n: int) -> str:
    return {0: "none", 1: "one"}.get(n, str(n))


def _spread(diagram: PhaseDiagram) -> list[str]:
    """Say how far the members of a cell lie apart, and in how many cells only some of them train."""
    grid = diagram.grid
    several = grid.finished > 1
    if not several.any():
        return ["No cell has two members that finished: how far chance moves a cell is not seen here."]
    spread = 100 * grid.spread
    if not np.nanmax(spread):
        return ["Members of one cell do not differ in train accuracy."]
    widest = np.unravel_index(np.nanargmax(spread), spread.shape)
    trained = (np.nan_to_num(grid.members) >= diagram.threshold).sum(-1)
    mixed = int((several & (trained > 0) & (trained < grid.finished)).sum())
    return [
        f"Members of one cell lie {np.nanmedian(spread):.1f} points of train accuracy apart in the median of "
        f"{count(int(several.sum()), 'cell')}, at most {spread[widest]:.1f} "
        f"({count(int(grid.depths[widest[0]]), 'layer')}, gain {grid.gains[widest[1]]:.3g}); "
        f"in {_few(mixed)} of them some train and others do not."
    ]


def _phase_details(diagram: PhaseDiagram, test_accuracy: np.ndarray[Any, Any]) -> list[str]:
    if not diagram.deepest.any():
        return []
    agreements = (("correlation", diagram.by_correlation), ("gradient", diagram.by_gradient))
    sentences = [_misses(diagram, name, agreement) for name, agreement in agreements]
    off = [float(np.abs(agreement.steps).mean()) for _, agreement in agreements]
    sentence = (
        f"On average the two miss by {off[0]:.1f} and {off[1]:.1f} steps of the grid; "
        f"{_number_of_gains(diagram)} of one set of data cannot settle which scale fits better."
    )
    chaotic = ~diagram.ordered
    if chaotic.any() and (diagram.scales.gradient < diagram.scales.correlation)[chaotic].all():
        sentence += (
            " Below the critical gain they are the same; above it gradients explode sooner than two inputs forget "
            "each other."
        )
    sentences.append(sentence)
    trainable = np.where(np.nan_to_num(diagram.grid.accuracy) >= diagram.threshold, test_accuracy, np.nan)
    if np.nanmin(trainable) == np.nanmax(trainable):
        return sentences
    best, worst = (np.unravel_index(pick(trainable), trainable.shape) for pick in (np.nanargmax, np.nanargmin))
    named = [
        f"{100 * trainable[row, column]:.1f} % ({count(int(diagram.grid.depths[row]), 'layer')}, gain "
        f"{diagram.grid.gains[column]:.3g})"
        for row, column in (best, worst)
    ]
    sentences.append(
        f"Trainable is not the same as good: among the trainable cells {_median(diagram.grid)}test accuracy goes from "
        f"{named[0]} down to {named[1]}, where {_median(diagram.grid)}train accuracy is "
        f"{100 * diagram.grid.accuracy[worst]:.1f} %."
    )
    return sentences


def _number_of_gains(diagram: PhaseDiagram) -> str:
    return count(len(diagram.grid.gains), "gain")


def _misses(diagram: PhaseDiagram, name: str, agreement: Agreement) -> str:
    gains = diagram.grid.gains
    n_near = int((np.abs(agreement.steps) <= 1).sum())
    of_gains = f"{n_near} of {len(gains)} gain{'s' * (len(gains) != 1)}"
    sentence = f"{SCALES} {name} scales are within one step of the grid's depths at {of_gains}"
    parts = []
    for off, word in ((agreement.steps < -1, "below"), (agreement.steps > 1, "above")):
        if off.any():
            steps = np.abs(agreement.steps[off])
            size = f"{steps.min()}" if steps.min() == steps.max() else f"{steps.min()} to {steps.max()}"
            parts.append(f"at {_numbers(gains[off])} the measured depth lies {size} steps {word}")
    return f"{sentence}{': ' if parts else ''}{'; '.join(parts)}."


SECTION = Section(
    name="phase_diagram",
    command="deep-mlp phase-diagram",
    title="Which networks can be trained",
    question="The right variance is the edge between order and chaos, says the tutorial, and tries ten gains on one "
    "network. If that is so, the deepest network that can be trained must follow the depth that theory says a signal "
    "can cross. Does it, over gain and depth?",
    columns=(
        *("activation", "depth", "width", "parameters", "gain", "sigma_w", "member", "seed", "epochs"),
        *("train_accuracy", "test_accuracy", "final_train_loss", "status"),
    ),
    figures=(
        ReportFigure(
            "phase_diagram",
            "Accuracy over gain and depth, on the training examples and on the test examples; "
            "a cell is striped where its members differ, the least accurate left. Lines are what theory predicts: "
            f"{SCALES} scales of the correlation, as Schoenholz et al. draw them, and of the gradient. "
            "Hatched cells had members that diverged, which have no colour. Below, on the same "
            "axis, the four layers of the tutorial's own gain sweep: one Xavier gain is another sigma_w in each.",
            "Two heat maps of accuracy over gain and depth with predicted lines. The table has the depths.",
        ),
    ),
    links=(*INITIALIZATION, *SIGNAL_PAPERS),
    content=_content,
    poster="How deep can one train?",
)
