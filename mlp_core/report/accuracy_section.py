"""Sections of the report that rank configurations by the accuracies of their members."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from mlp_core.data.settings import other_data
from mlp_core.report.section import MEDIAN_NOTE, NEVER_LEARNED_NOTE, ReportFigure, Section, SectionContent
from mlp_core.statistics.comparisons import describe_best, listed, not_best
from mlp_core.statistics.intervals import Interval, median_interval, share_interval
from mlp_core.statistics.wording import count, format_cell, format_interval, format_share, no_break

PUBLISHED = "tutorial, one seed, 2021"
"""What the tutorial printed, as the report calls it."""
SHARED_BATCHES = (
    "Members of one configuration share the stream of batches: the intervals are over initial weights only."
)


@dataclass(frozen=True)
class ConfigurationAccuracy:
    """Accuracies of the members of one configuration, with medians and intervals.

    Attributes:
        values: Values of the columns that tell configurations apart, by column name, such as `{"depth": 3}`.
        train: Median train accuracy, 0 .. 1, of the members that did not diverge, with its 95 % interval.
        test: Median test accuracy of the same members, with its 95 % interval.
        never_learned: Share of all members that never learned, with its 95 % interval.
        train_accuracies: Train accuracies indexed by seed, 0 .. 1; NaN where a member diverged.
        test_accuracies: Test accuracies indexed by seed, 0 .. 1; NaN where a member diverged.
        published_test_percent: Test accuracy in percent that the tutorial printed for this configuration; None if it
            has none.
    """

    values: dict[str, Any]
    train: Interval
    test: Interval
    never_learned: Interval
    train_accuracies: pd.Series
    test_accuracies: pd.Series
    published_test_percent: float | None

    def value(self, key: str) -> str:
        """Return the configuration's value in a column as text, a float with at most 4 significant digits."""
        value = self.values[key]
        return f"{value:.4g}" if isinstance(value, float) else str(value)


Summarise = Callable[[list[ConfigurationAccuracy], Mapping[str, Any]], list[str]]
"""From all configurations and the table's settings to sentences."""
Published = Callable[[Mapping[str, Any], pd.DataFrame], float | None]
"""From the values and the rows of a configuration to the test accuracy in percent that the tutorial printed for it."""


def _nothing_published(values: Mapping[str, Any], rows: pd.DataFrame) -> float | None:
    return None


def accuracy_section(
    *,
    name: str,
    command: str,
    title: str,
    question: str,
    keys: Mapping[str, str],
    figures: tuple[ReportFigure, ...],
    links: tuple[tuple[str, str], ...],
    interval_over: str,
    short: Summarise,
    summarise: Summarise,
    poster: str = "",
    published: Published = _nothing_published,
) -> Section:
    """Define a report section whose table has a row per configuration with its members' accuracies.

    Args:
        name: As in `Section`.
        command: As in `Section`.
        title: As in `Section`.
        question: As in `Section`.
        keys: Columns of the result table that tell configurations apart, with the names that readers see.
        figures: As in `Section`.
        links: As in `Section`.
        interval_over: A sentence that says in what members of one configuration differ.
        short: Function that writes the summary (`SectionContent.summary`).
        summarise: Function that writes the details (`SectionContent.details`).
        poster: As in `Section`.
        published: Function that returns the tutorial's test accuracy of a configuration; not used for other data.

    Example:
        >>> section = accuracy_section(name="rates", command="", title="Rates", question="Which rate?",
        ...     keys={"rate": "learning rate"}, figures=(), links=(), interval_over="Members differ in their weights.",
        ...     short=lambda rates, settings: best_in_short("rate", rates),
        ...     summarise=lambda rates, settings: ranking_sentences("rate", rates, rates, ""))
        >>> table = pd.DataFrame({"rate": [0.1, 0.01], "seed": 1, "epochs": 9, "status": "ok", "learned": True,
        ...     "train_accuracy": [0.9, 0.8], "test_accuracy": [0.8, 0.7]})
        >>> section.content(table, {}).details[0].split(";")[0]
        'Best rate by median test accuracy: 0.1, 80.0 %, n = 1, no interval'
        >>> section.content(table, {}).summary[0]
        'Rate 0.1 does best here: it gets 80 % of the test examples right.'
    """
    columns = (*keys, "seed", "epochs", "status", "learned", "train_accuracy", "test_accuracy")
    content = partial(_content, keys, published, short, summarise, interval_over)
    return Section(name, command, title, question, columns, figures, links, content, poster)


