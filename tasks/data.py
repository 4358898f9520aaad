"""Data: spirals and other points, tables, polynomial features, images."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from functools import lru_cache, partial
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prefect import task

from mlp_core.artifacts.backends import file_digest
from mlp_core.artifacts.storage import Artifact, Provenance, code_digest, settings_digest, write_file, write_table
from mlp_core.data.settings import BUNDLED_TABLES, DataSource, Spirals
from mlp_core.data.sizes import IMAGE_SIZE, pixel_count
from mlp_core.data.transforms import Transform
from tasks.caching import UNCACHED, cached
from tasks.context import RunContext, logger
from tasks.helper_process import map_in_helpers, run_in_helper

if TYPE_CHECKING:
    import pyarrow as pa
    from upath import UPath

    from mlp_core.data.datasets import Split

_SPIRALS = ("mlp_core.data.datasets",)
_POINTS = ("mlp_core.data.points",)
_TABLES = ("mlp_core.data.tables", "mlp_core.data.table_files")
_TRANSFORMS = ("mlp_core.data.transforms",)
_FACES = ("mlp_core.data.faces",)
_IMAGES = ("mlp_core.data.images",)


@dataclass(frozen=True)
class ImageSource:
    """A local source of images, a folder or zip.

    `sha256` is a digest of the images alone: another file next to them changes the remarks, but causes no new training.
    `remarks` are sentences about the folder that the user should read.
    """

    location: str
    sha256: str
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True)
class TableFile:
    """A table: its path and the SHA-256 of its bytes; for one of scikit-learn's tables both are its name."""

    location: str
    sha256: str


@dataclass(frozen=True)
class Examples:
    """A stored table of examples to train and test on.

    Attributes:
        table: The file, one row per example.
        classes: Class names, in the order of the labels.
        n_train: Number of training examples; they are the first rows.
        skipped: Names of bad image files that were left out.
        remarks: Sentences for the user, see `mlp_core.data.image_layout.Listing` and
            `mlp_core.data.tables.TableExamples`.
        n_inputs: Features of an example.
    """

    table: Artifact
    classes: tuple[str, ...]
    n_train: int
    skipped: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    n_inputs: int = 2

    def describe_skipped(self) -> str:
        """Return the number of files left out and the names of the first ten, as text; `none` if there are none."""
        names = ", ".join(repr(name) for name in self.skipped[:10])
        more = ", ..." if len(self.skipped) > 10 else ""
        return f"{len(self.skipped)}: {names}{more}" if names else "none"


@task(name="generate spirals", task_run_name="generate spirals", **cached(*_SPIRALS))
def generate_spirals(context: RunContext, spirals: Spirals, seed: int) -> Examples:
    """Draw the spirals, split them into training and test points and store them; one row per point."""
    import pyarrow as pa

    from mlp_core.data import datasets

    points, labels = datasets.spirals(seed, arms=spirals.arms, points_per_arm=spirals.points, noise=spirals.noise)
    parts = datasets.split(points, labels, seed)
    settings = {"spirals": spirals.model_dump(mode="json"), "seed": seed}
    table = pa.table(
        {
            "x1": _joined(parts, 0),
            "x2": _joined(parts, 1),
            "label": pa.array([*parts.train_labels.tolist(), *parts.test_labels.tolist()], pa.int64()),
            "split": _split_column(len(parts.train_labels), len(parts.test_labels)),
        }
    )
    units = {"x1": "1", "x2": "1", "label": "class index", "split": "train|test"}
    provenance = Provenance(settings, code_digest(*_SPIRALS), units=units)
    name = settings_digest(settings, provenance.code)[:12]
    artifact = write_table(context.root, f"tables/spirals-{name}.parquet", table, provenance)
    return Examples(artifact, tuple(str(arm) for arm in range(spirals.arms)), len(parts.train_labels))


