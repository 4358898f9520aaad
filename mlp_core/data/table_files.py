"""Tables in files: CSV in the forms that spreadsheets and other programs write, Parquet and Arrow; within limits."""

from __future__ import annotations

import codecs
import csv
import io
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.ipc
import pyarrow.parquet as pq

from mlp_core.errors import InputError

MAX_BYTES = 1_000_000_000
"""Of a file, packed or not."""
MAX_ROWS = 2_000_000
MAX_COLUMNS = 10_000
MAX_CELLS = 200_000_000
_SEPARATORS = ",;\t|"
_MISSING = ["", "NA", "N/A", "NaN", "nan", "null", "NULL", "None", "?", "#N/A", "<NA>", "n/a", "-nan", "-NaN"]
_NUMBER_WITH_COMMA = r"^\s*[+-]?\d+(,\d+)?([eE][+-]?\d+)?\s*$"
_BLOCK_BYTES = 1 << 20
_NO_TABLES = {
    b"PK\x03\x04": "a zip or a workbook of a spreadsheet; save its sheet as CSV",
    b"%PDF": "a PDF; save its table as CSV",
    b"\x89PNG": "an image",
    b"\xff\xd8\xff": "an image",
    b"SQLite format 3": "a database; export its table as CSV",
    b"\x89HDF": "an HDF5 file; save its table as Parquet or CSV",
    b"BZh": "packed with bzip2; pack it with gzip, or not",
    b"\xfd7zXZ": "packed with xz; pack it with gzip, or not",
    b"(\xb5/\xfd": "packed with zstandard; pack it with gzip, or not",
}


def refuse(rule: str, got: str, way_out: str) -> NoReturn:
    """Raise the error for a table that cannot be used, with the message `data must RULE, got GOT; WAY OUT`.

    Args:
        rule: What data must be, have or hold.
        got: What was there instead.
        way_out: What the user can do.

    Raises:
        InputError: Always.

    Example:
        >>> refuse("have rows", "none", "name another file")
        Traceback (most recent call last):
        mlp_core.errors.InputError: data must have rows, got none; name another file.
    """
    message = f"data must {rule}, got {got}; {way_out}."
    raise InputError(message)


def read_table_file(path: Path, name: str = "") -> pa.Table:
    r"""Read a table from a Parquet, Arrow or CSV file; the first bytes decide which, not the name.

    A CSV may be packed with gzip. Its first row holds the names of the columns. The separator is a comma, semicolon,
    tab or bar, whichever is most frequent in that row; if it is not the comma, numbers may have decimal commas. The
    encoding is UTF-8, or UTF-16 or UTF-32 with a byte order mark.

    Args:
        path: The file.
        name: Name of the file in messages; if left out, its path.

    Returns:
        The columns as Arrow types; empty cells and `NA`, `NaN`, `null`, `None` and `?` are missing.

    Raises:
        InputError: If it is no table, is too large, or has columns of the same name or cells that cannot be read.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     file = Path(folder) / "wine.csv"
        ...     _ = file.write_text("alcohol;kind\n12,5;red\n;white\n")
        ...     read_table_file(file).to_pydict()
        {'alcohol': [12.5, None], 'kind': ['red', 'white']}
    """
    name = name or repr(str(path))
    try:
        check_file_size(path, name)
        with path.open("rb") as file:
            table = _read(file, name)
    except OSError as error:
        message = f"data must be a file that can be read, got {name}: {error.strerror or error}; name another one."
        raise InputError(message) from error
    _check_names(table.column_names, name)
    if table.num_rows == 0:
        refuse("have rows below the names of its columns", f"none in {name}", "name another file")
    return table


def check_file_size(path: Path, name: str) -> None:
    """Check, before a file is read, that it has at most 1,000,000,000 bytes; `name` is for the message.

    Raises:
        InputError: If it is larger.
    """
    n_bytes = path.stat().st_size
    if n_bytes > MAX_BYTES:
        _refuse_size(f"{n_bytes:,} bytes in {name}")


def _refuse_size(what: str) -> NoReturn:
    rule = f"be at most {MAX_BYTES:,} bytes, {MAX_ROWS:,} rows and {MAX_COLUMNS:,} columns"
    refuse(rule, what, "draw rows from it into a smaller file")


