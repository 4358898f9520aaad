"""What `make docs` adds to these pages: the repository's texts, the notebook, a gallery, a page per room."""

import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from nbconvert import MarkdownExporter
from nbconvert.preprocessors import CoalesceStreamsPreprocessor, ExecutePreprocessor
from pygments.formatters import HtmlFormatter

_ROOT = Path(__file__).parents[1]
_TEXTS = {
    "index.md": "README.md",
    "CONTRIBUTING.md": "CONTRIBUTING.md",
    "CHANGELOG.md": "CHANGELOG.md",
    "LICENSE.md": "LICENSE",
    "benchmarks/RESULTS.md": "benchmarks/RESULTS.md",
    "benchmarks/COVERAGE.md": "benchmarks/COVERAGE.md",
    "benchmarks/DRIFT.md": "benchmarks/DRIFT.md",
}
"""Pages, and the files outside this folder that they are."""

_ON_A_PHONE = """
table { display: block; overflow-x: auto; }
h1, h2, h3, h4, h5, p, li, code { overflow-wrap: break-word; }
"""
"""What is too wide for the page scrolls or is broken, not the whole page; a word in a table is whole."""

_IN_THE_DARK = """
[data-bs-theme="dark"] .container img { filter: brightness(0.82); }
"""
"""Figures stay on paper, which is dimmed so that it does not glare."""

_STYLES_OF_HIGHLIGHTJS = '<link id="hljs-light"><link id="hljs-dark">'
"""The theme's switch between light and dark looks for these, and fails without them; they load nothing."""

_WIDGET = "application/vnd.jupyter.widget-view+json"

_ROOMS = ("statistics", "artifacts", "data", "engine", "theory", "report", "experiments")


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add the pages that are made."""
    for page, text in _TEXTS.items():
        files.append(File.generated(config, page, content=(_ROOT / text).read_text()))
    light = HtmlFormatter().get_style_defs(".highlight")
    dark = HtmlFormatter(style="github-dark").get_style_defs('[data-bs-theme="dark"] .highlight')
    colours = light + dark + _ON_A_PHONE + _IN_THE_DARK
    files.append(File.generated(config, "pygments.css", content=colours))
    _add_notebook(files, config)
    _add_gallery(files, config)
    for module in ("deep_mlp", *(f"mlp_core.{room}" for room in _ROOMS)):
        members = "\n    options:\n      show_submodules: false" if module == "deep_mlp" else ""
        files.append(File.generated(config, f"api/{module}.md", content=f"# `{module}`\n\n::: {module}{members}\n"))
    return files


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn a link between files of the repository into one between pages."""
    source = next((text for name, text in _TEXTS.items() if name == page.file.src_uri), f"docs/{page.file.src_uri}")
    pages = {text: name for name, text in _TEXTS.items()}

    def at_home(link: re.Match[str]) -> str:
        target, anchor = link["target"], link["anchor"] or ""
        path = (_ROOT / source).parent.joinpath(target).resolve()
        name = path.relative_to(_ROOT).as_posix() if path.is_relative_to(_ROOT) else ""
        name = pages.get(name, name.removeprefix("docs/"))
        up = "../" * page.file.src_uri.count("/")
        return f"]({up}{name}{anchor})" if name in files.src_uris else link[0]

    return re.sub(r"\]\((?P<target>[^():#]+)(?P<anchor>#[^)]*)?\)", at_home, markdown)


def on_post_page(output: str, *, page: Page, config: MkDocsConfig) -> str:
    """Give the theme's switch what it looks for."""
    return output.replace("</head>", f"{_STYLES_OF_HIGHLIGHTJS}</head>", 1)


def _add_notebook(files: Files, config: MkDocsConfig) -> None:
    execute, coalesce = ExecutePreprocessor(timeout=600), CoalesceStreamsPreprocessor(enabled=True)
    exporter = MarkdownExporter(preprocessors=[execute, coalesce, _without_widgets])
    body, resources = exporter.from_filename(str(_ROOT / "notebooks/deep_mlps.ipynb"))
    for name, content in resources["outputs"].items():
        files.append(File.generated(config, name, content=content))
    files.append(File.generated(config, "notebook.md", content=body))


def _without_widgets(notebook: Any, resources: Any) -> tuple[Any, Any]:
    """Leave out what a page without a running notebook can show as a line of code only."""
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if _WIDGET not in output.get("data", {})]
    return notebook, resources


def _add_gallery(files: Files, config: MkDocsConfig) -> None:
    lines = ["# Gallery", "", "Every figure of `deep-mlp tutorial` with 8 seeds, drawn when these pages were made.", ""]
    for path in sorted((_ROOT / "artifacts/figures").glob("*.png")):
        title = path.stem.replace("_", " ")
        files.append(File.generated(config, f"gallery/{path.name}", abs_src_path=str(path)))
        lines += [f"## {title.capitalize()}", "", f"![{title}](gallery/{path.name})", ""]
    files.append(File.generated(config, "gallery.md", content="\n".join(lines)))
