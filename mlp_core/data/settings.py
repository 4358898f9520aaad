"""What a user can set of the data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo, field_serializer

from mlp_core.addresses import ANIMAL_FACES, SYNTHETIC, shown_address
from mlp_core.data.sizes import IMAGE_SIZE, TEST_SHARE, pixel_count
from mlp_core.settings import Settings, choices_or, list_of_names

DRAWN_POINTS = ("spirals", "moons", "circles", "gauss", "xor")
"""Points of two coordinates that a run draws."""
RULED_POINTS = ("circles", "gauss", "xor")
"""Those whose rule gives every point of the plane a class; the moons end, and nothing says what lies beyond."""
BUNDLED_TABLES = ("digits", "wine", "iris", "breast_cancer")
"""Tables that come with scikit-learn."""
IMAGES = "images"
"""What `--data` says where an experiment is to take images."""


def _printable(text: str) -> str:
    if not text.isprintable():
        message = "must hold printable characters alone"
        raise ValueError(message)
    return text


def is_table(data: str) -> bool:
    """Return whether the text of `--data` names a table: one of scikit-learn's, a file or a web address.

    Any text is taken for a table that is neither `images` nor the name of points that a run draws.

    Example:
        >>> is_table("wine"), is_table("mine.csv"), is_table("moons"), is_table("images")
        (True, True, False, False)
    """
    return data not in (*DRAWN_POINTS, IMAGES)


def other_data(settings: Mapping[str, Any]) -> str:
    """Return the data that the settings of a result table name; an empty text for the tutorial's spirals or images.

    Example:
        >>> other_data({"arms": 4}), other_data({"data": "moons"})
        ('', 'moons')
    """
    data = str(settings.get("data", ""))
    return "" if data in (DRAWN_POINTS[0], IMAGES) else data


def other_images(settings: Mapping[str, Any]) -> str:
    """Return in words what a result table's images are apart from the tutorial's; an empty text if they are nothing.

    Args:
        settings: Settings of the table: `images`, and `image_size` and `grey` if they are not the default.

    Example:
        >>> other_images({"images": "synthetic"}), other_images({"images": "mine.zip"})
        ('drawn faces', '')
        >>> other_images({"images": "mine.zip", "image_size": 28, "grey": True})
        'images of 28 x 28 pixels, grey'
    """
    what = "drawn faces" if settings.get("images") == SYNTHETIC else IMAGES
    size = settings.get("image_size", IMAGE_SIZE)
    words = what if size == IMAGE_SIZE else f"{what} of {size} x {size} pixels"
    words += ", grey" * bool(settings.get("grey"))
    return "" if words == IMAGES else words


def _of_tables(value: Any, others: ValidationInfo) -> Any:
    """Refuse what says something of a table where the data are none."""
    data = others.data.get("data", "")
    if value not in ("", (), "refuse") and data and not is_table(data):
        message = f"must be left out with --data {data}, which is no table"
        raise ValueError(message)
    return value


ColumnName = Annotated[str, AfterValidator(_printable)]


class ImageSettings(Settings):
    """The images of the experiments that take any."""

    images: Annotated[str, Field(min_length=1), choices_or("Path or URL", (SYNTHETIC, ANIMAL_FACES))] = SYNTHETIC
    """Images: synthetic, animal-faces, an http(s) URL of a zip, a local zip or a folder of a folder per class."""
    image_size: Annotated[int, Field(ge=8, le=128)] = IMAGE_SIZE
    """Rows and columns of an image, 8 to 128; others are scaled until the shorter side fits, and cut to the middle."""
    grey: bool = False
    """Make the images grey: one number per pixel instead of three."""
    skip_bad_images: Annotated[int, Field(ge=0, le=1_000_000)] = 0
    """How many image files that cannot be used may be left out; they are named in the log and counted in the report."""

    @property
    def n_pixels(self) -> int:
        """Return how many numbers an image has, which are the inputs of a network.

        Example:
            >>> ImageSettings(image_size=28, grey=True).n_pixels
            784
        """
        return pixel_count(self.image_size, grey=self.grey)

    @field_serializer("images", when_used="json")
    def _without_secrets(self, images: str) -> str:
        """Prefect keeps a run's settings as JSON, for everyone who can open its page."""
        return shown_address(images)


class Spirals(Settings):
    """Points that are drawn: the spirals, on arms around the origin, one class per arm; or those that Data names."""

    arms: Annotated[int, Field(ge=2, le=100)] = 4
    """Spiral arms, or clusters of gauss, each a class."""
    points: Annotated[int, Field(ge=10, le=1_000_000)] = 1000
    """Points per arm, or per class of other drawn points."""
    noise: Annotated[float, Field(ge=0, le=10, allow_inf_nan=False)] = 0.4
    """Noise sigma; its square is the standard deviation at the rim."""


class DataSource(Settings):
    """The data of the experiments that take any points or table, and how a table becomes inputs and classes."""

    data: Annotated[
        str,
        Field(min_length=1),
        AfterValidator(_printable),
        choices_or("Path or URL of a file", (*DRAWN_POINTS, *BUNDLED_TABLES, IMAGES)),
    ] = "spirals"
    """Drawn points (spirals, moons, circles, gauss, xor), one of scikit-learn's tables (digits, wine, iris,
    breast_cancer), or the path or http(s) URL of a CSV, Parquet or Arrow file."""
    target: Annotated[ColumnName, AfterValidator(_of_tables)] = ""
    """Column of a table that holds the classes; left out, the last."""
    ignore: Annotated[
        tuple[ColumnName, ...],
        Field(max_length=10_000),
        BeforeValidator(list_of_names),
        AfterValidator(_of_tables),
    ] = ()
    """Columns of a table to leave out."""
    split_column: Annotated[ColumnName, AfterValidator(_of_tables)] = ""
    """Column of a table that says train or test; left out, the rows are split by class, at random."""
    test_share: Annotated[float, Field(ge=0.01, le=0.9, allow_inf_nan=False)] = TEST_SHARE
    """Share of a table's rows that are to test on, if no column says so."""
    split_seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    """Seed of that split; 0 for the root seed."""
    missing: Annotated[Literal["refuse", "mean", "drop"], Field(title="Missing values"), AfterValidator(_of_tables)] = (
        "refuse"
    )
    """What to do with missing values: refuse the table; put the training mean (text then has no level); drop rows."""

    @property
    def label(self) -> str:
        """Return what the data are called in names and titles: of a path or an address the last part.

        Example:
            >>> DataSource(data="https://me:word@host/a/wine.csv?key=1").label, DataSource(data="moons").label
            ('wine.csv', 'moons')
        """
        if self.data in (*DRAWN_POINTS, *BUNDLED_TABLES, IMAGES):
            return self.data
        name = shown_address(self.data).split("?")[0].split("#")[0].rstrip("/").rpartition("/")[2] or "a table"
        return f"file {name}" if name in (*DRAWN_POINTS, *BUNDLED_TABLES, IMAGES) else name

    @field_serializer("data", when_used="json")
    def _without_secrets(self, data: str) -> str:
        """Prefect keeps a run's settings as JSON, for everyone who can open its page."""
        return shown_address(data)