@task(name="draw points", task_run_name="draw points {kind}", **cached(*_POINTS, libraries=("scikit-learn",)))
def draw_points(context: RunContext, kind: str, spirals: Spirals, seed: int) -> Examples:
    """Draw points of another kind than spirals, split them and store them; one row per point.

    Args:
        context: The run's context.
        kind: `moons`, `circles`, `gauss` or `xor`.
        spirals: Points per class and noise; `arms` is the number of classes for `gauss`, and the others have two.
        seed: Root seed.
    """
    from mlp_core.data.points import drawn_points

    n_classes = spirals.arms if kind == "gauss" else 2
    call = partial(run_in_helper, checkpoint=context.checkpoint)  # whose imports of scikit-learn nothing waits for
    parts = drawn_points(kind, seed, classes=n_classes, points=spirals.points, noise=spirals.noise, call=call)
    settings = {"points": {"kind": kind, **spirals.model_dump(mode="json")}, "seed": seed}
    return _written_points(context, kind, parts, settings, code_digest(*_POINTS), n_classes)


def _written_points(
    context: RunContext, kind: str, parts: Split, settings: dict[str, Any], code: str, n_classes: int
) -> Examples:
    import pyarrow as pa

    table = pa.table(
        {
            "x1": _joined(parts, 0),
            "x2": _joined(parts, 1),
            "label": pa.array([*parts.train_labels.tolist(), *parts.test_labels.tolist()], pa.int64()),
            "split": _split_column(len(parts.train_labels), len(parts.test_labels)),
        }
    )
    units = {"x1": "1", "x2": "1", "label": "class index", "split": "train|test"}
    provenance = Provenance(settings, code, units=units)
    name = settings_digest(settings, provenance.code)[:12]
    artifact = write_table(context.root, f"tables/{kind}-{name}.parquet", table, provenance)
    return Examples(artifact, tuple(str(label) for label in range(n_classes)), len(parts.train_labels))


@task(name="locate table", task_run_name="locate table", **UNCACHED)
def locate_table(data: str) -> TableFile:
    """Return the path and digest of a local table; one of scikit-learn's tables is known by its name."""
    from mlp_core.addresses import table_path
    from mlp_core.data.table_files import check_file_size

    if data in BUNDLED_TABLES:
        return TableFile(data, data)
    path = table_path(data).resolve()
    check_file_size(path, repr(str(path)))
    return TableFile(str(path), file_digest(path))


@task(name="download table", **cached("mlp_core.data.downloads"))
def download_table(context: RunContext, url: str) -> Artifact:
    """Download a table into the artifact folder; from the cache, unless the file is missing or changed."""
    from mlp_core.addresses import shown_address
    from mlp_core.data.downloads import TABLE, download

    root = context.root
    path = root / "tables" / f"{sha256(url.encode()).hexdigest()[:16]}.download"
    logger.info("downloading %s", shown_address(url))
    write_file(path, lambda file: download(url, file, checkpoint=context.checkpoint, tell=logger.info, wanted=TABLE))
    downloaded = Artifact.of(root, path)
    logger.info("downloaded %d bytes, sha256=%s", downloaded.size_bytes, downloaded.sha256)
    return downloaded


