"""Faces of cats, dogs and wild animals, drawn from random numbers: images where there is no network.

A face is a list of soft shapes in a frame of its own: x to the right, y downwards, z towards the viewer, the head's
half-width about 1. A pose turns that frame and maps it to pixels. What tells the classes apart is their anatomy;
coats, light and backgrounds come from the same palettes.

In every array the image is the last axis: a number per image then needs no reshaping, and the few pixels
that a small shape may touch are long contiguous runs.
"""

from __future__ import annotations

import io
import math
import zipfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

from mlp_core.data.sizes import IMAGE_SIZE

_Floats = npt.NDArray[np.floating[Any]]  # float32 in fact
_Number = _Floats | float
_Point = tuple[_Number, _Number, _Number]
_Window = tuple[slice, slice]

_QUALITY = 90

# Images at a time: many keep numpy's inner loops long, fewer keep a plane of pixels in a core's cache
_CHUNK = 256

# The time of every file in the zip, so that equal seeds give equal bytes
_WRITTEN = (2021, 8, 1, 0, 0, 0)


def _palette(*colours: tuple[int, int, int]) -> _Floats:
    return np.array(colours, dtype=np.float32) / 255


_COATS = _palette(
    (44, 41, 44),  # black
    (88, 86, 90),  # charcoal
    (112, 119, 134),  # blue
    (168, 167, 170),  # silver
    (236, 231, 222),  # white
    (226, 204, 168),  # cream
    (216, 170, 96),  # golden
    (192, 150, 104),  # tan
    (206, 130, 66),  # ginger
    (164, 92, 54),  # red
    (128, 90, 62),  # brown
    (82, 60, 48),  # chocolate
)
_SURROUNDINGS = _palette(
    (96, 128, 72),
    (58, 88, 56),
    (150, 168, 104),
    (140, 176, 206),
    (92, 116, 148),
    (206, 214, 218),
    (176, 150, 118),
    (120, 92, 72),
    (70, 62, 62),
    (196, 120, 104),
    (214, 190, 150),
    (128, 108, 140),
)
_BLACK = _palette((26, 23, 25)).T
_WHITE = _palette((246, 241, 232)).T
_PINK = _palette((208, 134, 126)).T
_TONGUE = _palette((214, 104, 112)).T


@dataclass(frozen=True)
class _Species:
    """The mean face of a class.

    Lengths are in half-widths of the head; radii are half-axes. Shares are of a class's images.

    Attributes:
        coats: How often each of `_COATS` is picked, relative to the others.
        head_height: Radius.
        cheek: Radius.
        pointed_ears: Share with ears like a cat's.
        round_ears: Share with ears like a bear's; all other ears droop.
        eyes: Distance from the middle, y, radius across, radius down.
        eye_tilt: Radians by which the outer corner is higher.
        pupil: Radii relative to the eye's, across and down.
        irises: Colours.
        muzzle: y, radius across, radius down, z.
        long_muzzle: Whether it stands out from the cheeks as one piece.
        nose: y, radius across, radius down.
        nose_bridge: Whether a light, broad ridge leads from the brow to the nose.
        pink_nose: Share.
        tongue: Share that shows it.
        ruff: Share with long hair around the head.
        dark_ruff: Share of ruffs that are darker than the coat.
        stripes: Share.
        spots: Share.
        patches: Share with patches of a second coat.
        whiskers: Share whose whiskers show.
    """

    coats: tuple[float, ...]
    head_height: float
    cheek: float
    pointed_ears: float
    round_ears: float
    eyes: tuple[float, float, float, float]
    eye_tilt: float
    pupil: tuple[float, float]
    irises: _Floats
    muzzle: tuple[float, float, float, float]
    long_muzzle: bool
    nose: tuple[float, float, float]
    nose_bridge: bool
    pink_nose: float
    tongue: float
    ruff: float
    dark_ruff: float
    stripes: float
    spots: float
    patches: float
    whiskers: float