def _content(
    keys: Mapping[str, str],
    published: Published,
    short: Summarise,
    summarise: Summarise,
    interval_over: str,
    table: pd.DataFrame,
    settings: Mapping[str, Any],
) -> SectionContent:
    """Return what the accuracies of all configurations say."""
    if other_data(settings):
        published = _nothing_published
    configurations = [
        _configuration(dict(zip(keys, values, strict=True)), rows, published)
        for values, rows in table.groupby(list(keys), sort=False)
    ]
    with_published = any(configuration.published_test_percent is not None for configuration in configurations)
    header = [
        *keys.values(),
        *("n", "diverged", "never learned", "train accuracy", "test accuracy", "range of members"),
    ]
    return SectionContent(
        short(configurations, settings),
        summarise(configurations, settings),
        header + ([PUBLISHED] if with_published else []),
        len(keys),
        [_row(configuration, with_published) for configuration in configurations],
        f"{MEDIAN_NOTE} The range is that of the test accuracies. {NEVER_LEARNED_NOTE} {interval_over}",
    )


def _configuration(values: dict[str, Any], rows: pd.DataFrame, published: Published) -> ConfigurationAccuracy:
    finished = (rows["status"] == "ok").to_numpy()
    train, test = (
        np.where(finished, rows[column].to_numpy(dtype=np.float64, na_value=np.nan), np.nan)
        for column in ("train_accuracy", "test_accuracy")
    )
    return ConfigurationAccuracy(
        values,
        median_interval(train),
        median_interval(test),
        share_interval(int((~rows["learned"].to_numpy(dtype=bool)).sum()), len(rows)),
        pd.Series(train, rows["seed"]),
        pd.Series(test, rows["seed"]),
        published(values, rows),
    )


def _row(configuration: ConfigurationAccuracy, with_published: bool) -> list[str]:
    reached = configuration.test_accuracies.dropna()
    row = [
        *(configuration.value(key) for key in configuration.values),
        str(configuration.test.n),
        f"{configuration.test.missing} of {configuration.test.n + configuration.test.missing}"
        if configuration.test.missing
        else "0",
        format_share(configuration.never_learned),
        format_cell(configuration.train),
        format_cell(configuration.test),
        _range_of(reached),
    ]
    if with_published:
        row.append(
            "" if configuration.published_test_percent is None else f"{configuration.published_test_percent:.1f} %"
        )
    return [no_break(text) for text in row]


def _range_of(reached: pd.Series) -> str:
    if len(reached) < 2:
        return "one member" if len(reached) else "none finished"
    low, high = (f"{100 * end:.1f}" for end in (reached.min(), reached.max()))
    return f"all {low} %" if low == high else f"{low} to {high} %"


def best_in_short(key: str, configurations: list[ConfigurationAccuracy]) -> list[str]:
    """Write two short sentences: which configuration has the best median test accuracy, and whether that is certain.

    Certainty is that of `not_best`, which compares members of equal seeds. Configurations of which all members diverged
    are left out; a single configuration gets one sentence.

    Args:
        key: Word for what configurations differ in, such as `depth`; also the column in `values`.
        configurations: The configurations to compare.
    """
    finished = [configuration for configuration in configurations if configuration.test.n]
    if not finished:
        return ["No network finished its training."]
    best = max(finished, key=lambda configuration: configuration.test.estimate)
    lead = f"{key.capitalize()} {best.value(key)}"
    right = f"gets {100 * best.test.estimate:.0f} % of the test examples right{median_of(best.test.n)}."
    if len(configurations) == 1:
        return [f"{lead} {right}"]
    sentence = f"{lead} does best: it {right}"
    if len(finished) == 1:
        return [sentence, f"At no other {key} did a network finish."]
    accuracies = pd.concat([configuration.test_accuracies for configuration in finished], axis=1).to_numpy().T
    excluded, enough = not_best(accuracies)
    left = [configuration.value(key) for configuration, is_out in zip(finished, excluded, strict=True) if not is_out]
    if not enough:
        sentence = f"{lead} does best here: it {right}"
        return [sentence, f"{count(accuracies.shape[1], 'seed').capitalize()} cannot tell which {key} is best."]
    if left == [best.value(key)]:
        return [sentence, f"Seed by seed it beats every other {key}."]
    among = f"which of {listed(left)}" if 1 < len(left) < len(finished) else f"which {key}"
    return [sentence, f"These seeds do not settle {among} is best."]


