"""One model as a notebook has it: its sizes, its classes, its figures."""

from typing import TYPE_CHECKING, Any, Final

from neurondb.errors import UnknownNameError
from neurondb.extras import MissingExtraError
from neurondb.reading.layers import count_model_classes
from neurondb.reading.models import ModelSummary

if TYPE_CHECKING:
    from altair import TopLevelMixin

    from neurondb.api.database import Database

SHOWN: Final = ("classes-by-layer", "median-cosines-by-layer")
"""The figures that a model shows of itself, where the extra `site` is there to draw them."""


class StoredModel:
    """A model of a database; in a notebook it shows itself.

    >>> db.model("sample-llama")
    <neurondb.StoredModel sample-llama: 256 neurons in 4 layers>
    """

    def __init__(self, database: "Database", summary: ModelSummary) -> None:
        self.summary: Final = summary
        """Its sizes, the dataset that is shown, and the stages that are complete."""
        self._database = database

    @property
    def name(self) -> str:
        """Its name in the database."""
        return self.summary.model.name

    @property
    def n_by_class(self) -> dict[str, int]:
        """How many neurons belong to each read-write class, in the published order.

        >>> db.model("sample-llama").n_by_class["weakening"]
        7
        """
        with self._database.connect() as connection:
            shares = count_model_classes(connection, self.summary.model)
        return {share.class_name: share.n for share in shares}

    def plot(self, figure: str = SHOWN[0], **parameters: Any) -> "TopLevelMixin":
        """Return a figure of the model as an Altair chart, as `Database.plot` does."""
        return self._database.plot(figure, self.name, **parameters)

    def __repr__(self) -> str:
        model = self.summary.model
        return (
            f"<neurondb.StoredModel {model.name}: {model.n_neurons:,} neurons in "
            f"{model.n_layers} layers>"
        )

    def _repr_html_(self) -> str:
        from neurondb.documents.notebook import write_model

        return write_model(self.summary, self.n_by_class, self._draw_figures())

    def _draw_figures(self) -> list[tuple[str, bytes]]:
        """Return the name and the SVG of each figure shown; none where nothing can be drawn."""
        try:
            return [(figure, self._database.draw_svg(figure, self.name)) for figure in SHOWN]
        except (MissingExtraError, UnknownNameError):  # which says that no weights are ingested
            return []
