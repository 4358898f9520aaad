"""Where a run's examples come from: points that are drawn, tables that are read, images that are decoded."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mlp_core.addresses import ANIMAL_FACES, ANIMAL_FACES_URL, SYNTHETIC, is_web_address, shown_address
from mlp_core.artifacts.storage import Artifact
from mlp_core.data.settings import DataSource, Spirals
from mlp_core.experiments.interface import Data
from tasks.context import RunContext
from tasks.data import (
    Examples,
    ImageSource,
    decode_images,
    download_images,
    download_table,
    draw_faces,
    draw_points,
    generate_spirals,
    locate_images,
    locate_table,
    read_examples,
)
from tasks.run_settings import ImageRunSettings


def submit_images(context: RunContext, run: ImageRunSettings) -> Callable[[], Examples]:
    """Submit the tasks that obtain and decode the run's images; return a function that waits for them.

    With the threads runner a task decodes them in the background. With other runners the flow itself decodes them at
    once: another process would need a helper of its own, and another machine does not have the user's files.

    Args:
        context: The run's context.
        run: Says which images: drawn faces, a web address, or a local zip or folder.
    """
    url = ANIMAL_FACES_URL if run.images == ANIMAL_FACES else run.images
    source: Artifact | ImageSource
    if run.images == SYNTHETIC:
        source = draw_faces(context, run.seed, run.image_size)
    elif is_web_address(url):
        source = download_images(context, url)
    else:
        source = locate_images(run.images)
    how = run.skip_bad_images, run.seed, run.image_size, run.grey
    if run.runner == "threads":
        return decode_images.submit(context, source, *how).result
    images = decode_images(context, source, *how)
    return lambda: images


def points(context: RunContext, kind: str, spirals: Spirals, seed: int) -> Examples:
    """Draw points of two coordinates in a task, and return their table.

    Args:
        context: The run's context.
        kind: `spirals`, `moons`, `circles`, `gauss` or `xor`.
        spirals: Number of classes and points, and the noise.
        seed: Root seed.
    """
    if kind == "spirals":
        return generate_spirals(context, spirals, seed)
    return draw_points(context, kind, spirals, seed)


def table(context: RunContext, source: DataSource, seed: int) -> Examples:
    """Read the user's table, download it first if it has a web address, and return its examples.

    The flow's own process reads it, as another machine does not have the user's files.

    Args:
        context: The run's context.
        source: Which table, and how its columns are used.
        seed: Root seed, which decides the split.
    """
    file = download_table(context, source.data) if is_web_address(source.data) else locate_table(source.data)
    return read_examples(context, file, source.model_copy(update={"data": ""}), seed)


def data_of_table(source: DataSource, examples: Examples) -> Data:
    """Return the sizes and classes of a table's examples, with settings for the metadata of result tables."""
    chosen = source.model_dump(mode="json", exclude_defaults=True)
    settings = {**chosen, "data": source.label, "inputs": examples.n_inputs, "classes": len(examples.classes)}
    if examples.remarks:
        settings["data_remarks"] = "; ".join(examples.remarks)
    n_test = examples.table.rows - examples.n_train
    return Data(examples.n_inputs, examples.classes, examples.n_train, n_test, settings, kind="tables")


def data_of_images(run: ImageRunSettings, images: Examples) -> Data:
    """Return the sizes and classes of decoded images, with settings for the metadata of result tables."""
    settings: dict[str, Any] = {"images": shown_address(run.images), "bad_images_left_out": images.describe_skipped()}
    settings |= run.model_dump(include={"image_size", "grey"}, exclude_defaults=True)
    if images.remarks:
        settings["images_remarks"] = "; ".join(images.remarks)
    n_test = images.table.rows - images.n_train
    return Data(images.n_inputs, images.classes, images.n_train, n_test, settings, kind="images")