def median_of(n: int) -> str:
    """Return `, the median of n networks` for the end of a sentence; an empty text for one network.

    Example:
        >>> median_of(8), median_of(1)
        (', the median of 8 networks', '')
    """
    return f", the median of {count(n, 'network')}" if n > 1 else ""


def ranking_sentences(
    key: str, configurations: list[ConfigurationAccuracy], others: list[ConfigurationAccuracy], prefix: str
) -> list[str]:
    """Write sentences with numbers: the best configuration, medians of others, and which ones pairs of seeds exclude.

    Best is the highest median test accuracy among configurations with a member that did not diverge.

    Args:
        key: Word for what configurations differ in, such as `depth`; also the column in `values`.
        configurations: The configurations to compare.
        others: Those of them whose medians are written next to the best one's.
        prefix: Beginning of the first sentence, may be empty.
    """
    finished = [configuration for configuration in configurations if configuration.test.n]
    if not finished:
        return [f"{prefix or 'At every ' + key + ': '}no member finished."]
    best = max(finished, key=lambda configuration: configuration.test.estimate)
    rest = [configuration for configuration in finished if configuration in others and configuration is not best]
    lead = f"{prefix}best {key} by median test accuracy: {best.value(key)}, {format_interval(best.test)}"
    sentences = [
        "; ".join(
            [
                lead,
                *(
                    f"{key} {configuration.value(key)}: {format_interval(configuration.test, short=True)}"
                    for configuration in rest
                ),
            ]
        )
        + "."
    ]
    sentences[0] = sentences[0][0].upper() + sentences[0][1:]
    if len(finished) > 1 and best.test.n > 1:
        accuracies = pd.concat([configuration.test_accuracies for configuration in finished], axis=1).to_numpy().T
        sentences.append(describe_best(key, [configuration.value(key) for configuration in finished], accuracies))
    return sentences


def divergence_sentences(configurations: list[ConfigurationAccuracy]) -> list[str]:
    """Write one sentence on how many members of all configurations diverged; an empty list if none did."""
    diverged = sum(configuration.test.missing for configuration in configurations)
    members = sum(configuration.test.n + configuration.test.missing for configuration in configurations)
    if not diverged:
        return []
    if members == 1:
        return ["The only member diverged."]
    return [f"Of {members} members {diverged} diverged: the table counts them, medians leave them out."]


def published_sentences(key: str, configurations: list[ConfigurationAccuracy]) -> list[str]:
    """Write one sentence with the tutorial's published accuracies, and how many members have a lower test accuracy.

    An empty list if the tutorial has none of these configurations, or all members of them diverged.

    Args:
        key: Word for what configurations differ in, such as `depth`; also the column in `values`.
        configurations: The configurations.
    """
    parts = []
    for configuration in configurations:
        percent = configuration.published_test_percent
        if percent is not None and configuration.test.n:
            below = sum(100 * accuracy < percent for accuracy in configuration.test_accuracies)
            rank = f"{below} of {configuration.test.n} members reached less"
            if configuration.test.n == 1:
                rank = f"the one member reached {'less' if below else 'as much or more'}"
            parts.append(f"{percent:.1f} % at {key} {configuration.value(key)} ({rank})")
    return [f"For comparison ({PUBLISHED}): {', '.join(parts)}."] if parts else []
