"""Every figure of both sample models, and what is said where there is none."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, insert

from neurondb import figures
from neurondb.database import open_existing
from neurondb.errors import LackingModelError, NeuronDBError, UnknownNameError, UsageError
from neurondb.figures.figure import Figure
from neurondb.migrate import create_or_open
from neurondb.schema import tables
from tests.neurondb.figures.specs import GATED, PARAMETERS, UNGATED, specification, values
from tests.support.sample_facts import LAYERS, WIDTH, Sample


@pytest.mark.parametrize("model", [GATED, UNGATED])
@pytest.mark.parametrize("name", list(figures.FIGURES))
def test_every_figure_is_valid_vega_lite(name: str, model: str, sample_engine: Engine) -> None:
    parameters = dict(PARAMETERS.get(name, {}))
    if parameters.get("other") == model:
        parameters["other"] = GATED
    with sample_engine.connect() as connection:
        chart = figures.draw_chart(connection, name, model, **parameters)
        assert chart.to_dict(validate=True)["$schema"].startswith("https://vega.github.io/")
    spec = specification(sample_engine, name, model, **parameters)
    assert figures.render_spec(spec, "svg").startswith(b"<svg")


def test_names_titles_and_descriptions_are_there() -> None:
    for name, figure in figures.FIGURES.items():
        assert isinstance(figure, Figure)
        assert figure.name == name
        assert figure.title[0].isupper()
        assert figure.description.endswith(".")
        assert len({parameter.name for parameter in figure.parameters}) == len(figure.parameters)


def test_charts_are_titled_with_their_model(sample_engine: Engine) -> None:
    title = specification(sample_engine, "classes-by-layer")["title"]
    assert (title["text"], title["subtitle"]) == (
        "Read-write classes by layer",
        ["sample-llama · τ = 0.5"],
    )


@pytest.mark.parametrize(
    ("name", "parameters", "error", "said"),
    [
        ("layer-scater", {}, UsageError, "'layer-scatter'"),
        ("layer-scatter", {}, UsageError, " layer"),
        ("layer-scatter", {"layer": "two"}, UsageError, "'two'"),
        ("layer-scatter", {"layer": 4}, UnknownNameError, "0 to 3"),
        ("layer-scatter", {"layer": -5}, UnknownNameError, "layer -5"),
        ("layer-scatter", {"layer": 0, "neuron": 64}, UnknownNameError, "0 to 63"),
        ("layer-scatter", {"layer": 0, "neuron": -1}, UnknownNameError, "neuron -1"),
        ("layer-scatter", {"layer": 0, "neurn": 1}, UsageError, "'neuron'"),
        ("frequency-against-cosine", {"cosine": "out"}, UsageError, "in_out, gate_out, gate_in"),
        ("frequency-by-class", {"dataset": "no"}, UnknownNameError, "sample"),
        ("token-spikes", {"token": " dgo"}, UnknownNameError, "' dog'"),
        ("token-spikes", {"token": " cat"}, UnknownNameError, "--lm-head --store`"),
        ("comparison-migration", {"other": GATED}, UsageError, f"'{GATED}'"),
        ("comparison-migration", {"other": "none"}, UnknownNameError, "'none'"),
        (
            "neuron-distribution",
            {"layer": 0, "neuron": 0, "scale": "ln"},
            UsageError,
            "linear, log",
        ),
    ],
)
def test_what_cannot_be_drawn_is_one_line(
    name: str,
    parameters: dict[str, Any],
    error: type[NeuronDBError],
    said: str,
    sample_engine: Engine,
) -> None:
    with pytest.raises(error) as raised:
        specification(sample_engine, name, **parameters)
    assert type(raised.value) is error
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)


def test_an_ungated_model_has_one_cosine_only(sample_engine: Engine) -> None:
    with pytest.raises(LackingModelError, match="cosine=in_out"):
        specification(sample_engine, "frequency-against-cosine", UNGATED, cosine="gate_in")


def test_an_unknown_model_is_named(sample_engine: Engine) -> None:
    with pytest.raises(UnknownNameError, match="'sample-llama'"):
        specification(sample_engine, "classes-by-layer", "sample-lama")


def test_whole_numbers_may_be_text_and_layers_count_from_the_end(sample_engine: Engine) -> None:
    last = specification(sample_engine, "layer-scatter", layer=LAYERS - 1)
    assert specification(sample_engine, "layer-scatter", layer="-1") == last


@pytest.fixture
def bare(tmp_path: Path) -> Iterator[Engine]:
    """A database whose one model has nothing but its row, and one dataset."""
    path = str(tmp_path / "bare.db")
    engine = create_or_open(path)
    row = {"model_id": 1, "name": "bare", "source": "org/bare", "architecture": "llama"}
    row |= {"gated": True, "activation": "silu", "n_layers": LAYERS, "d_model": 16}
    row |= {"d_mlp": WIDTH, "d_vocab": 9, "fingerprint": "f", "first_neuron_id": 0}
    row |= {"threshold": 0.5, "dataset_id": None}
    other = row | {"model_id": 2, "name": "other", "first_neuron_id": LAYERS * WIDTH}
    with engine.begin() as connection:
        connection.execute(insert(tables.models), [row, other])
        layers = [{"model_id": 1, "layer": layer} for layer in range(LAYERS)]
        connection.execute(insert(tables.layers), layers)
        tokens = [{"model_id": 1, "token_id": 0, "token": " dog"}]
        connection.execute(insert(tables.tokens), tokens)
    engine.dispose()
    engine = open_existing(path)
    yield engine
    engine.dispose()


_COMMAND = (
    r"`neurondb (ingest|tokens|compare|ablate[a-z-]*|attributes|clamp|concept|entropy|generate"
    r"|universality|neighbours|heads|families) "
)


@pytest.mark.parametrize("name", list(figures.FIGURES))
def test_without_the_stage_the_command_that_ingests_it_is_named(name: str, bare: Engine) -> None:
    parameters = dict(PARAMETERS.get(name, {}))
    parameters.pop("file", None)
    if "other" in parameters:
        parameters["other"] = "other"
    with pytest.raises(UnknownNameError, match=_COMMAND) as raised:
        specification(bare, name, "bare", **parameters)
    assert "\n" not in str(raised.value)


def test_dark_exchanges_colours_and_leaves_the_data(sample_engine: Engine) -> None:
    light = specification(sample_engine, "class-heatmap")
    dark = specification(sample_engine, "class-heatmap", theme="dark")
    assert light["datasets"] == dark["datasets"]
    backgrounds = [spec["config"]["background"] for spec in (light, dark)]
    assert [int(colour[1:3], 16) > 127 for colour in backgrounds] == [True, False]
    assert list(values(light, "range")) != list(values(dark, "range"))


def test_an_unknown_theme_is_refused(sample_engine: Engine) -> None:
    with pytest.raises(UsageError, match=r"'grey'.*light.*dark"):
        specification(sample_engine, "class-heatmap", theme="grey")


def test_a_single_view_takes_the_width_of_its_container(sample_engine: Engine) -> None:
    spec = specification(sample_engine, "classes-by-layer", width="container", height=200)
    assert (spec["width"], spec["height"]) == ("container", 200)


def test_panels_share_a_width(sample_engine: Engine) -> None:
    spec = specification(sample_engine, "median-cosines-by-layer", width=900, height=100)
    assert 200 < spec["spec"]["width"] < 300
    assert spec["spec"]["height"] == 100
    as_it_is = specification(sample_engine, "median-cosines-by-layer", width="container")
    assert as_it_is == specification(sample_engine, "median-cosines-by-layer")


def test_several_models_keep_their_own_colours(sample_engine: Engine) -> None:
    with sample_engine.connect() as connection:
        charts = [figures.draw_chart(connection, "classes-by-layer", m) for m in (GATED, UNGATED)]
    spec = figures.finish_spec(figures.stack_charts(charts), width=300)
    assert [one["width"] for one in spec["vconcat"]] == [300, 300]
    assert spec["resolve"]["scale"]["color"] == "independent"


def test_importing_the_room_loads_neither_altair_nor_torch() -> None:
    code = (
        "import sys, neurondb.figures, neurondb.cli.plot; "
        "print(sorted({'altair', 'vl_convert', 'torch', 'ingest'} & sys.modules.keys()))"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout == "[]\n"


def test_drawing_loads_no_torch(sample: Sample) -> None:
    code = (
        "import sys; from neurondb import figures\n"
        "from neurondb.reading.models import open_readonly\n"
        f"with open_readonly({sample.url!r}) as connection:\n"
        "    spec = figures.make_spec(connection, 'classes-by-layer', 'sample-gpt')\n"
        "figures.render_spec(spec, 'svg')\n"
        "print(sorted({'torch', 'ingest', 'pandas', 'scipy'} & sys.modules.keys()))"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout == "[]\n"
