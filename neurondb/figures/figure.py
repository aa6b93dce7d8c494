"""What a figure is: a name, what it shows, its parameters, and where it is drawn."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Final

from neurondb.paths import find_folder

if TYPE_CHECKING:
    from altair import TopLevelMixin


_STATEMENTS: Final = Path(__file__).parent / "statements"


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
        together: whether several models are drawn in one chart, by the function `draw_models` of
            the figure's module, rather than in charts below each other.
        query: the named query that has the numbers, where there is one.
    """

    name: str
    title: str
    description: str
    parameters: tuple[Parameter, ...] = ()
    several: bool = False
    together: bool = False
    query: str = ""

    @property
    def draw(self) -> Callable[..., "TopLevelMixin"]:
        """(connection, model, **parameters) → chart, in the colours of the light theme.

        It is the function `draw` of the figure's module, which imports altair.
        """
        return self._find("draw")

    @property
    def draw_models(self) -> Callable[..., "TopLevelMixin"]:
        """(connection, models, **parameters) → one chart of several models; where `together`."""
        return self._find("draw_models")

    @property
    def sql(self) -> str | None:
        """The SELECT whose rows the figure draws, in the form of the files of queries/.

        `:model` and the figure's own parameters stand in it under their names. Where the figure
        draws bins, or other sums over neurons, the rows are what these are made of. It is the file
        of the figure's name in statements/, or the named query; None where the figure draws what
        is not in the database.
        """
        path = _STATEMENTS / f"{self.name}.sql"
        if self.query:
            path = find_folder("queries") / f"{self.query}.sql"
        return path.read_text(encoding="utf-8") if path.exists() else None

    def _find(self, function: str) -> Callable[..., "TopLevelMixin"]:
        module = import_module(f"neurondb.figures.{self.name.replace('-', '_')}")
        found: Callable[..., TopLevelMixin] = getattr(module, function)
        return found


LAYER = Parameter("layer", "layer, from 0; negative ones count from the end", True, int)
LAYERS = Parameter("layers", "layers, as 0,5,-1 or 0-7; by default all, or 48 evenly chosen")
DATASET = Parameter("dataset", "dataset of texts; by default the one that neuron_overview shows")
BASE_URL = Parameter("base_url", "what links begin with, before /neuron and /search")
OTHER = Parameter("other", "the model it is compared with", required=True)