def _read(file: BinaryIO, name: str) -> pa.Table:
    beginning = file.read(16)
    file.seek(0)
    if not beginning:
        refuse("have a row of names and rows", f"an empty file, {name}", "name another file")
    try:
        if beginning.startswith(b"PAR1"):
            return _read_parquet(file, name)
        if beginning.startswith(b"ARROW1") or beginning.startswith(b"\xff\xff\xff\xff"):
            return _read_arrow(file, name, in_pieces=not beginning.startswith(b"ARROW1"))
    except (pa.ArrowException, ValueError, OSError, MemoryError) as error:
        if isinstance(error, InputError):
            raise
        refuse("be a whole file", f"{name}: {_first_line(error)}", "make it again")
    for start, what in _NO_TABLES.items():
        if beginning.startswith(start):
            refuse("be CSV, Parquet or Arrow", f"{name}, which is {what}", "name such a file")
    return _read_csv(_text(_unpacked(file, name), name), name)


def _read_parquet(file: BinaryIO, name: str) -> pa.Table:
    parquet = pq.ParquetFile(file, page_checksum_verification=True)
    _check_size(parquet.metadata.num_rows, len(parquet.schema_arrow), name)
    if sum(parquet.metadata.row_group(i).total_byte_size for i in range(parquet.num_row_groups)) > MAX_BYTES:
        _refuse_size(f"more when unpacked in {name}")
    _check_flat(parquet.schema_arrow, name)
    return parquet.read()


def _read_arrow(file: BinaryIO, name: str, *, in_pieces: bool) -> pa.Table:
    reader: Any = pa.ipc.open_stream(file) if in_pieces else pa.ipc.open_file(file)
    _check_flat(reader.schema, name)
    numbers: Iterator[Any] = iter(reader) if in_pieces else map(reader.get_batch, range(reader.num_record_batches))
    batches, n_rows, n_bytes = [], 0, 0
    for batch in numbers:
        batch.validate(full=True)  # the bytes are somebody else's: what they point to may not be there
        n_rows, n_bytes = n_rows + batch.num_rows, n_bytes + batch.nbytes
        _check_size(n_rows, batch.num_columns, name)
        if n_bytes > MAX_BYTES:
            _refuse_size(f"more when unpacked in {name}")
        batches.append(batch)
    return pa.Table.from_batches(batches, reader.schema)


def _check_size(n_rows: int, n_columns: int, name: str) -> None:
    if n_rows > MAX_ROWS or n_columns > MAX_COLUMNS or n_rows * n_columns > MAX_CELLS:
        _refuse_size(f"{n_rows:,} rows and {n_columns:,} columns in {name}")


def _check_flat(schema: pa.Schema, name: str) -> None:
    for field in schema:
        kind = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
        if pa.types.is_nested(kind) or pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
            refuse(
                "have columns of numbers, text or yes and no",
                f"{field.name!r} of type {str(field.type)[:60]} in {name}",
                "make plain columns of it first",
            )


def _check_names(names: list[str], name: str) -> None:
    if len(names) > MAX_COLUMNS:
        _refuse_size(f"{len(names):,} columns in {name}")
    if len(names) < 2:
        refuse(
            "have a column of classes and others",
            f"one column, {names[0][:60]!r}, in {name}" if names else f"no columns in {name}",
            "separate columns by commas, semicolons, tabs or |",
        )
    twice = next((name for name in names if names.count(name) > 1), None) if len(set(names)) < len(names) else None
    if twice is not None:
        places = ", ".join(str(place) for place, name in enumerate(names, 1) if name == twice)
        refuse("have columns of different names", f"{twice!r} as columns {places} of {name}", "rename all but one")


def _unpacked(file: BinaryIO, name: str) -> bytes:
    """Return the bytes of a file, unpacked if it is gzip, as far as they are within the limit."""
    content = file.read(MAX_BYTES + 1)
    if not content.startswith(b"\x1f\x8b"):
        return content
    whole, rest = bytearray(), content
    try:
        while rest.startswith(b"\x1f\x8b"):
            packed = zlib.decompressobj(wbits=31)
            whole += packed.decompress(rest, MAX_BYTES + 1 - len(whole))
            if len(whole) > MAX_BYTES:
                _refuse_size(f"more when unpacked in {name}")
            if not packed.eof:
                message = "it ends too early"
                raise zlib.error(message)  # noqa: TRY301 as if zlib had seen it
            rest = packed.unused_data
    except zlib.error as error:
        refuse("be a whole file", f"{name}, a damaged gzip: {error}", "make it again")
    return bytes(whole)


