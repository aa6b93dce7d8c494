"""Thousands of neurons as cells where they are dense and points where they are sparse."""

from typing import Final, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy.typing import NDArray

MOST_POINTS: Final = 3000
"""Up to so many neurons, each is drawn as a point."""
SPARSE_POINTS: Final = 800
"""With more neurons, at most so many are points: those of the sparsest cells."""
CELLS: Final = 64
"""How many cells each axis has."""


class Grid(NamedTuple):
    """Cells of one size: from `low`, `n` of width `step`, along x and y."""

    low: tuple[float, float]
    step: tuple[float, float]
    n: int = CELLS

    def cells(
        self, x: Float[np.ndarray, " neurons"], y: Float[np.ndarray, " neurons"]
    ) -> Int[np.ndarray, " neurons"]:
        """Return the number of every neuron's cell, counted row by row from the lower left."""
        column, row = (
            np.clip(((values - low) / step).astype(np.int64), 0, self.n - 1)
            for values, low, step in zip((x, y), self.low, self.step, strict=True)
        )
        return np.asarray(row * self.n + column)

    def corners(self, cells: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return x and y of the lower left corner of cells, given by their numbers."""
        row, column = np.divmod(cells, self.n)
        return self.low[0] + column * self.step[0], self.low[1] + row * self.step[1]


def make_grid(x: tuple[float, float], y: tuple[float, float], n: int = CELLS) -> Grid:
    """Return the grid of n × n cells over a range of x and a range of y."""
    return Grid((x[0], y[0]), ((x[1] - x[0]) / n, (y[1] - y[0]) / n), n)


def choose_points(
    cells: Int[np.ndarray, " neurons"],
    always: Bool[np.ndarray, " neurons"],
    most: int = MOST_POINTS,
    sparse: int = SPARSE_POINTS,
) -> Bool[np.ndarray, " neurons"]:
    """Return which neurons are points: all of a few, else those of the sparsest cells.

    Args:
        cells: cell of every neuron.
        always: neurons that are points wherever they are.
        most: up to so many neurons, each is a point.
        sparse: with more neurons, at most so many are points.
    """
    if len(cells) <= most:
        return np.ones(len(cells), dtype=bool)
    crowd = np.bincount(cells)[cells]
    sizes = np.bincount(crowd)  # neurons in cells of each size
    sparse_enough = np.flatnonzero(np.cumsum(sizes) <= sparse)
    return np.asarray((crowd <= (sparse_enough[-1] if len(sparse_enough) else 0)) | always)


def thin(
    chosen: Bool[np.ndarray, " neurons"], most: int, seed: int = 0
) -> Bool[np.ndarray, " neurons"]:
    """Return which of the chosen neurons are kept: `most` drawn at random where there are more."""
    places = np.flatnonzero(chosen)
    if len(places) <= most:
        return chosen
    thinned = np.zeros_like(chosen)
    thinned[np.random.default_rng(seed).choice(places, most, replace=False)] = True
    return thinned
