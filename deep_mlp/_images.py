"""Images as examples for networks: drawn faces, or files of one's own."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from mlp_core.data.augmentation import normalize
from mlp_core.data.datasets import Split
from mlp_core.data.faces import write_faces
from mlp_core.data.images import decode_images
from mlp_core.data.sizes import IMAGE_SIZE


def images(
    source: str | Path | None = None,
    *,
    seed: int = 2021,
    per_class: int = 600,
    image_size: int = IMAGE_SIZE,
    grey: bool = False,
) -> Split:
    """Return labelled images, all scaled to one size, as train and test examples for `train`.

    Args:
        source: A zip or a folder with images in `train/CLASS/` and `val/CLASS/`, or in `CLASS/` alone; None for
            synthetic drawings of cats, dogs and wild animals.
        seed: Root seed of the drawings, and of the cut into train and test images if the source has none.
        per_class: Number of drawings to train on in each class, at least 1; a quarter as many (at least 1) are drawn to
            test on. Not used with a source.
        image_size: Rows, and columns, that each image is brought to: scaled until its shorter side fits, and cut to the
            middle.
        grey: Whether images become grey: one number per pixel instead of three.

    Returns:
        float32 inputs `[n, channels * image_size^2]` in -1 .. 1, in channel, row, column order; classes are the
        folders' names.

    Raises:
        InputError: If the source is no such zip or folder.

    Example:
        >>> data = images(per_class=4)
        >>> data.classes, tuple(data.train_inputs.shape)
        (('cat', 'dog', 'wild'), (12, 3072))
        >>> tuple(images(per_class=1, image_size=28, grey=True).train_inputs.shape)
        (3, 784)
    """
    with TemporaryDirectory() as folder:
        if source is None:
            source = Path(folder, "faces.zip")
            n_test = max(1, per_class // 4)
            write_faces(source, seed=seed, n_train_per_class=per_class, n_val_per_class=n_test, image_size=image_size)
        table = decode_images(Path(source), seed=seed, image_size=image_size, grey=grey)
    pixels = torch.frombuffer(bytearray(b"".join(table["pixels"].to_pylist())), dtype=torch.uint8)
    inputs = normalize(pixels.view(len(table), -1))
    labels = torch.tensor(table["label"].to_pylist())
    is_test = torch.tensor([part == "test" for part in table["split"].to_pylist()])
    names = dict(zip(table["label"].to_pylist(), table["class"].to_pylist(), strict=True))
    classes = tuple(names[label] for label in sorted(names))
    return Split(inputs[~is_test], labels[~is_test], inputs[is_test], labels[is_test], classes)
