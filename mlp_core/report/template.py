"""The page's template, and how its values become text."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import jinja2


@cache  # to compile it takes as long as all else
def page_template() -> jinja2.Template:
    """Return the template of the report; each value that it shows is escaped and has minus signs.

    What is marked as escaped, `{{ value | e }}`, is shown as it is: settings and commands, which are copied.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        finalize=with_minus_signs,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html.jinja")


def with_minus_signs(value: object) -> object:
    r"""Return a text with minus signs for the hyphens of its negative numbers; anything else, and HTML, as it is.

    Example:
        >>> print(ascii(with_minus_signs("-13.5 [-17.0 to -10.0], layers 64-64-3, 2026-11-24, 1e-05")))
        '\u221213.5 [\u221217.0 to \u221210.0], layers 64-64-3, 2026-11-24, 1e-05'
    """
    if type(value) is not str or "-" not in value:  # a figure is megabytes, and has none
        return value
    return re.sub(r"(?<![^\s(\[])-(?=\.?\d)", "\N{MINUS SIGN}", value)
