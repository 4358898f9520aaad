"""Kept networks applied to new rows or images: their mean probabilities, and how much they disagree."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray
from safetensors import safe_open

from mlp_core.artifacts.backends import file_digest
from mlp_core.data.augmentation import normalize
from mlp_core.data.preprocessing import Preprocessing, texts_of
from mlp_core.data.sizes import image_shape
from mlp_core.engine.networks import Ensemble
from mlp_core.engine.tables import images_of
from mlp_core.errors import InputError

_STEM = re.compile(r"(?P<name>.+-[0-9a-f]{12})-(?P<first>\d+)-\d+")
_CHUNK = 1024
_SWEEP, _IMAGES = "results/sweep_classes.parquet", "results/images.parquet"


@dataclass(frozen=True)
class KeptModel:
    """The trained members of one configuration, read from an artifact folder.

    Attributes:
        name: Common part of the names of its files.
        ensemble: All its members.
        preprocessing: Turns the rows of a table into inputs; None for points, whose columns are x1 and x2, and images.
        classes: Class names, in the order of the network's outputs.
        image_shape: Channels, rows and columns of the images that it takes; None if it takes none.
        gains: Xavier gains that the members start with, in turn; more than one in the phase diagram alone.
    """

    name: str
    ensemble: Ensemble
    preprocessing: Preprocessing | None
    classes: tuple[str, ...]
    image_shape: tuple[int, int, int] | None = None
    gains: tuple[float, ...] = (1.0,)

    def inputs(self, rows: pa.Table) -> NDArray[Any]:
        """Return the network's inputs for the rows of a table, float32 `[n, inputs]`; of images their bytes, uint8.

        Raises:
            InputError: If a column is missing, or its values are of another type than in training; of points, also if a
                coordinate is missing or not finite.
        """
        if self.image_shape is not None:
            return images_of(rows["pixels"].combine_chunks()).reshape(len(rows), -1)
        if self.preprocessing is not None:
            return self.preprocessing.apply(rows)
        if not {"x1", "x2"} <= set(rows.column_names):
            message = (
                f"data must have the columns x1 and x2 of points, got {', '.join(rows.column_names[:10])}; add them."
            )
            raise InputError(message)
        return np.stack([_coordinates(rows[name], name) for name in ("x1", "x2")], 1)


def _coordinates(column: pa.ChunkedArray, name: str) -> NDArray[np.float32]:
    try:
        numbers: NDArray[np.float32] = column.cast(pa.float64()).to_numpy().astype(np.float32)
    except pa.ArrowInvalid as error:
        message = f"data must have numbers in the column {name}, got a {column.type}: {error}; mend the column."
        raise InputError(message) from error
    if n_missing := int((~np.isfinite(numbers)).sum()):
        message = (
            f"data must have a finite number in each row of the column {name}, got {n_missing} rows without one; leave "
            "these rows out."
        )
        raise InputError(message)
    return numbers


def kept_model(root: Path, name: str = "", *, of_images: bool = False) -> KeptModel:
    """Read the trained members of one configuration from an artifact folder.

    Args:
        root: The artifact folder.
        name: A part of the names of its files in `models`; if empty, the configuration that the last sweep chose, or
            the one of the last `deep-mlp images`.
        of_images: Whether it is to classify images, and not the rows of a table.

    Raises:
        InputError: If no configuration has that name, or several do; if it takes images and is to classify rows, or the
            other way round; if it was trained on transformed inputs; or if the table that it was trained on is missing.
    """
    files = sorted((root / "models").glob("*.safetensors")) if name else _chosen_files(root, of_images)
    models: dict[str, list[Path]] = {}
    for path in files:
        match = _STEM.fullmatch(path.stem)
        if match and name in path.stem:
            models.setdefault(match["name"], []).append(path)
    if len(models) != 1:
        listed = ", ".join(sorted(models)[:3]) + (", ..." if len(models) > 3 else "")
        message = (
            f"model must name one trained configuration of {root}, got {name!r}, which fits {listed or 'none'}; "
            "`deep-mlp artifacts list` has all names."
        )
        raise InputError(message)
    ((stem, paths),) = models.items()
    config, state = _read(paths)
    if any(transform["kind"] not in ("hold out", "subset") for transform in config["inputs"]):
        message = (
            f"model must take its rows as they are, got {stem}, which was trained on transformed ones; use another."
        )
        raise InputError(message)
    members = root / "members" / f"{paths[0].stem}.parquet"
    preprocessing, classes, takes_images = _learned(root, members, config["layer_sizes"])
    if takes_images != of_images:
        wrong, right = ("data", "images") if takes_images else ("images", "data")
        message = f"{wrong} must be left out with {stem}, which takes {right}; use --{right}."
        raise InputError(message)
    shape = image_shape(config["layer_sizes"][0]) if takes_images else None
    ensemble = Ensemble.from_state(state, config["activation"])
    return KeptModel(stem, ensemble, preprocessing, classes, shape, tuple(config["gains"]))


def _chosen_files(root: Path, of_images: bool) -> list[Path]:
    table = root / (_IMAGES if of_images else _SWEEP)
    if not table.is_file():
        who, what = ("`deep-mlp images`", "trained") if of_images else ("sweep", "chosen")
        message = (
            f"model must be given where no {who} has {what} one, got none in {root}; "
            f"run `deep-mlp {'images' if of_images else 'sweep'}` first."
        )
        raise InputError(message)
    metadata = pq.read_metadata(table).metadata
    beginning = "members/images-"
    if not of_images:
        name = re.sub(r"[^A-Za-z0-9=.-]", "-", json.loads(metadata[b"settings"])["configuration"])
        beginning = f"members/sweep-{name[:100]}-"
    members = (Path(path).stem for path in json.loads(metadata[b"inputs"]) if path.startswith(beginning))
    return [root / "models" / f"{stem}.safetensors" for stem in sorted(members)]


def _read(paths: Sequence[Path]) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """Return the configuration of blocks of members, and their stacked parameters."""
    parts: list[dict[str, torch.Tensor]] = []
    config: dict[str, Any] = {}
    for path in sorted(paths, key=_first_member):
        with safe_open(path, framework="pt") as file:
            config = json.loads(file.metadata()["config"])
            parts.append({key: file.get_tensor(key) for key in file.keys()})  # noqa: SIM118 # no mapping
    return config, {name: torch.cat([part[name] for part in parts]) for name in parts[0]}


def _first_member(path: Path) -> int:
    match = _STEM.fullmatch(path.stem)
    assert match is not None
    return int(match["first"])


def _learned(
    root: Path, members: Path, layer_sizes: Sequence[int]
) -> tuple[Preprocessing | None, tuple[str, ...], bool]:
    """Return what was learned from the table that members were trained on, its classes, and whether it is of images.

    The table is found by the digests of the inputs that the members' file names.
    """
    for path, metadata, columns in _origins(root, members):
        settings = metadata.get("settings", {})
        if "preprocessing" in settings:
            preprocessing = Preprocessing.from_json(settings["preprocessing"])
            return preprocessing, preprocessing.classes, False
        if "pixels" in columns:
            names = pq.read_table(path, columns=["label", "class"]).to_pydict()
            by_label = dict(zip(names["label"], names["class"], strict=True))
            return None, tuple(by_label[label] for label in sorted(by_label)), True
        if {"x1", "x2"} <= columns:
            return None, tuple(str(number) for number in range(layer_sizes[-1])), False
    message = f"the table that {members.stem} was trained on must be in {root / 'tables'}, got none; train again."
    raise InputError(message)


def _origins(root: Path, members: Path) -> Iterator[tuple[Path, Mapping[str, Any], set[str]]]:
    """Yield path, metadata and columns of the tables that members were made from, the nearest first."""
    digests = {file_digest(path): path for path in (root / "tables").glob("*.parquet")}
    waiting = [members]
    while waiting:
        path = waiting.pop()
        if not path.is_file():
            return
        schema = pq.read_schema(path)
        metadata = {key.decode(): value for key, value in (schema.metadata or {}).items()}
        known = {key: json.loads(metadata[key]) for key in ("settings", "inputs") if key in metadata}
        if path != members:
            yield path, known, set(schema.names)
        waiting += [digests[digest] for digest in known.get("inputs", {}).values() if digest in digests]


def predictions(model: KeptModel, rows: pa.Table, member: int | None = None) -> pa.Table:
    """Classify new rows or images with trained networks: one row of predictions for each.

    Args:
        model: The trained networks.
        rows: A table with the columns that they were trained on, in any order; other columns are ignored. For images,
            the table of `mlp_core.data.images.read_images`.
        member: The number of one network, from 0; None for all of them.

    Returns:
        `prediction` is the class of the highest mean probability, `probability` that probability, `disagreement` the
        share of the networks whose own most probable class is another one, 0..1; then the mean probability of each
        class.

    Raises:
        InputError: If there is no such member, or a column is missing or does not fit; without a member, also if the
            members start with several gains: their mean would mix networks that learn with some that cannot.

    Example:
        >>> ensemble = Ensemble([2, 4, 2], "relu", [torch.Generator().manual_seed(seed) for seed in range(3)])
        >>> model = KeptModel("points", ensemble, None, ("left", "right"))
        >>> predictions(model, pa.table({"x1": [0.0, 1.0], "x2": [1.0, 0.0]})).column_names
        ['prediction', 'probability', 'disagreement', 'probability of left', 'probability of right']
    """
    if member is None and len(model.gains) > 1:
        listed = ", ".join(f"{gain:g}" for gain in model.gains)
        message = (
            f"member must be a number with {model.name}, whose networks 0, 1, ... start with the gains {listed} in "
            "turn, got none; choose one with --member."
        )
        raise InputError(message)
    inputs, ensemble = torch.from_numpy(model.inputs(rows)), model.ensemble
    if member is not None:
        if not 0 <= member < ensemble.n_members:
            message = f"member must be from 0 to {ensemble.n_members - 1}, got {member}; leave --member out for all."
            raise InputError(message)
        state = {name: stacked[member : member + 1] for name, stacked in ensemble.state().items()}
        ensemble = Ensemble.from_state(state, ensemble.activation_name)
    means, disagreements = [], []
    for part in torch.split(inputs, _CHUNK):
        part = normalize(part) if model.image_shape else part
        probabilities = torch.softmax(ensemble.logits(part).double(), 1)  # [members, classes, rows]
        mean = probabilities.mean(0)
        means.append(mean.T.numpy())
        disagreements.append((probabilities.argmax(1) != mean.argmax(0)).double().mean(0).numpy())
    mean_probabilities = np.concatenate(means)
    answers = mean_probabilities.argmax(1)
    columns = {
        "prediction": pa.array([model.classes[answer] for answer in answers]),
        "probability": mean_probabilities[np.arange(len(answers)), answers],
        "disagreement": np.concatenate(disagreements),
    }
    columns |= {f"probability of {name}": mean_probabilities[:, place] for place, name in enumerate(model.classes)}
    return pa.table(columns)


def share_right(model: KeptModel, rows: pa.Table, predicted: pa.Table) -> float | None:
    """Return the accuracy of predictions, 0..1; None if the rows have no column with the true class.

    Args:
        model: The networks that made the predictions.
        rows: The rows; the true class is in the column that the networks were trained to predict, or `label` for
            points.
        predicted: What `predictions` returned for the rows.
    """
    target = model.preprocessing.target if model.preprocessing else "label"
    if target not in rows.column_names:
        return None
    wanted = texts_of(rows[target])
    return float(
        np.mean(
            [label == prediction for label, prediction in zip(wanted, predicted["prediction"].to_pylist(), strict=True)]
        )
    )


def share_of_own_folder(model: KeptModel, images: Sequence[str], predicted: pa.Table) -> tuple[int, float]:
    """Return how many images lie in a folder named like a class, and which share of them was taken for that class.

    Of several such folders in a path the last counts.

    Args:
        model: The networks that made the predictions.
        images: Paths of the images, with forward slashes.
        predicted: What `predictions` returned for them.

    Example:
        >>> model = KeptModel("images", Ensemble([2, 2], "relu", [torch.Generator()]), None, ("cat", "dog"))
        >>> share_of_own_folder(model, ["cat/1.png", "x/dog/2.png", "3.png"], pa.table({"prediction": ["cat"] * 3}))
        (2, 0.5)
    """
    right = []
    for path, prediction in zip(images, predicted["prediction"].to_pylist(), strict=True):
        folders = [unicodedata.normalize("NFC", folder) for folder in path.split("/")[:-1]]
        own = [folder for folder in folders if folder in model.classes]
        right += [own[-1] == prediction] if own else []
    return len(right), float(np.mean(right)) if right else 0.0
