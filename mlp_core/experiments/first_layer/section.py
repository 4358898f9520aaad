"""Section of the report on the features: what first-layer units look for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from mlp_core.report.section import CASE_STUDY, ReportFigure, Section, SectionContent
from mlp_core.statistics.intervals import Interval, median_interval
from mlp_core.statistics.wording import no_break

_MEASURES = ("extent", "participation_ratio", "class_cosine", "spatial_frequency")


def _content(table: pd.DataFrame, settings: Mapping[str, Any]) -> SectionContent:
    groups = _unit_groups(table)
    short = _in_short(groups)
    return SectionContent(
        short,
        [sentence for sentence in _describe_units(groups) if sentence not in short],
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
        "the class means, and single images, both less the mean image. "
        "Members of one configuration share the stream of batches.",
    )


def _unit_groups(table: pd.DataFrame) -> dict[str, pd.DataFrame]:
    trained, random = (table[table["kind"] == kind] for kind in ("trained", "random"))
    depths = sorted(trained["depth"].unique())
    return {
        **{f"trained, depth {depth:.0f}": trained[trained["depth"] == depth] for depth in depths},
        "before training": random[random["depth"] == depths[0]],
        "edge filters": table[table["kind"] == "gabor"],
        "whole faces, templates": table[table["kind"] == "template"],
        "whole faces, images": table[table["kind"] == "image"],
    }


def _over_members(rows: pd.DataFrame, column: str) -> Interval:
    return median_interval(rows.groupby(rows["member"].fillna(-1))[column].mean().to_numpy(dtype=float))


def _number(value: Interval) -> str:
    if not value.n:
        return "none"
    digits = 3 if abs(value.estimate) < 1 else 2
    interval = f" [{value.low:.{digits}f} to {value.high:.{digits}f}]" if value.has_interval else ""
    return no_break(f"{value.estimate:.{digits}f}{interval}")


def _describe_units(groups: Mapping[str, pd.DataFrame]) -> list[str]:
    random, filters, templates, images = (
        groups[name] for name in ("before training", "edge filters", "whole faces, templates", "whole faces, images")
    )
    trained = pd.concat([rows for name, rows in groups.items() if name.startswith("trained")])
    local, whole, single, start = (float(rows["extent"].mean()) for rows in (filters, templates, images, random))
    if not _over_members(trained, "extent").n:
        return ["No trained unit has finite weights: the members diverged."]
    as_local = int((trained["extent"] <= filters["extent"].max()).sum())
    return [
        "The extent of trained first-layer units, how far their weights reach in sides of the image, is "
        f"{_listed_means(groups, 'extent')}; that of edge filters is {local:.3f}, of templates of whole faces "
        f"{whole:.3f}, of single images {single:.3f}, and of the units before training {start:.3f}.",
        f"{as_local} of {len(trained)} units {'is' if as_local == 1 else 'are'} as local as the widest edge filter. "
        "The network starts with units that see the whole image: that they do not become local is what is shown.",
        "Their cosine with the nearest difference of two class means, 1 for a whole template, is "
        f"{_listed_means(groups, 'class_cosine')}, against {random['class_cosine'].mean():.3f} before training.",
    ]


def _in_short(groups: Mapping[str, pd.DataFrame]) -> list[str]:
    trained = pd.concat([rows for name, rows in groups.items() if name.startswith("trained")])
    filters, start = groups["edge filters"], groups["before training"]
    if not trained["extent"].notna().any():
        return ["No trained unit has finite weights: the members diverged."]
    as_local = int((trained["extent"] <= filters["extent"].max()).sum())
    units = (
        "The one trained unit is"
        if len(trained) == 1
        else f"{as_local or 'Not one'} of {len(trained)} trained units is"
    )
    if as_local > 1:
        units = units.replace(" units is", " units are")
    if len(trained) == 1 and not as_local:
        units += " not"
    means = [float(rows["extent"].mean()) for rows in (filters, trained, start)]
    return [
        f"{units} as local as an edge filter.",
        f"Units reach over {means[1]:.2f} of the image's side, before training {means[2]:.2f}, edge filters "
        f"{means[0]:.2f}.",
    ]


def _listed_means(groups: Mapping[str, pd.DataFrame], column: str) -> str:
    trained = {name: rows for name, rows in groups.items() if name.startswith("trained")}
    return ", ".join(
        f"{_number(_over_members(rows, column))} at {name.split(', ')[1]}" for name, rows in trained.items()
    )


SECTION = Section(
    name="first_layer",
    command="deep-mlp first-layer",
    title="What the first layer sees",
    question="Whole faces show in the first layer, so the network is not hierarchical, says the tutorial. How local is "
    "a unit, how like a template of a class, how fine, next to random weights, edge filters and whole faces?",
    columns=("kind", "depth", "member", "seed", "unit", *_MEASURES),
    figures=(
        ReportFigure(
            "first_layer",
            "Cumulated shares of units by how local they are, how like the difference of two classes, and how fine: "
            "trained at each depth, before training, and edge filters.",
            "Three panels of cumulated shares. The table has the means.",
        ),
        ReportFigure(
            "first_layer_units",
            "The most local units of each kind, with their extents in sides of the image.",
            "Rows of small colour images: trained units of each depth, random ones and edge filters.",
        ),
    ),
    links=CASE_STUDY,
    content=_content,
    poster="What does the first layer see?",
)