_SPECIES = {
    "cat": _Species(
        coats=(2, 2, 2, 2, 2, 1.5, 1, 1, 2, 1, 1, 1),
        head_height=0.86,
        cheek=0.5,
        pointed_ears=1,
        round_ears=0,
        eyes=(0.43, -0.08, 0.235, 0.2),
        eye_tilt=0.22,
        pupil=(0.4, 0.92),
        irises=_palette((122, 158, 76), (190, 158, 60), (110, 160, 190), (206, 132, 48)),
        muzzle=(0.44, 0.38, 0.25, 0.75),
        long_muzzle=False,
        nose=(0.26, 0.12, 0.085),
        nose_bridge=False,
        pink_nose=0.6,
        tongue=0,
        ruff=0.15,
        dark_ruff=0.1,
        stripes=0.5,
        spots=0.05,
        patches=0.3,
        whiskers=0.8,
    ),
    "dog": _Species(
        coats=(2, 1, 1, 1, 2, 2, 1.5, 2, 1, 1.5, 2, 1.5),
        head_height=0.98,
        cheek=0.36,
        pointed_ears=0.12,
        round_ears=0,
        eyes=(0.37, -0.17, 0.155, 0.15),
        eye_tilt=0,
        pupil=(0.7, 0.75),
        irises=_palette((62, 40, 28), (86, 54, 32), (44, 32, 28), (110, 150, 180)),
        muzzle=(0.46, 0.47, 0.48, 1.15),
        long_muzzle=True,
        nose=(0.3, 0.23, 0.165),
        nose_bridge=False,
        pink_nose=0.05,
        tongue=0.3,
        ruff=0.12,
        dark_ruff=0.1,
        stripes=0.05,
        spots=0.08,
        patches=0.4,
        whiskers=0,
    ),
    "wild": _Species(
        coats=(1, 1, 1, 1.5, 1, 2, 2, 2, 2, 1.5, 1.5, 1.5),
        head_height=0.92,
        cheek=0.46,
        pointed_ears=0,
        round_ears=1,
        eyes=(0.41, -0.18, 0.16, 0.13),
        eye_tilt=0.22,
        pupil=(0.5, 0.75),
        irises=_palette((190, 140, 60), (150, 104, 50), (96, 66, 40), (176, 160, 84)),
        muzzle=(0.53, 0.52, 0.34, 0.95),
        long_muzzle=False,
        nose=(0.36, 0.23, 0.12),
        nose_bridge=True,
        pink_nose=0.3,
        tongue=0,
        ruff=0.35,
        dark_ruff=0.65,
        stripes=0.4,
        spots=0.3,
        patches=0.05,
        whiskers=0.3,
    ),
}


class _Coat(NamedTuple):
    """The colours of a face, `[3, n]` each."""

    main: _Floats
    second: _Floats
    light: _Floats
    dark: _Floats


def write_faces(
    file: Path,
    *,
    seed: int,
    n_train_per_class: int = 2000,
    n_val_per_class: int = 300,
    image_size: int = IMAGE_SIZE,
    map_parts: Callable[[Callable[[_Part], list[bytes]], Sequence[_Part]], Iterable[list[bytes]]] = map,
) -> None:
    """Draw synthetic faces of cats, dogs and wild animals and write them to a zip, laid out as AnimalFaces32x32.

    Each class of the train and of the test images has its own random numbers. Equal arguments give equal bytes.

    Args:
        file: The zip to write; it holds `afhq/{train,val}/{cat,dog,wild}/*.jpg`, RGB.
        seed: Root seed, at least 0.
        n_train_per_class: Train images per class.
        n_val_per_class: Test images per class, in the folder `val`.
        image_size: Rows, and columns, of an image; another size draws other faces, as fine as it allows.
        map_parts: Does what `map` does, perhaps in several processes: each class of train and test images is a part.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     file = Path(folder, "faces.zip")
        ...     write_faces(file, seed=2021, n_train_per_class=20, n_val_per_class=1)
        ...     names = zipfile.ZipFile(file).namelist()
        >>> len(names), names[0], names[-1]
        (63, 'afhq/train/cat/cat_0000.jpg', 'afhq/val/wild/wild_0000.jpg')
    """
    numbers = {"train": n_train_per_class, "val": n_val_per_class}
    parts = [_Part(folder, name, n) for folder, n in numbers.items() for name in _SPECIES]
    with zipfile.ZipFile(file, "w") as archive:
        for part, images in zip(parts, map_parts(partial(_drawn_part, seed, image_size), parts), strict=True):
            for number, image in enumerate(images):
                name = f"afhq/{part.folder}/{part.species}/{part.species}_{number:04d}.jpg"
                archive.writestr(zipfile.ZipInfo(name, _WRITTEN), image)


class _Part(NamedTuple):
    folder: str
    species: str
    n_images: int


