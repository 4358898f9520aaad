"""`deep-mlp predict`: kept networks applied to new rows or images."""

from __future__ import annotations

import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import click

from flows.artifact_folder import local_folder, on_artifacts
from mlp_core.errors import InputError
from mlp_core.statistics.wording import count

if TYPE_CHECKING:
    import pyarrow as pa
    from upath import UPath

    from mlp_core.data.images import ReadImages
    from mlp_core.experiments.prediction import KeptModel


@click.command()
@on_artifacts
@click.option("--data", default="", metavar="FILE", help="Rows: a CSV, Parquet or Arrow file, or its http(s) URL.")
@click.option("--images", default="", metavar="SOURCE", help="Images instead: a folder, a zip or its http(s) URL.")
@click.option(
    "--model",
    default="",
    metavar="NAME",
    help="Part of a file's name in models/; left out, the last sweep's choice, or with --images the last of `images`.",
)
@click.option("--member", type=str, metavar="N", help="One network, from 0; left out, all: their mean probability.")
@click.option("--out", default="", metavar="FILE", help="Where to write the CSV; left out, to the terminal.")
def predict(root: Path | UPath, data: str, images: str, model: str, member: str | None, out: str) -> None:
    """Apply a kept network, or all of a configuration, to new rows or images: class, probability, disagreement."""
    from mlp_core.experiments.prediction import kept_model

    if member is not None and not member.isdecimal():
        message = f"member must be a whole number from 0, got {member!r}; leave --member out for all."
        raise InputError(message)
    if bool(data) == bool(images):
        message = (
            f"data must be given, or images instead, got {'both' if data else 'neither'}; use --data FILE for rows, "
            "--images SOURCE for images."
        )
        raise InputError(message)
    kept = kept_model(local_folder(root), model, of_images=bool(images))
    classify = _of_images if images else _of_rows
    frame, sentences, summary = classify(kept, images or data, None if member is None else int(member))
    frame = frame.rename(columns=cell_text)
    texts = [column for column in ("image", "prediction") if column in frame]
    frame[texts] = frame[texts].map(cell_text)
    if out:
        try:
            frame.to_csv(out, index=False)
        except OSError as error:
            message = f"out must be a file that can be written, got {out!r}: {error.strerror}; name another."
            raise InputError(message) from error
    else:
        frame.to_csv(sys.stdout, index=False)
    for sentence in sentences:
        click.echo(f"deep-mlp: {sentence}.", err=True)
    who = count(kept.ensemble.n_members, "network") if member is None else f"network {member}"
    click.echo(f"deep-mlp: {len(frame):,} {summary.format(f'{who} of {kept.name}')}.", err=True)


def cell_text(text: str) -> str:
    """Return a text from data for a cell of a CSV: as it is, or so that neither a spreadsheet nor a terminal obeys it.

    Example:
        >>> cell_text("cat"), cell_text("-1.5"), cell_text("=1+1")
        ('cat', '-1.5', "'=1+1")
    """
    from mlp_core.data.image_layout import shown_name

    printable = shown_name(text)
    try:
        float(printable)
    except ValueError:
        return f"'{printable}" if printable.startswith(("=", "+", "-", "@")) else printable
    return printable


def _of_rows(kept: KeptModel, data: str, member: int | None) -> tuple[Any, list[str], str]:
    from mlp_core.experiments.prediction import predictions, share_right

    rows = _rows_of(data)
    predicted = predictions(kept, rows, member)
    unseen = [*kept.preprocessing.unseen(rows)] if kept.preprocessing else []
    right = share_right(kept, rows, predicted)
    known = "" if right is None else f", {100 * right:.1f} % of them the row's own class"
    return predicted.to_pandas(), unseen, f"rows by {{}}{known}"


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


def _of_images(kept: KeptModel, source: str, member: int | None) -> tuple[Any, list[str], str]:
    from mlp_core.data.image_layout import shown_name
    from mlp_core.experiments.prediction import predictions, share_of_own_folder

    read = _read(kept, source)
    names = read.table["image"].to_pylist()
    predicted = predictions(kept, read.table, member)
    n_known, share = share_of_own_folder(kept, names, predicted)
    known = f", {n_known:,} of them in a folder named like a class, which {100 * share:.1f} % got" if n_known else ""
    frame = predicted.to_pandas()
    frame.insert(0, "image", names)
    left_out = [f"{shown_name(name)} {reason} and is left out" for name, reason in read.unreadable.items()]
    if left_out:
        left_out.append(f"{len(left_out):,} of {len(left_out) + len(names):,} images could not be read")
    return frame, [*read.remarks, *left_out], f"images by {{}}{known}"


def _read(kept: KeptModel, source: str) -> ReadImages:
    """Return the images of a source at the size and in the colours that the networks were trained on."""
    from mlp_core.addresses import ANIMAL_FACES, ANIMAL_FACES_URL, SYNTHETIC, image_path
    from mlp_core.data.downloads import download
    from mlp_core.data.images import read_images

    assert kept.image_shape is not None
    if source == SYNTHETIC:
        message = f"images must be a folder, a zip or an http(s) URL of one in predict, got {source!r}; name one."
        raise InputError(message)
    if path := image_path(source):
        return read_images(path, kept.image_shape)
    with TemporaryDirectory(prefix="deep-mlp-") as folder:
        path = Path(folder, "images.zip")
        url = ANIMAL_FACES_URL if source == ANIMAL_FACES else source
        download(url, path, tell=lambda words: click.echo(f"deep-mlp: {words}", err=True))
        return read_images(path, kept.image_shape)
