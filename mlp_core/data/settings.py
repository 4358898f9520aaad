"""What a user can set of the data."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, field_serializer

from mlp_core.addresses import shown_address
from mlp_core.settings import Settings


class ImageSettings(Settings):
    """The images of the experiments that take any."""

    images: Annotated[str, Field(min_length=1)] = "synthetic"
    """Images: synthetic, animal-faces, an http(s) URL of a zip, a local zip or a folder of a folder per class."""
    skip_bad_images: Annotated[int, Field(ge=0, le=1_000_000)] = 0
    """How many image files that cannot be used may be left out; they are named in the log and counted in the report."""

    @field_serializer("images", when_used="json")
    def _without_secrets(self, images: str) -> str:
        """Prefect keeps a run's settings as JSON, for everyone who can open its page."""
        return shown_address(images)


class Spirals(Settings):
    """The spirals: points on arms around the origin, one class per arm."""

    arms: Annotated[int, Field(ge=2, le=100)] = 4
    """Spiral arms, each a class."""
    points: Annotated[int, Field(ge=10, le=1_000_000)] = 1000
    """Points per arm."""
    noise: Annotated[float, Field(ge=0, le=10, allow_inf_nan=False)] = 0.4
    """Noise sigma; its square is the standard deviation at the rim."""