def _text(content: bytes, name: str) -> bytes:
    """Return the bytes of a CSV as UTF-8 without a mark."""
    for mark, encoding in (
        (codecs.BOM_UTF32_LE, "utf-32"),
        (codecs.BOM_UTF32_BE, "utf-32"),
        (codecs.BOM_UTF16_LE, "utf-16"),
        (codecs.BOM_UTF16_BE, "utf-16"),
    ):
        if content.startswith(mark):
            try:
                return content.decode(encoding).encode()
            except UnicodeError as error:
                got = f"{name}, which begins like {encoding.upper()} and is not: {_first_line(error)}"
                refuse("be text of one encoding", got, "save it as UTF-8")
    content = content.removeprefix(codecs.BOM_UTF8)
    try:
        content.decode()
    except UnicodeDecodeError as error:
        refuse("be UTF-8, or UTF-16 with its mark", _place_of(content, error.start, name), "save it as UTF-8")
    if b"\0" in content[:_BLOCK_BYTES]:
        refuse("be CSV, Parquet or Arrow", f"{name}, which holds bytes of no text", "name such a file")
    if re.match(rb"\s*(<!doctype html|<html|<\?xml|<head|<body)", content[:1024], re.I):
        what = "a page of the web" if b"html" in content[:1024].lower() else "XML"
        refuse("be CSV, Parquet or Arrow", f"{name}, which is {what}", "name the file itself")
    if re.match(rb"\s*[{\[]\s*[\"{\[]", content[:1024]):
        refuse("be CSV, Parquet or Arrow", f"{name}, which is JSON", "save its table as CSV")
    return content


def _place_of(content: bytes, position: int, name: str) -> str:
    """Say in which row and column a byte stands."""
    before = content[:position].decode()
    separator = _separator(before)
    try:
        rows = list(csv.reader(io.StringIO(before, newline=""), delimiter=separator))
    except csv.Error:  # a cell of more letters than it takes
        return f"the byte {content[position]:#04x} at position {position + 1:,} of {name}"
    row, column = len(rows), len(rows[-1]) if rows else 1
    names = rows[0] if row > 1 else []
    column_name = f" ({names[column - 1][:60]!r})" if 0 < column <= len(names) else ""
    return f"the byte {content[position]:#04x} in row {max(row, 1)}, column {max(column, 1)}{column_name} of {name}"


def _separator(text: str) -> str:
    """Return what separates the columns: of the separators the one most often in the first row, outside quotes."""
    first, quoted = list[str](), False
    for letter in text:
        quoted ^= letter == '"'
        if letter in "\r\n" and not quoted and "".join(first).strip():
            break
        if not quoted:
            first.append(letter)
    return max(_SEPARATORS, key=first.count)


def _read_csv(content: bytes, name: str) -> pa.Table:
    beginning = content[:_BLOCK_BYTES].decode(errors="ignore")
    if not beginning.strip():
        refuse("have a row of names and rows", f"blank lines in {name}", "name another file")
    separator = _separator(beginning)
    table = _parsed(content, separator, ".", name)
    if separator != "," and any(_has_decimal_commas(column) for column in table.columns):
        table = _parsed(content, separator, ",", name)
    names = [name.strip() or f"column {place}" for place, name in enumerate(table.column_names, 1)]
    return table.rename_columns(names)


def _has_decimal_commas(column: pa.ChunkedArray) -> bool:
    if not pa.types.is_string(column.type) or column.null_count == len(column):
        return False
    return bool(pc.all(pc.match_substring_regex(column, _NUMBER_WITH_COMMA)).as_py())


def _parsed(content: bytes, separator: str, decimal_point: str, name: str) -> pa.Table:
    bad_rows: list[Any] = []

    def handle(row: Any) -> str:
        bad_rows.append(row)
        return "error"

    try:
        table = pa.csv.read_csv(
            pa.BufferReader(content),
            # one thread: with several the reader does not know the number of a bad row
            pa.csv.ReadOptions(use_threads=False, block_size=max(len(content), _BLOCK_BYTES)),
            pa.csv.ParseOptions(delimiter=separator, newlines_in_values=True, invalid_row_handler=handle),
            pa.csv.ConvertOptions(
                null_values=_MISSING, strings_can_be_null=True, decimal_point=decimal_point, check_utf8=False
            ),
        )
    except (pa.ArrowException, ValueError) as error:
        got = f"{name}: {_first_line(error)}"
        if bad_rows:
            row = bad_rows[0]
            number = "" if row.number is None else f" {row.number}"
            got = f"{row.actual_columns} cells in row{number} of {name}, whose first has {row.expected_columns}"
        refuse("have as many cells in every row as in the first", got, "mend the file")
    _check_size(table.num_rows, table.num_columns, name)
    return table


def _first_line(error: BaseException) -> str:
    text = next(iter(str(error).splitlines()), "") or type(error).__name__
    return ascii(text)[1:-1][:200].rstrip(".")
