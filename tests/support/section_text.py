"""What a section of the report says of a table."""

from __future__ import annotations

from typing import Any

import pandas as pd

from mlp_core.report.section import Section


def section_text(section: Section, table: pd.DataFrame, **settings: Any) -> str:
    """Return all sentences of a section."""
    findings = section.content(table, settings)
    assert all(len(row) == len(findings.header) for row in findings.rows)
    assert 1 <= len(findings.summary) <= 2
    return " ".join([*findings.summary, *findings.details]).replace("\u00a0", " ")
