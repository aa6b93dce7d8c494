"""What a figure is: a name, what it shows, its parameters, and where it is drawn."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from altair import TopLevelMixin


@dataclass(frozen=True)
class Parameter:
    """A parameter of a figure, besides the model.

    Attributes:
        name: name of the keyword argument of `draw`.
        help: what it means, in one line.
        required: whether there is no figure without it.
        kind: int or str; an int may come as text.
        choices: the only values, if not empty; the first is the default.
    """

    name: str
    help: str
    required: bool = False
    kind: type[int] | type[str] = str
    choices: tuple[str, ...] = ()

    @property
    def usage(self) -> str:
        """The name as a list of parameters shows it: in brackets when optional."""
        return self.name if self.required else f"[{self.name}]"


@dataclass(frozen=True)
class Figure:
    """One figure.

    Attributes:
        name: what commands and addresses call it.
        title: a line for a heading.
        description: one sentence, with the paper's figure that it follows.
        parameters: its parameters besides the model.
        several: whether the charts of several models make sense in one file.
    """

    name: str
    title: str
    description: str
    parameters: tuple[Parameter, ...] = ()
    several: bool = False

    @property
    def draw(self) -> Callable[..., "TopLevelMixin"]:
        """(connection, model, **parameters) → chart, in the colours of the light theme.

        It is the function `draw` of the figure's module, which imports altair.
        """
        module = import_module(f"neurondb.figures.{self.name.replace('-', '_')}")
        draw: Callable[..., TopLevelMixin] = module.draw
        return draw


LAYER = Parameter("layer", "layer, from 0; negative ones count from the end", True, int)
DATASET = Parameter("dataset", "dataset of texts; by default the one that neuron_overview shows")
BASE_URL = Parameter("base_url", "what links begin with, before /neuron and /search")
OTHER = Parameter("other", "the model it is compared with", required=True)
