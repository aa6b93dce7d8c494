"""A figure's name and a model → an Altair chart → a vega-lite specification."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection

from neurondb.errors import UnknownNameError, UsageError
from neurondb.figures.figure import Figure, Parameter
from neurondb.figures.palette import THEMES, Theme
from neurondb.figures.registry import FIGURES
from neurondb.figures.sizes import Width, resize
from neurondb.figures.themes import apply_theme
from neurondb.name_matching import did_you_mean, quote_word
from neurondb.reading.models import Model, find_model

if TYPE_CHECKING:
    from altair import TopLevelMixin


def find_figure(name: str) -> Figure:
    """Return a figure.

    Raises:
        UsageError: when there is none of that name; names near ones.
    """
    if name not in FIGURES:
        raise UsageError(
            f"no figure {quote_word(name)}{did_you_mean(name, FIGURES)}; `neurondb plot --list` "
            "shows them"
        )
    return FIGURES[name]


def draw_chart(
    connection: Connection, name: str, model: Model | str, **parameters: Any
) -> "TopLevelMixin":
    """Return a figure of a model as an Altair chart, in the colours of the light theme.

    Args:
        connection: an open one.
        name: of the figure.
        model: a model of the database, or its name.
        parameters: those of the figure; whole numbers may be text, None is not given.

    Raises:
        UnknownNameError: when there is no such model or neuron, or nothing to draw yet: which stage
            is missing, and the command that ingests it.
        UsageError: when there is no such figure, or a parameter is missing, unknown or malformed.
    """
    figure = find_figure(name)
    if isinstance(model, str):
        model = find_model(connection, model)
    return figure.draw(connection, model, **_bind_parameters(figure, model, parameters))


def make_spec(
    connection: Connection,
    name: str,
    model: Model | str,
    *,
    theme: Theme = "light",
    width: Width | None = None,
    height: int | None = None,
    **parameters: Any,
) -> dict[str, Any]:
    """Return a figure as a vega-lite specification, its data included.

    Args:
        connection: an open one.
        name: of the figure.
        model: a model of the database, or its name.
        theme: light or dark.
        width: in pixels, of the whole figure; "container" takes the page's where the figure is a
            single view, and is passed over where it is not.
        height: in pixels, of each view.
        parameters: as `draw_chart` takes them.

    Raises:
        UnknownNameError: as `draw_chart` does.
        UsageError: as `draw_chart` does.
    """
    return finish_spec(draw_chart(connection, name, model, **parameters), theme, width, height)


def finish_spec(
    drawn: "TopLevelMixin",
    theme: Theme = "light",
    width: Width | None = None,
    height: int | None = None,
) -> dict[str, Any]:
    """Return a chart as a vega-lite specification in a theme and a size."""
    if theme not in THEMES:
        raise UsageError(f"no theme {quote_word(str(theme))}; there is {', '.join(THEMES)}")
    spec = resize(drawn.to_dict(), width, height)
    return apply_theme({"description": describe_spec(spec)} | spec, theme)


def describe_spec(spec: dict[str, Any]) -> str:
    """Return what a screen reader says of a figure before its axes: its headings, as sentences."""
    title = spec.get("title", {})
    parts = [title] if isinstance(title, str) else [title.get("text"), title.get("subtitle")]
    lines = [line for part in parts for line in (part if isinstance(part, list) else [part])]
    said = [str(line).strip().rstrip(".") for line in lines if line]
    below = [one for key in ("vconcat", "hconcat", "concat") for one in spec.get(key, [])]
    return " ".join([*(f"{line}." for line in said), *map(describe_spec, below)])


def stack_charts(charts: Sequence["TopLevelMixin"]) -> "TopLevelMixin":
    """Return the charts of several models below each other, each with its own colours."""
    import altair

    below: Any = altair.vconcat
    drawn: TopLevelMixin = below(*charts, spacing=36).resolve_scale(color="independent")
    return drawn


def _bind_parameters(figure: Figure, model: Model, given: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of `draw`: converted, checked, layers counted from the end resolved."""
    values = {name: value for name, value in given.items() if value is not None}
    known = {parameter.name: parameter for parameter in figure.parameters}
    for name in values:
        if name not in known:
            raise UsageError(f"{figure.name} has no parameter {name!r}{did_you_mean(name, known)}")
    for parameter in figure.parameters:
        if parameter.required and parameter.name not in values:
            raise UsageError(f"{figure.name} needs {parameter.name}: {parameter.help}")
    bound: dict[str, Any] = {n: _convert(known[n], value) for n, value in values.items()}
    if "layer" in bound:
        bound["layer"] = _resolve_layer(model, bound["layer"])
    if not 0 <= bound.get("neuron", 0) < model.d_mlp:
        raise UnknownNameError(
            f"{model.name} has no neuron {bound['neuron']}: a layer's are 0 to {model.d_mlp - 1}"
        )
    return bound


def _convert(parameter: Parameter, value: Any) -> int | str:
    if parameter.kind is int:
        try:
            return int(value)
        except (TypeError, ValueError):
            raise UsageError(
                f"{parameter.name} is a whole number, not {quote_word(str(value))}"
            ) from None
    text = str(value)
    if parameter.choices and text not in parameter.choices:
        raise UsageError(
            f"{parameter.name} is one of {', '.join(parameter.choices)}, not {quote_word(text)}"
        )
    return text


def _resolve_layer(model: Model, layer: int) -> int:
    if not -model.n_layers <= layer < model.n_layers:
        raise UnknownNameError(
            f"{model.name} has no layer {layer}: its layers are 0 to {model.n_layers - 1}, or "
            f"-{model.n_layers} to -1 from the end"
        )
    return layer % model.n_layers
