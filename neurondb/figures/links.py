"""Where a mark of a chart leads: a neuron's page, or the answer to a `find` expression."""

from urllib.parse import quote

from neurondb.reading.models import Model


def neuron_link(base_url: str, model: Model, layer: int, neuron: int) -> str:
    """Return the address of a neuron's page."""
    return f"{base_url}/neuron/{quote(model.name, safe='')}/{layer}.{neuron}"


def search_link(base_url: str, class_name: str, layer: int, model: Model) -> str:
    """Return the address of the neurons of a class in a layer."""
    expression = f"class={_literal(class_name)} layer={layer} model={_literal(model.name)}"
    return f"{base_url}/search?q={quote(expression, safe='')}"


def _literal(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
