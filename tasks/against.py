"""Another artifact folder's results next to those of a report; without Prefect, as the report's command needs none."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mlp_core.artifacts.paths import artifact_folder, local_view
from mlp_core.artifacts.results import read_results
from mlp_core.report.against import Against, side_by_side
from mlp_core.report.page import SOURCES, ReportContent, read_report_content, report_sections
from mlp_core.report.section import Section
from mlp_core.settings import validated
from tasks.run_settings import RunSettings

if TYPE_CHECKING:
    from upath import UPath


def next_to(other: str, root: Path | UPath, content: ReportContent, sections: Sequence[Section]) -> Against:
    """Read another artifact folder and arrange its results side by side with those of a report.

    Args:
        other: The other folder or bucket, as the user wrote it.
        root: The report's folder.
        content: The report's tables and figures.
        sections: The sections of all experiments.

    Returns:
        The comparison to render as a part of the report.

    Raises:
        InputError: If the other folder has no results, damaged ones, or none of the same experiments.
    """
    location = artifact_folder(validated(RunSettings, {"artifacts": other}).artifacts)
    with local_view(location, *SOURCES) as folder:
        theirs = report_sections(read_report_content(folder, sections), sections)
    return side_by_side(other, read_results(location), read_results(root), report_sections(content, sections), theirs)