@task(name="read table", task_run_name="read table", **cached(*_TABLES, libraries=("scikit-learn", "pyarrow")))
def read_examples(context: RunContext, file: TableFile | Artifact, source: DataSource, seed: int) -> Examples:
    """Read a table, split its rows, turn its columns into inputs and store them; one row per example.

    Args:
        context: The run's context.
        file: The table.
        source: How its columns are used; its location does not count for the cache.
        seed: Root seed, which decides the split.
    """
    import pyarrow as pa
    import torch

    from mlp_core.data.table_files import read_table_file
    from mlp_core.data.tables import bundled_table, described, table_examples

    root = context.root
    if isinstance(file, TableFile) and file.location in BUNDLED_TABLES:
        table = bundled_table(file.location)
    else:
        path = file.locate(root) if isinstance(file, Artifact) else Path(file.location)
        table = read_table_file(path)
    examples = table_examples(table, source, seed)
    data, settings = examples.data, described(examples)
    inputs = torch.cat([data.train_inputs, data.test_inputs])
    rows = pa.table(
        {
            "features": pa.FixedSizeListArray.from_arrays(pa.array(inputs.flatten().numpy()), inputs.shape[1]),
            "label": pa.array([*data.train_labels.tolist(), *data.test_labels.tolist()], pa.int64()),
            "split": _split_column(len(data.train_labels), len(data.test_labels)),
        }
    )
    units = {"features": "standard deviations, or 0|1 per level", "label": "class index", "split": "train|test"}
    provenance = Provenance(settings, code_digest(*_TABLES), {"table": file.sha256}, units)
    name = settings_digest(settings, provenance.code, file.sha256)[:12]
    artifact = write_table(root, f"tables/rows-{name}.parquet", rows, provenance)
    n_train = len(data.train_labels)
    for remark in examples.remarks:
        logger.info("table: %s", remark)
    classes = examples.preprocessing.classes
    logger.info("read %d rows of %d classes, %d inputs each", rows.num_rows, len(classes), inputs.shape[1])
    return Examples(artifact, classes, n_train, remarks=examples.remarks, n_inputs=inputs.shape[1])


def _joined(parts: Split, axis: int) -> Any:
    import numpy as np

    return np.concatenate([parts.train_inputs[:, axis].numpy(), parts.test_inputs[:, axis].numpy()])


def _split_column(n_train: int, n_test: int, n_validation: int = 0) -> pa.Array:
    import pyarrow as pa

    return pa.array(["train"] * n_train + ["validation"] * n_validation + ["test"] * n_test).dictionary_encode()


@task(name="transform examples", task_run_name="{transform.title}", **cached(*_TRANSFORMS))
def transform_examples(context: RunContext, transform: Transform, examples: Examples) -> Examples:
    """Apply an input transform of a configuration to examples and store the result; one row per example.

    Args:
        context: The run's context.
        transform: Such as a standardisation, monomials, or setting aside validation examples.
        examples: The examples before it.
    """
    import pyarrow as pa
    import torch

    root = context.root
    split = transform.split(load_split(root, examples.table))
    parts = [(split.train_inputs, split.train_labels), (split.test_inputs, split.test_labels)]
    if split.validation_inputs is not None and split.validation_labels is not None:
        parts.insert(1, (split.validation_inputs, split.validation_labels))
    inputs, labels = (torch.cat(part) for part in zip(*parts, strict=True))
    n_train, n_test = len(split.train_labels), len(split.test_labels)
    flat = pa.array(inputs.contiguous().flatten().numpy())
    table = pa.table(
        {
            "features": pa.FixedSizeListArray.from_arrays(flat, inputs.shape[1]),
            "label": pa.array(labels.numpy(), pa.int64()),
            "split": _split_column(n_train, n_test, len(labels) - n_train - n_test),
        }
    )
    settings = asdict(transform)
    units = {"features": transform.unit, "label": "class index", "split": "train|validation|test"}
    provenance = Provenance(settings, code_digest(*_TRANSFORMS), {"examples": examples.table.sha256}, units)
    name = settings_digest(settings, provenance.code, examples.table.sha256)[:12]
    artifact = write_table(root, f"tables/{transform.name}-{name}.parquet", table, provenance)
    return replace(examples, table=artifact, n_train=n_train)


@task(name="draw synthetic faces", task_run_name="draw synthetic faces", **cached(*_FACES))
def draw_faces(context: RunContext, seed: int, image_size: int = IMAGE_SIZE) -> Artifact:
    """Draw the synthetic face images and store them as a zip, in the layout of the tutorial's images."""
    from mlp_core.data.faces import write_faces

    root = context.root
    name = settings_digest({"seed": seed, "image_size": image_size}, code_digest(*_FACES))[:12]
    path = root / "images" / f"faces-{name}.zip"
    map_parts = partial(map_in_helpers, checkpoint=context.checkpoint)
    write_file(path, lambda file: write_faces(file, seed=seed, image_size=image_size, map_parts=map_parts))
    return Artifact.of(root, path)


