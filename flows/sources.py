"""Where a run's examples come from: spirals that are drawn, images that are decoded."""

from __future__ import annotations

from collections.abc import Callable

from mlp_core.addresses import ANIMAL_FACES, ANIMAL_FACES_URL, SYNTHETIC, is_web_address, shown_address
from mlp_core.artifacts.storage import Artifact
from mlp_core.data.sizes import PIXELS
from mlp_core.experiments.interface import Data
from tasks.context import RunContext
from tasks.data import Examples, ImageSource, decode_images, download_images, draw_faces, locate_images
from tasks.run_settings import ImageRunSettings


def submit_images(context: RunContext, run: ImageRunSettings) -> Callable[[], Examples]:
    """Submit the decoding of the images of the run's source; return what waits for them.

    Unless tasks are threads of this process, the flow itself decodes them, and at once: another process would need a
    helper of its own, and another machine does not have the user's files.
    """
    url = ANIMAL_FACES_URL if run.images == ANIMAL_FACES else run.images
    source: Artifact | ImageSource
    if run.images == SYNTHETIC:
        source = draw_faces(context, run.seed)
    elif is_web_address(url):
        source = download_images(context, url)
    else:
        source = locate_images(run.images)
    if run.runner == "threads":
        return decode_images.submit(context, source, run.skip_bad_images, run.seed).result
    images = decode_images(context, source, run.skip_bad_images, run.seed)
    return lambda: images


def data_of_images(run: ImageRunSettings, images: Examples) -> Data:
    """Return what is known of images once they are read, and what a table of results on them says about them."""
    settings = {"images": shown_address(run.images), "bad_images_left_out": images.describe_skipped()}
    if images.remarks:
        settings["images_remarks"] = "; ".join(images.remarks)
    return Data(PIXELS, images.classes, images.n_train, images.table.rows - images.n_train, settings)