def _drawn_part(seed: int, image_size: int, part: _Part) -> list[bytes]:
    from mlp_core.seeds import derive_seed

    stream = np.random.default_rng(derive_seed(seed, "faces", part.folder, part.species))
    chunk = max(1, _CHUNK * IMAGE_SIZE**2 // max(IMAGE_SIZE, image_size) ** 2)
    sizes = [min(chunk, part.n_images - first) for first in range(0, part.n_images, chunk)]
    drawn = (_draw_faces(_SPECIES[part.species], _Draws(n, image_size, stream)) for n in sizes)
    return [_jpeg(image) for images in drawn for image in images]


def _jpeg(image: npt.NDArray[np.uint8]) -> bytes:
    buffer = io.BytesIO()
    # Colour at full resolution: eyes are three pixels wide
    Image.fromarray(image).save(buffer, "JPEG", quality=_QUALITY, subsampling=0)
    return buffer.getvalue()


class _Draws:
    """Random numbers for n images of a size, float32 `[n]` unless said otherwise."""

    def __init__(self, n: int, size: int, stream: np.random.Generator) -> None:
        self.n, self.size = n, size
        self.stream = stream

    def uniform(self, low: float, high: float) -> _Floats:
        return low + (high - low) * self.stream.random(self.n, dtype=np.float32)

    def normal(self, deviation: float) -> _Floats:
        """Draw around 0, nothing beyond two deviations: a face must stay in the image and in one piece."""
        return deviation * self.stream.standard_normal(self.n, dtype=np.float32).clip(-2, 2)

    def around(self, mean: float, spread: float = 0.1) -> _Floats:
        """Draw lengths; the spread is a share of their mean."""
        return mean * (1 + self.normal(spread))

    def chance(self, share: float) -> _Floats:
        """Draw 1 for this share of images and 0 for the others."""
        return (self.stream.random(self.n, dtype=np.float32) < share).astype(np.float32)

    def colour(self, palette: _Floats, weights: Sequence[float] | None = None) -> _Floats:
        """Draw colours `[3, n]`, each near one of a palette's or between two."""
        shares = None if weights is None else np.array(weights) / sum(weights)
        first, second = self.stream.choice(len(palette), (2, self.n), p=shares)
        colour = _mixed(palette[first].T, palette[second].T, self.uniform(0, 0.35))
        tint = 1 + 0.03 * self.stream.standard_normal((3, self.n), dtype=np.float32)
        return (colour * tint * (1 + self.normal(0.08))).clip(0.03, 0.97)

    def noise(self, cells: int) -> _Floats:
        """Draw smooth noise of mean 0 and variance 1, `[size, size, n]`; the fewer cells, the smoother.

        No matrix product, although it would be as fast: its last bits may depend on the number of threads.
        """
        grid = self.stream.standard_normal((cells, cells, self.n), dtype=np.float32)
        position = np.linspace(0, cells - 1, self.size, dtype=np.float32)
        cell = position.astype(np.intp).clip(0, cells - 2)
        turn = (position - cell.astype(np.float32))[:, None, None] * (math.pi / 2)
        # Squares of cosine and sine add up to 1, and so do the variances
        first, second = np.cos(turn), np.sin(turn)
        rows = (grid[cell] * first + grid[cell + 1] * second).transpose(1, 0, 2)
        smooth: _Floats = rows[cell] * first + rows[cell + 1] * second
        return smooth.transpose(1, 0, 2)


class _Canvas:
    """n images in the making: pixels `[3, size, size, n]` in 0..1, the pose of each face, the light on it."""

    def __init__(self, draws: _Draws) -> None:
        self.size = size = draws.size
        self.unit = unit = size / IMAGE_SIZE  # pixels of what is one pixel of 32 in a row
        self.pixels = np.empty((3, size, size, draws.n), dtype=np.float32)
        self.whole: _Window = (slice(0, size), slice(0, size))
        self.centre = (size - 1) / 2
        self.scale = unit * draws.uniform(9, 12)  # pixels
        self.middle_x = self.centre + unit * draws.normal(1.7)
        self.middle_y = self.centre + 2 * unit + unit * draws.normal(1.4)
        self.squash = draws.uniform(0.9, 1.1)
        self.roll = draws.normal(0.13)  # radians, as are yaw and pitch
        yaw, pitch = draws.normal(0.22), draws.normal(0.1)
        self.cos_yaw, self.sin_yaw = np.cos(yaw), np.sin(yaw)
        self.cos_pitch, self.sin_pitch = np.cos(pitch), np.sin(pitch)
        angle, strength = draws.normal(0.9), draws.uniform(0.05, 0.3)
        self.light_x, self.light_y = strength * np.sin(angle), -strength * np.cos(angle)
        self.blur = draws.uniform(0.9, 1.5)  # pixels over which an edge fades

    def place(self, x: _Number, y: _Number, z: _Number) -> tuple[_Floats, _Floats]:
        """Return where a point of the face lies, in pixels `[n]` to the right and down."""
        across = (x * self.cos_yaw + z * self.sin_yaw) * self.squash * self.scale
        down = (y * self.cos_pitch + z * self.sin_pitch) * self.scale
        cosine, sine = np.cos(self.roll), np.sin(self.roll)
        return self.middle_x + cosine * across - sine * down, self.middle_y + sine * across + cosine * down

    def ellipse(
        self,
        point: _Point,
        width: _Number,
        height: _Number,
        colour: _Floats,
        *,
        angle: _Number = 0.0,
        opacity: _Number = 1.0,
        softness: float = 1.0,
        relief: float = 0.0,
        rim: float = 0.0,
        fur: _Floats | None = None,
    ) -> None:
        """Paint an ellipse.

        Args:
            point: Its centre on the face.
            width: Radius.
            height: Radius.
            colour: `[3, n]` or `[3, 1]`.
            angle: By which it is turned clockwise, in radians.
            opacity: 0..1.
            softness: How many times the usual blur its edge has.
            relief: How strongly the light models it.
            rim: By how much it darkens towards its edge, 0..1.
            fur: By how much its edge is nearer or farther at each pixel, in radii `[size, size, n]`.
        """
        x, y = self.place(*point)
        a, b = width * self.squash * self.scale, height * self.scale
        turn = self.roll + angle
        cosine, sine = np.cos(turn), np.sin(turn)
        margin = 1 if fur is None else 1.25
        reach_x = np.hypot(a * cosine, b * sine) * margin + self.blur * softness / 2
        reach_y = np.hypot(a * sine, b * cosine) * margin + self.blur * softness / 2
        window = self.window([x - reach_x, x + reach_x], [y - reach_y, y + reach_y])
        columns, rows = _grid(window, x, y)
        u = columns * (cosine / a) + rows * (sine / a)
        v = rows * (cosine / b) - columns * (sine / b)
        square = u * u
        square += v * v
        inside = np.sqrt(square)
        np.subtract(1, inside, out=inside)
        if fur is not None:
            inside += fur[window]
        inside *= np.sqrt(a * b)
        shade = None
        if relief or rim:
            u *= relief * (self.light_x * cosine + self.light_y * sine)
            v *= relief * (self.light_y * cosine - self.light_x * sine)
            square *= -rim
            shade = np.add(square, u, out=square)
            shade += v
            shade += 1
        self.paint(window, self.cover(inside, opacity, softness), colour, shade)

    def polygon(self, corners: Sequence[_Point], colour: _Floats, *, opacity: _Number = 1.0) -> None:
        """Paint a convex polygon, its corners on the face in turn."""
        x, y = (np.stack(axis) for axis in zip(*(self.place(*corner) for corner in corners), strict=True))
        window = self.window([x - 1, x + 1], [y - 1, y + 1])
        columns, rows = _grid(window, 0, 0)
        side_x, side_y = np.roll(x, -1, 0) - x, np.roll(y, -1, 0) - y
        clockwise = np.sign(side_x[0] * side_y[1] - side_y[0] * side_x[1])
        length = clockwise * np.hypot(side_x, side_y)
        normal_x, normal_y = -side_y / length, side_x / length
        offset = normal_x * x + normal_y * y
        inside = columns * normal_x[0] + (rows * normal_y[0] - offset[0])
        for index in range(1, len(corners)):
            distance = columns * normal_x[index] + (rows * normal_y[index] - offset[index])
            np.minimum(inside, distance, out=inside)
        self.paint(window, self.cover(inside, opacity), colour)

    def stroke(
        self, start: _Point, end: _Point, width: _Number, colour: _Floats, *, opacity: _Number = 1.0, taper: float = 0.0
    ) -> None:
        """Paint a line; `width` is a radius and loses the share `taper` on its way to the end."""
        (x, y), (end_x, end_y) = self.place(*start), self.place(*end)
        radius = width * self.scale
        reach = radius + 1
        window = self.window(
            [x - reach, x + reach, end_x - reach, end_x + reach], [y - reach, y + reach, end_y - reach, end_y + reach]
        )
        columns, rows = _grid(window, x, y)
        step_x, step_y = end_x - x, end_y - y
        square = step_x**2 + step_y**2
        along = (columns * (step_x / square) + rows * (step_y / square)).clip(0, 1)
        aside_x, aside_y = columns - along * step_x, rows - along * step_y
        aside_x *= aside_x
        aside_y *= aside_y
        aside_x += aside_y
        inside = np.sqrt(aside_x, out=aside_x)
        along *= -taper * radius
        along += radius
        np.subtract(along, inside, out=inside)
        self.paint(window, self.cover(inside, opacity), colour)

    def window(self, x: Sequence[_Floats], y: Sequence[_Floats]) -> _Window:
        """Return the rows and columns of pixels that hold these points in all images; empty if none is inside."""
        rows, columns = (
            slice(max(0, math.floor(np.min(axis))), max(0, min(self.size, math.ceil(np.max(axis)) + 1)))
            for axis in (y, x)
        )
        return rows, columns

    def cover(self, inside: _Floats, opacity: _Number, softness: float = 1.0) -> _Floats:
        """Turn distances from an edge, in pixels and positive inside, into shares of pixels covered; in place."""
        inside *= 1 / (softness * self.blur)
        inside += 0.5
        np.clip(inside, 0, 1, out=inside)
        inside *= opacity
        return inside

    def paint(self, window: _Window, cover: _Floats, colour: _Floats, shade: _Floats | None = None) -> None:
        """Lay a colour `[3, n]`, times a shade per pixel, over the pixels of a window."""
        for plane, value in zip(self.pixels, colour, strict=True):
            target = plane[window]
            change = value - target if shade is None else shade * value
            if shade is not None:
                change -= target
            change *= cover
            target += change


def _mixed(first: _Floats, second: _Floats, share: _Number) -> _Floats:
    return first + (second - first) * share


def _grid(window: _Window, x: _Number, y: _Number) -> tuple[_Floats, _Floats]:
    """Return the distances of a window's columns `[columns, n]` and rows `[rows, 1, n]` from a point."""
    rows, columns = (np.arange(axis.start, axis.stop, dtype=np.float32) for axis in window)
    return columns[:, None] - x, rows[:, None, None] - y


def _draw_faces(species: _Species, draws: _Draws) -> npt.NDArray[np.uint8]:
    """Draw n images of a class, uint8 `[n, size, size, 3]`."""
    canvas = _Canvas(draws)
    main, second = draws.colour(_COATS, species.coats), draws.colour(_COATS)
    coat = _Coat(main, second, _mixed(main, _WHITE, draws.uniform(0.35, 0.9)), main * draws.uniform(0.35, 0.65))
    ears = _mixed(main, _mixed(coat.dark, second, draws.chance(0.25)), draws.chance(0.55))
    eyes = (draws.around(species.eyes[0], 0.06), draws.around(species.eyes[1], 0.2))
    pointed = draws.chance(species.pointed_ears)

    _background(canvas, draws)
    fur = _body(canvas, draws, species, coat)
    if species.pointed_ears:
        _pointed_ears(canvas, draws, ears, pointed)
    if species.round_ears:
        _round_ears(canvas, draws, ears, _mixed(coat.dark, coat.light, draws.chance(0.5)))
    _head(canvas, draws, species, main, fur)
    _markings(canvas, draws, species, coat, eyes)
    if species.pointed_ears + species.round_ears < 1:
        _drooping_ears(canvas, draws, ears, 1 - pointed)
    _muzzle(canvas, draws, species, coat)
    _eyes(canvas, draws, species, eyes, coat.dark)
    if species.whiskers:
        _whiskers(canvas, draws, species)
    _foreground(canvas, draws)
    return _exposed(canvas, draws)


def _background(canvas: _Canvas, draws: _Draws) -> None:
    """Fill the image with a gradient and some blots, often in the colours of coats."""
    first, second, blot = (
        _mixed(draws.colour(_SURROUNDINGS), draws.colour(_COATS), draws.uniform(0, 0.9)) for _ in range(3)
    )
    angle = draws.uniform(0, 2 * math.pi)
    columns, rows = _grid(canvas.whole, canvas.centre, canvas.centre)
    slope = columns * (np.cos(angle) / canvas.size) + rows * (np.sin(angle) / canvas.size)
    slope += 0.5
    slope += 0.2 * draws.noise(4)
    canvas.pixels[:] = first[:, None, None]
    canvas.paint(canvas.whole, slope.clip(0, 1), second)
    canvas.paint(canvas.whole, (draws.noise(6) * draws.uniform(0.3, 1) - 0.2).clip(0, 1), blot)


def _body(canvas: _Canvas, draws: _Draws, species: _Species, coat: _Coat) -> _Floats:
    """Paint the shoulders and a ruff; return how the coat roughens an edge."""
    fur = 0.035 * draws.noise(20)
    chest = _mixed(coat.main, coat.light, draws.uniform(0, 1)) * draws.uniform(0.6, 0.9)
    canvas.ellipse(
        (draws.normal(0.3), 1.75, -0.6), draws.around(1.15), draws.around(1), chest, relief=1, rim=0.25, fur=fur
    )
    ruff = _mixed(_mixed(coat.main, coat.light, 0.3), coat.dark, draws.chance(species.dark_ruff))
    canvas.ellipse(
        (0, 0.12, -0.3),
        draws.around(1.42, 0.06),
        draws.around(1.38, 0.06),
        ruff,
        opacity=draws.chance(species.ruff),
        softness=2,
        relief=1.3,
        rim=0.25,
        fur=0.09 * draws.noise(13),
    )
    return fur


def _pointed_ears(canvas: _Canvas, draws: _Draws, colour: _Floats, opacity: _Floats) -> None:
    length, lean = draws.around(1.5, 0.07), draws.uniform(0.62, 0.95)
    inner = _mixed(_mixed(_PINK, colour, draws.uniform(0.1, 0.6)), colour * 0.6, draws.chance(0.4))
    for side in (-1, 1):
        fold = draws.normal(0.06)
        tip = (side * lean + fold, -length, -0.05)
        canvas.polygon([(side, -0.2, -0.1), (side * 0.1, -0.78, -0.1), tip], colour, opacity=opacity)
        tip = (side * lean * 0.97 + fold, -length * 0.88, 0)
        canvas.polygon([(side * 0.86, -0.45, 0), (side * 0.36, -0.78, 0), tip], inner, opacity=0.85 * opacity)


def _round_ears(canvas: _Canvas, draws: _Draws, colour: _Floats, inner: _Floats) -> None:
    radius, apart, height = draws.around(0.32), draws.around(0.76, 0.08), draws.around(0.74, 0.06)
    for side in (-1, 1):
        canvas.ellipse((side * apart, -height, -0.1), radius, radius, colour, relief=1.4, rim=0.2)
        centre = (side * apart * 0.97, 0.05 - height, 0)
        canvas.ellipse(centre, radius * 0.6, radius * 0.6, inner, opacity=0.85, relief=1)


def _drooping_ears(canvas: _Canvas, draws: _Draws, colour: _Floats, opacity: _Floats) -> None:
    length, width, flare = draws.around(0.62, 0.15), draws.around(0.27), draws.uniform(0.1, 0.5)
    for side in (-1, 1):
        centre = (side * (0.86 + 0.3 * flare), 0.78 * length - 0.62, 0.1)
        angle = -side * (flare + draws.normal(0.08))
        canvas.ellipse(centre, width, length, colour, angle=angle, opacity=opacity, relief=1.3, rim=0.25)


def _head(canvas: _Canvas, draws: _Draws, species: _Species, colour: _Floats, fur: _Floats) -> None:
    height, cheek = draws.around(species.head_height, 0.06), draws.around(species.cheek)
    canvas.ellipse((0, 0, 0), draws.around(0.98, 0.04), height, colour, relief=1.6, rim=0.2, fur=fur)
    for side in (-1, 1):
        canvas.ellipse((side * 0.5, 0.32, 0.2), cheek, cheek, colour, softness=2, relief=1, rim=0.12, fur=fur)


def _markings(canvas: _Canvas, draws: _Draws, species: _Species, coat: _Coat, eyes: tuple[_Floats, _Floats]) -> None:
    """Paint patches, spots, stripes, a blaze, a bridge of the nose and rings around the eyes."""
    x, y = canvas.place(0, 0, 0.1)
    columns, rows = _grid(canvas.whole, x, y)
    square = (columns / canvas.scale) ** 2 + (rows / (canvas.scale * species.head_height)) ** 2
    head = (4 * (0.95 - square)).clip(0, 1)
    patches = (3 * (draws.noise(5) - 0.3)).clip(0, 1)
    canvas.paint(canvas.whole, patches * head * (0.9 * draws.chance(species.patches)), coat.second)
    spots = (2.5 * (draws.noise(13) - 0.75)).clip(0, 1)
    canvas.paint(canvas.whole, spots * head * (draws.chance(species.spots) * draws.uniform(0.6, 0.95)), coat.dark)

    width, opacity = draws.uniform(0.05, 0.11), draws.chance(species.stripes) * draws.uniform(0.5, 0.9)
    for across in (-0.3, 0, 0.3):
        brow, crown = (0.75 * across, -0.42, 0.7), (1.2 * across, -0.82, 0.4)
        canvas.stroke(crown, brow, width, coat.dark, opacity=opacity, taper=0.6)
    for side in (-1, 1):
        for down in (0, 0.27, 0.55):
            outer, inner = (side * 0.98, down, 0.1), (side * 0.62, down - 0.01, 0.5)
            canvas.stroke(outer, inner, width, coat.dark, opacity=opacity, taper=0.7)

    canvas.ellipse(
        (0, -0.2, 0.75), draws.uniform(0.08, 0.2), 0.6, coat.light, opacity=0.9 * draws.chance(0.35), softness=2
    )
    if species.nose_bridge:
        bridge = _mixed(coat.dark, coat.light, 0.6)
        canvas.ellipse((0, 0.1, 0.85), draws.around(0.2), draws.around(0.45), bridge, softness=2, relief=1, rim=0.1)
    ring, ring_opacity = _mixed(coat.dark, coat.light, draws.chance(0.3)), 0.75 * draws.chance(0.2)
    for side in (-1, 1):
        canvas.ellipse((side * eyes[0], eyes[1], 0.68), 0.33, 0.3, ring, opacity=ring_opacity, softness=2.5)


def _muzzle(canvas: _Canvas, draws: _Draws, species: _Species, coat: _Coat) -> None:
    """Paint chin, tongue, muzzle, mouth and nose."""
    y, width, height = (draws.around(length, 0.08) for length in species.muzzle[:3])
    depth = draws.around(species.muzzle[3])
    colour = _mixed(coat.main, coat.light, draws.uniform(0, 1))
    chin = colour * 0.9
    colour = _mixed(colour, coat.dark, 0.8 * draws.chance(0.15))
    canvas.ellipse((0, y + 0.55 * height, 0.8 * depth), 0.6 * width, 0.7 * height, chin, relief=1, rim=0.15)
    if species.tongue:
        opacity = draws.chance(species.tongue)
        canvas.ellipse((0, y + 0.95 * height, depth), 0.15, 0.26, _TONGUE, opacity=opacity, relief=0.8, rim=0.2)
    if species.long_muzzle:
        canvas.ellipse((0, y, 0.9 * depth), 0.9 * width, height, colour, relief=1.5, rim=0.18)
    lip = (0.62 if species.long_muzzle else 0.85) * height
    for side in (-1, 1):
        centre = (side * 0.48 * width, y + 0.25 * height, depth)
        canvas.ellipse(centre, 0.56 * width, lip, colour, relief=1.3, rim=0.18)

    nose_y, nose_width, nose_height = (draws.around(length) for length in species.nose)
    line, mouth = coat.dark * 0.5, y + 0.62 * height
    canvas.stroke((0, nose_y, 1.05 * depth), (0, mouth, 1.05 * depth), 0.03, line, opacity=0.8)
    for side in (-1, 1):
        corner = (side * 0.62 * width, mouth + 0.16 * height, 0.95 * depth)
        canvas.stroke((0, mouth, 1.05 * depth), corner, 0.03, line, opacity=0.75)

    colour = _mixed(_mixed(_BLACK, coat.dark, 0.2), _mixed(_PINK, coat.main, 0.25), draws.chance(species.pink_nose))
    tip = 1.08 * depth
    if species.long_muzzle:
        canvas.ellipse((0, nose_y, tip), nose_width, nose_height, colour, relief=1.5)
        gleam = (-0.05, nose_y - 0.45 * nose_height, tip)
        canvas.ellipse(gleam, 0.4 * nose_width, 0.25 * nose_height, _WHITE, opacity=0.45)
    else:
        top, bottom, narrow = nose_y - nose_height, nose_y + nose_height, 0.35 * nose_width
        corners = [(-nose_width, top, tip), (nose_width, top, tip), (narrow, bottom, tip), (-narrow, bottom, tip)]
        canvas.polygon(corners, colour)


def _eyes(canvas: _Canvas, draws: _Draws, species: _Species, eyes: tuple[_Floats, _Floats], dark: _Floats) -> None:
    apart, y = eyes
    width, height = draws.around(species.eyes[2]), draws.around(species.eyes[3], 0.15)
    pupil_width, pupil_height = draws.around(species.pupil[0], 0.2) * width, species.pupil[1] * height
    iris, lid = draws.colour(species.irises), _mixed(_BLACK, dark, 0.3)
    tilt, look_x, look_y = species.eye_tilt + draws.normal(0.07), draws.normal(0.025), draws.normal(0.015)
    for side in (-1, 1):
        x, angle = side * apart, -side * tilt
        canvas.ellipse((x, y, 0.72), 1.28 * width, 1.25 * height, lid, angle=angle, opacity=0.9)
        canvas.ellipse((x, y, 0.74), width, height, iris, angle=angle, relief=0.8)
        canvas.ellipse((x + look_x, y + look_y, 0.76), pupil_width, pupil_height, _BLACK)
        canvas.ellipse((x - 0.06, y - 0.07, 0.78), 0.05, 0.05, _WHITE, opacity=0.85)


def _whiskers(canvas: _Canvas, draws: _Draws, species: _Species) -> None:
    opacity = draws.chance(species.whiskers) * draws.uniform(0.2, 0.6)
    for side in (-1, 1):
        for fan in (-0.12, 0.08, 0.26):
            root, tip = (side * 0.28, 0.44 + 0.3 * fan, 0.85), (side * 1.2, 0.4 + fan + draws.normal(0.06), 0.6)
            canvas.stroke(root, tip, 0.012, _WHITE, opacity=opacity)


def _foreground(canvas: _Canvas, draws: _Draws) -> None:
    """Cover an edge of some images with a blade or a twig before the lens, out of focus."""
    angle, distance, tilt = draws.uniform(0, 2 * math.pi), canvas.unit * draws.uniform(11, 18), draws.normal(0.6)
    columns, rows = _grid(
        canvas.whole, canvas.centre + distance * np.cos(angle), canvas.centre + distance * np.sin(angle)
    )
    across = np.abs(columns * np.cos(angle + tilt) + rows * np.sin(angle + tilt))
    colour = _mixed(draws.colour(_SURROUNDINGS), draws.colour(_COATS), 0.4)
    cover = canvas.cover(canvas.unit * draws.uniform(0.8, 2.5) - across, 0.85 * draws.chance(0.2), softness=2.5)
    canvas.paint(canvas.whole, cover, colour)


def _exposed(canvas: _Canvas, draws: _Draws) -> npt.NDArray[np.uint8]:
    """Add the fall of light, its warmth, the exposure and the noise of a sensor; return bytes `[n, size, size, 3]`."""
    pixels = canvas.pixels
    columns, rows = _grid(canvas.whole, canvas.centre, canvas.centre)
    light = columns * (canvas.light_x / canvas.centre) + rows * (canvas.light_y / canvas.centre)
    light += 1
    warmth, exposure = draws.normal(0.05), 1 + draws.normal(0.13)
    grain = draws.stream.standard_normal(light.shape, dtype=np.float32)
    grain *= draws.uniform(0.004, 0.024)
    speckle = draws.stream.standard_normal(pixels.shape, dtype=np.float32)
    speckle *= draws.uniform(0.003, 0.014)
    for plane, noise, tint in zip(pixels, speckle, (1 + warmth, np.ones_like(warmth), 1 - warmth), strict=True):
        plane *= light
        plane *= exposure * tint
        plane += noise
        plane += grain
    np.clip(pixels, 0, 1, out=pixels)
    pixels *= 255
    pixels += 0.5
    return np.ascontiguousarray(pixels.astype(np.uint8).transpose(3, 1, 2, 0))