@task(name="download images", **cached("mlp_core.data.downloads"))
def download_images(context: RunContext, url: str) -> Artifact:
    """Download a zip of images into the artifact folder; from the cache, unless the file is missing or changed."""
    from mlp_core.addresses import shown_address
    from mlp_core.data.downloads import download

    root = context.root
    path = root / "images" / f"{sha256(url.encode()).hexdigest()[:16]}.zip"
    logger.info("downloading %s", shown_address(url))
    write_file(path, lambda file: download(url, file, checkpoint=context.checkpoint, tell=logger.info))
    archive = Artifact.of(root, path)
    logger.info("downloaded %d bytes, sha256=%s", archive.size_bytes, archive.sha256)
    return archive


@task(name="locate images", task_run_name="locate images", **UNCACHED)
def locate_images(location: str) -> ImageSource:
    """Return path, digest and remarks of a local zip or folder of images."""
    from mlp_core.data.images import list_images, source_digest

    path = Path(location).expanduser().resolve()
    if path.is_file():
        return ImageSource(str(path), file_digest(path))
    return ImageSource(str(path), source_digest(path), list_images(path).remarks)


@task(name="unzip and decode images", task_run_name="unzip and decode images", **cached(*_IMAGES))
def decode_images(
    context: RunContext,
    source: ImageSource | Artifact,
    skip_bad: int = 0,
    seed: int = 0,
    image_size: int = IMAGE_SIZE,
    grey: bool = False,
) -> Examples:
    """Decode images directly from their zip or folder and store them; one row per image.

    Args:
        context: The run's context.
        source: The images.
        skip_bad: How many bad files may be left out; more are an error.
        seed: Root seed, which decides the split if the source has none.
        image_size: Rows, and columns, that each image is brought to.
        grey: Whether images become grey.
    """
    import pyarrow.compute as pc

    from mlp_core.data import images

    root = context.root
    path = source.locate(root) if isinstance(source, Artifact) else Path(source.location)
    map_parts = partial(map_in_helpers, checkpoint=context.checkpoint)
    table = images.decode_images(path, skip_bad, seed, image_size, grey, map_parts)
    metadata = {name.decode(): json.loads(text) for name, text in table.schema.metadata.items()}
    settings = {"skipped": metadata["skipped"], "image_size": image_size, "grey": grey}
    if metadata["split_seed"] is not None:
        settings["split_seed"] = metadata["split_seed"]
    classes = tuple(sorted(pc.unique(table["class"]).to_pylist()))
    provenance = Provenance(
        settings,
        code_digest(*_IMAGES),
        {"images": source.sha256},
        {
            "pixels": "0..255, channel (red, green, blue; of a grey image one), row, column",
            "label": "class index",
            "class": "name",
            "split": "train|test",
            "source": "file name",
        },
    )
    name = settings_digest(settings, provenance.code, source.sha256)[:12]
    artifact = write_table(root, f"tables/images-{name}.parquet", table, provenance)
    logger.info("decoded %d images of %d classes from %s", table.num_rows, len(classes), path.name)
    n_train = table["split"].to_pylist().count("train")
    n_inputs = pixel_count(image_size, grey=grey)
    decoded = Examples(artifact, classes, n_train, tuple(metadata["skipped"]), tuple(metadata["remarks"]), n_inputs)
    for remark in decoded.remarks:
        logger.warning("%s", remark)
    if decoded.skipped:
        logger.warning("bad images left out: %s", decoded.describe_skipped())
    return decoded


@lru_cache(maxsize=4)
def load_split(root: Path | UPath, artifact: Artifact) -> Split:
    """Read a stored table of examples as tensors; the last four tables are kept in memory."""
    from mlp_core.artifacts.storage import read_pieces
    from mlp_core.engine.tables import split_of

    return split_of(read_pieces(root, artifact))
