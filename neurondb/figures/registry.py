"""The figures by name. A new one is a module with a `FIGURE`, and its name in the list."""

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Final

from neurondb.figures.figure import Figure

NAMES: Final = (
    "median-cosines-by-layer",
    "classes-by-layer",
    "class-heatmap",
    "cosine-boxplots",
    "layer-scatter",
    "frequency-against-cosine",
    "frequency-by-class",
    "neuron-distribution",
    "token-spikes",
    "comparison-migration",
    "comparison-cosines",
    "vocabulary-moments",
    "ablation-effects",
    "ablation-histogram",
    "neuron-effects",
    "attribute-curves",
    "clamp-sweeps",
    "concept-effects",
    "concept-sweeps",
)
"""Figures in the order of their list; each is the module of its name, with underscores."""


class _Figures(Mapping[str, Figure]):
    """Name → figure; its module, and with it altair, is imported when it is looked up."""

    def __getitem__(self, name: str) -> Figure:
        if name not in NAMES:
            raise KeyError(name)
        module = import_module(f"neurondb.figures.{name.replace('-', '_')}")
        figure = module.FIGURE
        assert isinstance(figure, Figure)
        return figure

    def __iter__(self) -> Iterator[str]:
        return iter(NAMES)

    def __len__(self) -> int:
        return len(NAMES)


FIGURES: Final[Mapping[str, Figure]] = _Figures()
