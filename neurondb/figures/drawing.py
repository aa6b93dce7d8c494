"""A figure's name and a model → an Altair chart → a vega-lite specification."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection

from neurondb.errors import UnknownNameError, UsageError
from neurondb.figures.figure import Figure, Parameter
from neurondb.figures.palette import THEMES, Theme
from neurondb.figures.registry import FIGURES
from neurondb.figures.sizes import Width, resize
from neurondb.figures.themes import apply_theme
from neurondb.name_matching import quote_word, suggest_names
from neurondb.neurons import (
    NeuronPlace,
    is_expert_number,
    parse_layers,
    parse_neuron,
    parse_neurons,
)
from neurondb.reading.models import Model, find_model, find_neuron_id, locate_place
from neurondb.sql.query_files import set_defaults

if TYPE_CHECKING:
    from altair import TopLevelMixin


def find_figure(name: str) -> Figure:
    """Return a figure.

    Raises:
        UsageError: when there is none of that name; the message has similar names.
    """
    if name not in FIGURES:
        raise UsageError(
            f"no figure {quote_word(name)}{suggest_names(name, FIGURES)}; `neurondb plot --list` "
            "shows them"
        )
    return FIGURES[name]


def draw_chart(
    connection: Connection, name: str, model: Model | str, **parameters: Any
) -> "TopLevelMixin":
    """Return a figure of a model as an Altair chart, in the colours of the light theme.

    Args:
        connection: an open connection.
        name: name of the figure.
        model: a model of the database, or its name.
        parameters: the figure's parameters; whole numbers may be text, None leaves one out.

    Raises:
        UnknownNameError: when there is no such model or neuron, or nothing to draw yet: which stage
            is missing, and the command that ingests it.
        UsageError: when there is no such figure, or a parameter is missing, unknown or malformed.
    """
    figure = find_figure(name)
    if isinstance(model, str):
        model = find_model(connection, model)
    return figure.draw(connection, model, **_bind_parameters(figure, model, parameters))


def draw_models(
    connection: Connection, name: str, models: Sequence[Model | str], **parameters: Any
) -> "TopLevelMixin":
    """Return a figure of one model or several: in one chart, or in charts below each other.

    Takes and raises what `draw_chart` does.
    """
    figure = find_figure(name)
    if not figure.together or len(models) == 1:
        charts = [draw_chart(connection, name, model, **parameters) for model in models]
        return charts[0] if len(charts) == 1 else stack_charts(charts)
    found = [find_model(connection, m) if isinstance(m, str) else m for m in models]
    bound = [_bind_parameters(figure, model, parameters) for model in found]
    return figure.draw_models(connection, found, **bound[0])


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
        connection: an open connection.
        name: name of the figure.
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
    chart: "TopLevelMixin",
    theme: Theme = "light",
    width: Width | None = None,
    height: int | None = None,
) -> dict[str, Any]:
    """Return a chart as a vega-lite specification in a theme and a size."""
    if theme not in THEMES:
        raise UsageError(f"no theme {quote_word(str(theme))}; there is {', '.join(THEMES)}")
    spec = resize(chart.to_dict(), width, height)
    return apply_theme({"description": describe_spec(spec)} | spec, theme)


def describe_spec(spec: dict[str, Any]) -> str:
    """Return the headings of a figure as sentences, which a screen reader says before its axes."""
    title = spec.get("title", {})
    parts = [title] if isinstance(title, str) else [title.get("text"), title.get("subtitle")]
    lines = [line for part in parts for line in (part if isinstance(part, list) else [part])]
    sentences = [str(line).strip().rstrip(".") for line in lines if line]
    panels = [panel for key in ("vconcat", "hconcat", "concat") for panel in spec.get(key, [])]
    return " ".join([*(f"{line}." for line in sentences), *map(describe_spec, panels)])


def fill_statement(
    connection: Connection, name: str, model: Model | str, **parameters: Any
) -> str | None:
    """Return the SELECT of a figure with a model and parameters as defaults in its header.

    `neurondb sql` then runs it as it is. None, and what is raised, as `Figure.sql` and `draw_chart`
    have it.
    """
    figure = find_figure(name)
    if isinstance(model, str):
        model = find_model(connection, model)
    bound = _bind_parameters(figure, model, parameters) | {"model": model.name}
    if "layers" in bound:
        bound["layers"] = ",".join(map(str, bound["layers"]))
    return None if figure.sql is None else set_defaults(figure.sql, bound)


def stack_charts(charts: Sequence["TopLevelMixin"]) -> "TopLevelMixin":
    """Return the charts of several models below each other, each with its own colours."""
    import altair

    concatenate: Any = altair.vconcat
    chart: TopLevelMixin = concatenate(*charts, spacing=36).resolve_scale(color="independent")
    return chart


def _bind_parameters(figure: Figure, model: Model, parameters: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of `draw`: converted, checked, layers counted from the end resolved."""
    values = {name: value for name, value in parameters.items() if value is not None}
    by_name = {parameter.name: parameter for parameter in figure.parameters}
    for name in values:
        if name not in by_name:
            raise UsageError(
                f"{figure.name} has no parameter {name!r}{suggest_names(name, by_name)}"
            )
    for parameter in figure.parameters:
        if parameter.required and parameter.name not in values:
            raise UsageError(f"{figure.name} needs {parameter.name}: {parameter.help}")
    bound: dict[str, Any] = {n: _convert(by_name[n], value) for n, value in values.items()}
    if "layer" in bound:
        bound["layer"] = _resolve_layer(model, bound["layer"])
    if "layers" in bound:
        layers = (_resolve_layer(model, layer) for layer in parse_layers(bound["layers"]))
        bound["layers"] = tuple(sorted(set(layers)))
    if "neurons" in bound:
        bound["neurons"] = ",".join(_name_neurons(model, parse_neurons(bound["neurons"])))
    if "neuron" in bound:
        bound["neuron"] = _resolve_neuron(model, bound.get("layer"), bound["neuron"])
    return bound


def _name_neurons(model: Model, places: Sequence[NeuronPlace]) -> Iterator[str]:
    for place in places:
        _resolve_layer(model, place.layer)
        if place.expert is None:
            _check_neuron(model, place.neuron)
        yield model.name_neuron(find_neuron_id(model, *place))


def _check_neuron(model: Model, neuron: int) -> None:
    if not 0 <= neuron < model.d_mlp:
        raise UnknownNameError(
            f"{model.name} has no neuron {neuron}: a layer's are 0 to {model.d_mlp - 1}"
        )


def _resolve_neuron(model: Model, layer: int | None, neuron: int | str) -> int:
    """Return the number in its layer of a neuron that is given so, or as EXPERT.NUMBER."""
    if isinstance(neuron, int):
        _check_neuron(model, neuron)
    if layer is None:
        return 0 if isinstance(neuron, str) else neuron  # a figure that needs one says so
    return locate_place(model, parse_neuron(f"{layer}.{neuron}")).neuron


def _convert(parameter: Parameter, value: Any) -> int | str:
    if parameter.name == "neuron" and is_expert_number(str(value)):
        return str(value)
    if parameter.kind is int:
        try:
            return int(value)
        except (TypeError, ValueError):
            raise UsageError(
                f"{parameter.name} is a whole number, not {quote_word(str(value))}"
            ) from None
    text = ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
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
