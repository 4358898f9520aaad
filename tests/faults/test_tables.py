"""Tables that cannot be used: each is refused in one sentence, with the way out, before anything is trained."""

import gzip
import re
from http.server import BaseHTTPRequestHandler, HTTPServer

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from serving import served

from mlp_core.data import table_files
from mlp_core.data.downloads import TABLE, download
from mlp_core.data.preprocessing import NumberColumn, Preprocessing
from mlp_core.data.settings import DataSource
from mlp_core.data.table_files import read_table_file
from mlp_core.data.tables import table_examples
from mlp_core.errors import InputError, ResourceError
from mlp_core.settings import validated

ROWS = 60
USUAL = {
    "size": np.random.default_rng(0).normal(5, 3, ROWS),
    "colour": ["red", "green", "blue"] * (ROWS // 3),
    "kind": ["apple"] * (ROWS // 2) + ["pear"] * (ROWS // 2),
}
WORDS = ["one", "two", "three", "four", "five", "six", "seven", "eight"]
SENTENCES = [" ".join(np.random.default_rng(row).choice(WORDS, 6)) for row in range(ROWS)]
DATES = [f"{1 + row % 28:02}/{1 + row % 12:02}/2020" for row in range(ROWS)]


def refused_sentence(function, *arguments):
    """Return the one sentence with which something is refused."""
    with pytest.raises(InputError) as caught:
        function(*arguments)
    sentence = str(caught.value)
    assert sentence.endswith((".", "?"))
    assert sentence.isprintable()
    return sentence


COLUMNS = {
    "a column that there is not": ({}, {"target": "Colur"}, "target .* 'Colur'; did you mean 'colour'"),
    "an ignored one that there is not": ({}, {"ignore": "zzz"}, "ignore .* 'zzz'; it has 'size', 'colour', 'kind'"),
    "a split column that there is not": ({}, {"split_column": "colr"}, "split_column .*did you mean 'colour'"),
    "the target to split by": ({}, {"target": "kind", "split_column": "kind"}, "target .* 'kind'; use another"),
    "everything ignored": ({}, {"ignore": "size,colour"}, "got 1 that are left; ignore fewer"),
    "three rows": ({name: list(values)[:3] for name, values in USUAL.items()}, {}, "at least 10 rows, got 3"),
    "a target of numbers": ({}, {"target": "size"}, "at most 12 classes in 60 rows, .* low and high"),
    "too many classes": (
        {"n": [0.5, 1.5] * 2500, "kind": [f"k{row}" for row in range(5000)], "size": None, "colour": None},
        {},
        "at most 100 classes in 5,000 rows, got 5,000 different levels in the target 'kind'; name another",
    ),
    "a column of nothing": ({"size": pa.nulls(ROWS)}, {}, "got none in 'size'; leave it out with --ignore size"),
    "text among numbers": (
        {"size": [f"{number:.3f}" for number in USUAL["size"][:-1]] + ["unknown"]},
        {},
        "got 'unknown' in 'size', whose other rows hold numbers",
    ),
    "dates": ({"size": pa.array(range(ROWS), pa.date32())}, {}, "'size', which holds dates or times; .*the month"),
    "times": ({"size": pa.array(range(ROWS), pa.timestamp("s"))}, {}, "'size', which holds dates or times"),
    "dates as text": ({"size": DATES}, {}, "'size', which holds dates, such as '0"),
    "free text": ({"size": SENTENCES}, {}, "'size', which holds free text; leave it out with --ignore size"),
    "names of rows": ({"size": [f"n{row}" for row in range(ROWS)]}, {}, "'size', which has another value in each row"),
    "numbers of rows": ({"size": list(range(1, ROWS + 1))}, {}, "'size', which has another whole number in each row"),
    "an id": ({"user_id": [row**3 for row in range(ROWS)]}, {"target": "kind"}, "'user_id', which has another whole"),
    "too many levels": ({"size": [f"n{row // 1.1}" for row in range(ROWS)]}, {}, "at most 50 levels .* 54 in 'size'"),
    "an infinite number": ({"size": [1.5, np.inf] * 30}, {}, "to 1e\\+30 in 'size', got inf in row 2"),
    "missing values": (
        {"size": [None, 1.5, 2.5] * 20, "colour": [None, None, "a", "b"] * 15},
        {},
        r"got 40 of 60 rows without one, in 'size' \(20\), 'colour' \(30\); use --missing mean or drop",
    ),
    "no whole row": ({"size": [None, 1.5] * 30, "colour": ["a", None] * 30}, {"missing": "drop"}, "got none; use"),
    "few rows left": ({"size": [1.5, 2.5] + [None] * 58}, {"missing": "drop"}, "10 rows, got 2 that miss none"),
    "rare classes": ({"kind": ["a"] * 56 + ["b"] * 3 + ["c"]}, {}, "got 1 of 'c' .*, and 1 more rare"),
    "one class": ({"kind": ["a"] * 60}, {}, "two classes or more, got only 'a' in the target 'kind'"),
    "dates as target": ({"kind": pa.array([0, 1] * 30, pa.date32())}, {}, "got dates in 'kind'"),
    "nothing but constants": ({"size": [1.5] * 60, "colour": ["a"] * 60}, {}, "from 1 to 10,000 inputs, got 0"),
    "a split of other words": (
        {"part": ["train", "test", "holdout"] * 20},
        {"split_column": "part"},
        "split_column must hold train and one of val, .* got 'holdout', 'test', 'train' in 'part'",
    ),
    "a split without a test part": ({"part": ["train"] * 60}, {"split_column": "part"}, "got 'train' in 'part'"),
    "a class in one part alone": (
        {"part": ["train"] * 30 + ["test"] * 30},
        {"split_column": "part"},
        "each class in both parts, got no 'pear' in the train part",
    ),
    "too small a share": ({}, {"test_share": 0.01}, "test_share must leave a row of each .*, got 0.01 of 60 rows"),
}  # fmt: skip


@pytest.mark.parametrize("case", COLUMNS)
def test_a_table_that_cannot_be_used_is_refused(case):
    """By the column's name, with the rule, what there is, and the way out."""
    columns, source, words = COLUMNS[case]
    content = USUAL | columns
    content = pa.table({name: values for name, values in content.items() if values is not None})
    last = [name for name in content.column_names if name == "kind"]
    content = content.select([name for name in content.column_names if name not in last] + last)
    sentence = refused_sentence(table_examples, content, DataSource(data="a.csv", **source), 2021)
    assert re.search(words, sentence), sentence


FILES = {
    "nothing": (b"", "an empty file"),
    "blank lines": (b"\n\n  \n", "got blank lines"),
    "names alone": (b"a,b\n", "rows below the names of its columns, got none"),
    "one column": (b"a\n1\n2\n", "got one column, 'a'"),
    "a page": (b"<!DOCTYPE html>\n<p>not found, sorry", "which is a page of the web; name the file itself"),
    "JSON": (b'[{"a": 1, "b": 2}]', "which is JSON"),
    "a workbook": (b"PK\x03\x04 and so on", "a zip or a workbook of a spreadsheet; save its sheet as CSV"),
    "bytes": (b"a,b\n\0\0,2\n", "bytes of no text"),
    "a name twice": (b"a,b,a\n1,2,3\n", "different names, got 'a' as columns 1, 3"),
    "a row with a cell less": (b"a,b\n1,2\n3\n", "got 1 cells in row 3"),
    "Latin letters": ("name,town\n1,Bern\n2,Z\u00fcrich\n".encode("latin-1"), r"0xfc in row 3, column 2 \('town'\)"),
    "a false mark": (b"\xff\xfea\0,\0b\0\n\0\x00\xd8", "begins like UTF-16 and is not"),
    "half a gzip": (gzip.compress(b"a,b\n1,2\n")[:-6], "a damaged gzip"),
    "half a Parquet": (b"PAR1\x15\x04", "a whole file"),
    "half an Arrow": (b"ARROW1\0\0half", "a whole file"),
}  # fmt: skip


@pytest.mark.parametrize("case", FILES)
def test_a_file_that_is_no_table_is_refused(case, tmp_path):
    """With what it is instead."""
    content, words = FILES[case]
    (tmp_path / "table.csv").write_bytes(content)
    sentence = refused_sentence(read_table_file, tmp_path / "table.csv")
    assert re.search(words, sentence), sentence


@pytest.mark.parametrize("kind", ["list", "struct", "binary"])
def test_nested_columns_are_refused(kind, tmp_path):
    """By name and type."""
    values = {"list": [[1]], "struct": [{"x": 1}], "binary": [b"x"]}[kind]
    pq.write_table(pa.table({"a": [1], "inner": values}), tmp_path / "a.parquet")
    assert f"'inner' of type {kind}" in refused_sentence(read_table_file, tmp_path / "a.parquet")


def test_what_is_too_large_is_refused_before_it_is_read(tmp_path, monkeypatch):
    """By the length of the file, 10 GB that take no room here; and packed by what has come out."""
    with (tmp_path / "large.csv").open("wb") as file:
        file.truncate(10 * 10**9)
    assert "got 10,000,000,000 bytes" in refused_sentence(read_table_file, tmp_path / "large.csv")
    monkeypatch.setattr(table_files, "MAX_BYTES", 1000)
    (tmp_path / "bomb.gz").write_bytes(gzip.compress(b"a,b\n" + b"1,2\n" * 10_000))
    assert "more when unpacked" in refused_sentence(read_table_file, tmp_path / "bomb.gz")
    monkeypatch.undo()
    monkeypatch.setattr(table_files, "MAX_ROWS", 2)
    pq.write_table(pa.table({"a": [1, 2, 3], "b": [1, 2, 3]}), tmp_path / "rows.parquet")
    (tmp_path / "rows.csv").write_bytes(b"a,b\n1,2\n1,2\n1,2\n")
    for name in ("rows.parquet", "rows.csv"):
        assert "got 3 rows and 2 columns" in refused_sentence(read_table_file, tmp_path / name)


@pytest.mark.parametrize("content", [b"a,b\n1,2\n", b"<!DOCTYPE html><p>gone"], ids=["a table", "a page"])
def test_a_table_from_the_web_is_kept_as_it_came(content, tmp_path):
    """Whatever its form, but no page; what is no zip is no fault of a table."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_):
            return

    with served(HTTPServer(("127.0.0.1", 0), Handler)) as address:
        url, file = f"{address}/wine.csv", tmp_path / "wine.csv"
        if content.startswith(b"<"):
            with pytest.raises(ResourceError, match=r"^data could .* an HTML page, not a table; "):
                download(url, file, wanted=TABLE)
        else:
            assert download(url, file, wanted=TABLE) == 1
            assert file.read_bytes() == content


def test_new_rows_that_do_not_fit_a_model_are_refused():
    """A column less, text where numbers were, or no value."""
    learned = Preprocessing((NumberColumn("size", 1.0, 2.0),), "kind", ("a", "b"), "refuse")
    for columns, words in (
        ({"weight": [1.0]}, "must have the column 'size'"),
        ({"size": ["1", "heavy"]}, "numbers in 'size', got 'heavy' in row 2"),
        ({"size": [1.0, None]}, "got none in row 2"),
        ({"size": [1.0, 1e20]}, "within 1e+09 standard deviations of the training rows in 'size', got one in row 2"),
    ):
        assert words in refused_sentence(learned.apply, pa.table(columns))


@pytest.mark.parametrize("name", ["target", "split_column", "ignore", "missing"])
def test_settings_of_tables_are_refused_where_there_is_none(name):
    """Nothing is dropped in silence."""
    value = "drop" if name == "missing" else "kind"
    sentence = refused_sentence(validated, DataSource, {"data": "moons", name: value})
    assert sentence.startswith(f"{name} must be left out with --data moons, which is no table, got ")
