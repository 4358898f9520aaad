"""The rows of the table: which methods do which work, and how much slower than ours the others have to be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from benchmarks.measure import (
    JAX,
    JAX_COMPILING,
    JAX_TUNED,
    OURS,
    OURS_ONE_THREAD,
    SKLEARN,
    TORCH_FUNC,
    TUTORIAL,
    TUTORIAL_DECODED,
)
from benchmarks.work import ImageFiles, Work, depth_configs, gain_configs, images_configs, polynomial_configs
from mlp_core.engine.configs import TrainConfig

_QUICK_EPOCHS = {"depth_sweep": 10, "polynomial": 3, "images": 1, "gain_sweep": 1}


@dataclass(frozen=True)
class Comparison:
    """A piece of work, the methods that do it, and the speed-ups required.

    Attributes:
        work: The work, the same for all methods.
        methods: Names of the methods, the project's own first.
        floors: By method, the least ratio of its time per model to the project's.
    """

    work: Work
    methods: tuple[str, ...]
    floors: Mapping[str, float]

    def quick(self) -> Comparison:
        """Return the comparison with fewer epochs, and only with the methods that have a floor."""
        configs = tuple(replace(config, epochs=_QUICK_EPOCHS[config.seed_namespace]) for config in self.work.configs)
        work = replace(self.work, configs=configs, n_alone=2)
        return replace(self, work=work, methods=(OURS, *self.floors))


def spirals_comparisons() -> list[Comparison]:
    """Return the comparisons on spirals: the rows `small`, `several`, `many` and `polynomial`."""
    nets = [config for config in depth_configs() if config.layer_sizes in ((2, 14, 4), (2, 6, 6, 6, 4))]
    (wide,) = polynomial_configs()
    alone = (OURS, TUTORIAL, SKLEARN, JAX_COMPILING, JAX, JAX_TUNED, TORCH_FUNC)
    several = (OURS, OURS_ONE_THREAD, TUTORIAL, JAX_TUNED)
    many = (OURS, OURS_ONE_THREAD, TUTORIAL, SKLEARN, JAX, JAX_TUNED, TORCH_FUNC)
    of_many = [{TUTORIAL: floor, JAX: 10, JAX_TUNED: 2.5, OURS_ONE_THREAD: 1.85} for floor in (400, 350)]
    return [
        *(
            Comparison(_work("small", config, 1), alone, {TUTORIAL: 120, JAX_COMPILING: 1, JAX_TUNED: 1.5})
            for config in nets
        ),
        *(Comparison(_work("several", config, 8), several, {TUTORIAL: 250}) for config in nets),
        *(Comparison(_work("many", config, 128), many, floors) for config, floors in zip(nets, of_many, strict=True)),
        Comparison(_work("polynomial", wide, 1), alone, {TUTORIAL: 30}),
        Comparison(_work("polynomial", wide, 32), many, {TUTORIAL: 150}),
    ]


def images_comparisons(image_files: ImageFiles) -> list[Comparison]:
    """Return the comparisons on images: the rows `images`, `gains` and `augmentation`."""
    (images,) = images_configs(image_files.n_classes)
    gains = gain_configs(image_files.n_classes)
    sizes = "-".join(map(str, gains[0].layer_sizes))
    epoch = Work("augmentation", f"{image_files.n_train:,} images", (images,), 1, image_files, "augment")
    return [
        Comparison(_work("images", images, 1, image_files), (OURS, TUTORIAL), {TUTORIAL: 10}),
        Comparison(Work("gains", f"{sizes}, ten gains", gains, 1, image_files), (OURS, TUTORIAL), {TUTORIAL: 30}),
        Comparison(epoch, (OURS, TUTORIAL, TUTORIAL_DECODED), {TUTORIAL: 15}),
    ]


def _work(row: str, config: TrainConfig, n_members: int, image_files: ImageFiles | None = None) -> Work:
    members = f"{n_members} member{'s' if n_members > 1 else ''}"
    name = f"{'-'.join(map(str, config.layer_sizes))}, {members}"
    return Work(row, name, (config,), n_members, image_files)
