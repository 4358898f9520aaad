"""What can be read from a drawn figure, and how runs share the figures that they draw."""

from __future__ import annotations

from contextlib import suppress
from hashlib import sha256
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np
from matplotlib.text import Text

from mlp_core.experiments.drawing import drawn_files
from tasks.helper_process import run_in_helper


def texts(figure: Any) -> str:
    """Return every text of a figure, joined; those of ticks need no drawing, which takes ten times as long."""
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            axis.get_ticklabels(which="both")
    return "\n".join(text.get_text() for text in figure.findobj(Text))


def count_bar_ends(figure: Any) -> int:
    """Return how many ends of error bars a figure draws."""
    ends = [end for axes in figure.axes for bars in axes.containers for end in bars.lines[1]]
    return int(sum(np.isfinite(np.asarray(end.get_ydata(), float)).sum() for end in ends))


def assert_grid_cuts_no_line(figure: Any) -> None:
    """Look that each line across the axes is drawn after their grid."""
    for axes in figure.axes:
        across = [line for line in axes.lines if len(line.get_xdata()) == 2 and len(set(line.get_xdata())) == 1]
        assert across
        assert axes.yaxis.get_gridlines()[0].get_visible()
        assert min(line.get_zorder() for line in across) > axes.yaxis.get_zorder()


class DrawnOnce:
    """Stands for `run_in_helper` where figures are drawn: one of equal data is drawn once for all workers of the tests.

    Many tiny runs are about other things than their figures, and drawing is most of their work: they take the first
    that was drawn of whatever data. Runs with figures of their own take those of equal data alone.
    """

    def __init__(self, folder: Path) -> None:
        """Keep the files of each figure in a folder that the workers share."""
        self._folder = folder
        self.own_figures = False

    def __call__(self, function, draw, *data, checkpoint):
        """Return the files that were drawn, of equal data or of any, or draw them in the helper."""
        checkpoint()
        if function is not drawn_files:
            return run_in_helper(function, draw, *data, checkpoint=checkpoint)
        drawn = self._folder / sha256(ForkingPickler.dumps((function, draw, data))).hexdigest()
        first, taken = self._folder / "first", drawn.with_suffix(".taken")
        if not drawn.exists() and (self.own_figures or not first.exists()):
            partial = Path(mkdtemp(dir=self._folder))
            for ending, content in run_in_helper(function, draw, *data, checkpoint=checkpoint).items():
                (partial / ending).write_bytes(content)
            with suppress(OSError):  # another worker was quicker
                partial.rename(drawn)
            with suppress(FileExistsError):
                first.symlink_to(drawn.name)
        if not self.own_figures:
            with suppress(FileExistsError):  # what was taken once for these data is taken again
                taken.symlink_to((drawn if drawn.exists() else first).name)
        return {file.name: file.read_bytes() for file in sorted((drawn if self.own_figures else taken).iterdir())}
