"""The table of faults in docs/reliability.md names the cases of this folder, all of them and no others."""

import re
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent
ROOT = FOLDER.parents[1]
FILES = sorted(path.name for path in FOLDER.glob("test_*.py") if path != Path(__file__))


def case(test_id):
    """Return the words that a table has for a test: its name, and after a colon its parameters."""
    name, _, parameters = test_id.removeprefix("test_").partition("[")
    words = name.replace("_", " ")
    return f"{words}: {parameters.removesuffix(']')}" if parameters else words


@pytest.fixture
def tested(request):
    """Give a function that returns the cases of a file, slow ones too, as pytest itself collects them."""

    def tested(name):
        module = pytest.Module.from_parent(request.node.parent.parent, path=FOLDER / name)
        return {case(item.name) for item in request.session.genitems(module)}

    return tested


@pytest.fixture(scope="module")
def sections():
    """Give the rows of each file's section: what a case is, and what the user sees."""
    sections = re.split(r"^## .*`tests/faults/(\w+\.py)`.*$", Path(ROOT, "docs/reliability.md").read_text(), flags=re.M)
    return {
        name: re.findall(r"^\| (?!-)(.+?) \| (.+) \|$", text, flags=re.M)[1:]
        for name, text in zip(sections[1::2], sections[2::2], strict=True)
    }


@pytest.mark.parametrize("name", FILES)
def test_every_case_is_told_and_every_told_case_is_tested(tested, sections, name):
    """A row for each case, a case for each row, no row twice, and none without a word on what the user sees."""
    assert name in sections, "no section in docs/reliability.md"
    rows = [row.replace("\\|", "|") for row, _ in sections[name]]
    assert len(rows) == len(set(rows))
    for_all = {row.removesuffix(": *") for row in rows if row.endswith(": *")}
    cases = {f"{words}: *" if (words := row.split(": ")[0]) in for_all else row for row in tested(name)}
    assert cases - set(rows) == set(), "tested, but not in docs/reliability.md"
    assert set(rows) - cases == set(), "in docs/reliability.md, but not tested"
    assert all(seen.strip() for _, seen in sections[name])


def test_no_section_is_about_a_file_that_is_gone(sections):
    """Each section has its file."""
    assert set(sections) == set(FILES)
