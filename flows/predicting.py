"""`deep-mlp predict`: kept networks applied to new rows."""

from __future__ import annotations

import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import click

from flows.artifact_folder import local_folder, on_artifacts
from mlp_core.errors import InputError

if TYPE_CHECKING:
    import pyarrow as pa
    from upath import UPath


@click.command()
@on_artifacts
@click.option("--data", required=True, metavar="FILE", help="Rows: a CSV, Parquet or Arrow file, or its http(s) URL.")
@click.option("--model", default="", metavar="NAME", help="Part of a file's name in models/; the last sweep's choice.")
@click.option("--member", type=str, metavar="N", help="One network, from 0; left out, all: their mean probability.")
@click.option("--out", default="", metavar="FILE", help="Where to write the CSV; left out, to the terminal.")
def predict(root: Path | UPath, data: str, model: str, member: str | None, out: str) -> None:
    """Apply a kept network, or all of a configuration, to new rows: class, probability, and how much they disagree."""
    from mlp_core.experiments.prediction import kept_model, predictions, share_right

    if member is not None and not member.isdecimal():
        message = f"member must be a whole number from 0, got {member!r}; leave --member out for all."
        raise InputError(message)
    kept = kept_model(local_folder(root), model)
    rows = _rows_of(data)
    predicted = predictions(kept, rows, None if member is None else int(member))
    frame = predicted.to_pandas()
    if out:
        try:
            frame.to_csv(out, index=False)
        except OSError as error:
            message = f"out must be a file that can be written, got {out!r}: {error.strerror}; name another."
            raise InputError(message) from error
    else:
        frame.to_csv(sys.stdout, index=False)
    for sentence in kept.preprocessing.unseen(rows) if kept.preprocessing else []:
        click.echo(f"deep-mlp: {sentence}.", err=True)
    right = share_right(kept, rows, predicted)
    known = "" if right is None else f", {100 * right:.1f} % of them the row's own class"
    who = f"{kept.ensemble.n_members} networks" if member is None else f"network {member}"
    click.echo(f"deep-mlp: {len(frame):,} rows by {who} of {kept.name}{known}.", err=True)


def _rows_of(data: str) -> pa.Table:
    """Read the table that `--data` names; one with a web address is downloaded first, and not kept."""
    from mlp_core.addresses import is_web_address, shown_address, table_path
    from mlp_core.data.downloads import TABLE, download
    from mlp_core.data.settings import BUNDLED_TABLES
    from mlp_core.data.table_files import read_table_file
    from mlp_core.data.tables import bundled_table

    if data in BUNDLED_TABLES:
        return bundled_table(data)
    if not is_web_address(data):
        return read_table_file(table_path(data, or_points=False))
    with TemporaryDirectory() as folder:
        file = Path(folder) / "rows"
        download(data, file, tell=lambda sentence: click.echo(f"deep-mlp: {sentence}", err=True), wanted=TABLE)
        return read_table_file(file, repr(shown_address(data)))
