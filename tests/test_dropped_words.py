"""Words that were dropped do not come back; the glossary is whole."""

import re
import subprocess
import symtable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DROPPED = {
    r"photograph": "image",
    r"picture": "image",
    r"\bexplain_\w|--explain\b": "ablation",
    r"\bwhole_faces\b": "whole_images",
    r"MeanInterval": "Interval",
    r"\b(quieten_prefect|offloaded|prepare_helper|checked_json|SameInputsAndCode)\b": "see the changelog",
    r"figures? moved": "metrics moved",
    r"\b(FurtherTable|RunOnPhotographs|ask_for_limits|check_room)\b": "see the changelog",
    r"(?<!test_ranges_are_printed)_in_words\b": "describe_",
    r"deep-mlp (explain|features|signals|phase)\b(?!-)": "ablation, first-layer, signal-propagation, phase-diagram",
}
"""Words that were dropped, and what is said instead (docs/glossary.md)."""
SEEDS_NUMBERS = 'derive_seed(seed, "photographs"'
"""What seeds random numbers keeps its string, or results would move."""
VAGUE = {"found", "shown", "said", "told", "made", "given", "held", "one"}
"""No variable is named so: it does not say what it holds."""
ROOMS = "mlp_core", "tasks", "flows", "deep_mlp", "benchmarks", "tests"


def written_files():
    """Return the files in which people and programs read words; the changelog says what things were called before."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    own = {"CHANGELOG.md", Path(__file__).relative_to(ROOT).as_posix()}
    ends = (".py", ".md", ".yaml", ".yml", ".jinja", ".toml", "Makefile")
    return [ROOT / name for name in listed.splitlines() if name.endswith(ends) and name not in own]


def dropped_words(text):
    """Return each dropped word in a text, with the word to use."""
    text = text.replace(SEEDS_NUMBERS, "")
    return [f"{match[0]}: {word}" for old, word in DROPPED.items() for match in re.finditer(old, text, re.IGNORECASE)]


def test_dropped_words_do_not_come_back():
    """Neither in names nor in prose."""
    files = [path for path in written_files() if path.is_file()]
    assert len(files) > 200
    again = {path.name: words for path in files if (words := dropped_words(path.read_text(encoding="utf-8")))}
    assert again == {}


@pytest.mark.parametrize("text", ["On Photographs", "a_picture", "deep-mlp phase --seeds 2", "best_in_words(x)"])
def test_a_dropped_word_is_seen(text):
    """In names and in sentences, however it is spelled."""
    assert dropped_words(text)


def vague_names(source):
    """Return the vague names of variables and parameters in a module, with where; fields of classes are none.

    The compiler's own tables of names tell them in a third of the time that a syntax tree takes.
    """
    tables = [symtable.symtable(source, "a module", "exec")]
    for table in tables:
        tables += table.get_children()
    return [
        f"{symbol.get_name()} in {table.get_name()}, line {table.get_lineno()}"
        for table in tables
        if table.get_type() != "class"
        for symbol in table.get_symbols()
        if symbol.get_name() in VAGUE and (symbol.is_assigned() or symbol.is_parameter())
    ]


def test_variables_say_what_they_hold():
    """In packages and tests; a name such as `found` could be anything."""
    engine = ROOT / "mlp_core/engine"
    files = [path for room in ROOMS for path in sorted((ROOT / room).rglob("*.py")) if not path.is_relative_to(engine)]
    assert len(files) > 200
    vague = {str(path): names for path in files if (names := vague_names(path.read_text(encoding="utf-8")))}
    assert vague == {}


@pytest.mark.parametrize("source", ["found = 1", "[one for one in x]", "def f(*, shown): ...", "with x as held: ..."])
def test_a_vague_name_is_seen(source):
    """However it is bound; the fields of a class are no variables."""
    assert vague_names(source)
    assert not vague_names("class Row:\n    shown: bool = True\n    said = 1")


def test_the_glossary_has_a_sentence_and_a_source_for_each_term():
    """Every row has all three; no term comes twice."""
    rows = [
        line.strip("|").split("|") for line in (ROOT / "docs/glossary.md").read_text().splitlines() if line[:1] == "|"
    ]
    terms = [row for row in rows if row[0].strip(" -") and row[0].strip() != "term"]
    assert len(terms) >= 40
    assert all(len(row) == 3 and row[1].strip().endswith(".") and row[2].strip() for row in terms)
    assert len({row[0] for row in terms}) == len(terms)
