"""`python -m benchmarks`: every row of the table, side by side."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from benchmarks.measure import LONG_REPETITIONS, LONG_ROWS, Bench
from benchmarks.play import measure_play
from benchmarks.report import Results
from benchmarks.rows import images_comparisons, spirals_comparisons
from benchmarks.whole import FLOORS, measure_growth, measure_sweep, measure_tutorial, measure_what_if
from benchmarks.work import ImageFiles, draw_images, unpack_images
from mlp_core.addresses import SYNTHETIC
from mlp_core.errors import InputError

_SPIRALS = ("small", "several", "many", "polynomial")
_IMAGES = ("images", "gains", "augmentation")
_WHOLE = ("tutorial", "cached", "sweep", "what-if", "growth", "play")
_PER_CLASS = 4877, 500  # of three classes: 14,631 and 1,500, as many as AnimalFaces32x32 has, and one more
_QUICK_PER_CLASS = 256, 32


def main() -> int:
    """Measure the chosen rows, write and print the tables, and return the exit status.

    It is 2 for bad images and, in a quick run (`--quick`), 1 if a speed-up is less than half of its floor; else 0.
    """
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure the project next to its peers.")
    names = (*_SPIRALS, *_IMAGES, *_WHOLE)
    parser.add_argument("--rows", nargs="+", choices=names, metavar="NAME", help=f"only these: {', '.join(names)}")
    parser.add_argument("--repetitions", type=int, default=5, metavar="N", help="pairs of runs  [default: 5]")
    parser.add_argument("--images", default=SYNTHETIC, metavar="SOURCE", help=f"a zip of images, or {SYNTHETIC}")
    parser.add_argument("--out", type=Path, default=Path("artifacts/benchmarks"), metavar="DIR", help="for the tables")
    parser.add_argument("--quick", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    rows = options.rows or ((*_SPIRALS, *_IMAGES) if options.quick else names)
    try:
        with tempfile.TemporaryDirectory() as folder, Bench() as bench:
            results = _measure(bench, rows, options.repetitions, options.images, Path(folder), quick=options.quick)
    except InputError as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 2
    results.write(options.out, options.repetitions)
    print((options.out / "RESULTS.md").read_text())
    if not options.quick:
        return 0
    missed = [ratio for ratio in results.ratios() if ratio.median < ratio.floor / 2]
    for ratio in missed:
        speedup = f"{ratio.median:.2f} times faster than {ratio.method}"
        print(f"{ratio.row}, {ratio.work}: {speedup}, must be at least {ratio.floor / 2:g}", file=sys.stderr)
    return int(bool(missed))


def _measure(bench: Bench, rows: Sequence[str], repetitions: int, images: str, folder: Path, *, quick: bool) -> Results:
    @cache
    def image_files() -> ImageFiles:
        if images == SYNTHETIC:
            return draw_images(folder / "images", *(_QUICK_PER_CLASS if quick else _PER_CLASS))
        return unpack_images(Path(images), folder / "images")

    comparisons = spirals_comparisons()
    if not {*_IMAGES}.isdisjoint(rows):
        comparisons += images_comparisons(image_files())
    comparisons = [comparison for comparison in comparisons if comparison.work.row in rows]
    if quick:
        comparisons = [comparison.quick() for comparison in comparisons if "-6-6-6-" not in comparison.work.name]
    bench.warm_up((comparison.work, method) for comparison in comparisons for method in comparison.methods)
    for repetition in range(repetitions):
        bench.measure_limit(repetition)
        wanted = rows if repetition < LONG_REPETITIONS else [row for row in rows if row not in LONG_ROWS]
        for comparison in (comparison for comparison in comparisons if comparison.work.row in wanted):
            for method in comparison.methods:
                bench.run(comparison.work, method, repetition)
        if not {"tutorial", "cached"}.isdisjoint(wanted):
            measure_tutorial(bench, image_files(), repetition)
        if "sweep" in wanted:
            measure_sweep(bench, repetition)
        if "what-if" in wanted:
            measure_what_if(bench, repetition)
        if "growth" in wanted:
            measure_growth(bench, folder, repetition)
        if "play" in wanted:
            measure_play(bench, repetition)
    floors = {
        (comparison.work.row, comparison.work.name, method): floor
        for comparison in comparisons
        for method, floor in comparison.floors.items()
    }
    return Results(bench.runs.values(), floors | FLOORS)


if __name__ == "__main__":
    sys.exit(main())
