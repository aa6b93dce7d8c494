"""Draw every figure of a real model: docs/gallery.md, docs/gallery.json, docs/gallery/.

python docs/gallery.py --db FILE    draws them from a database that holds what `COMMANDS` made
python docs/gallery.py --check      exits with 1 when page, pictures and figures do not fit

docs/gallery.json keeps what the numbers of each figure come to, by its own SQL;
tests/ingest/real/test_gallery.py compares them with those of a fresh ingest of the model.
"""

import argparse
import json
import math
import shutil
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

from sqlalchemy import Engine

from neurondb import figures
from neurondb.database import open_existing
from neurondb.sql import run_sql
from neurondb.sql.query_files import parse_query

HERE: Final = Path(__file__).parent
PAGE, NUMBERS, PICTURES = HERE / "gallery.md", HERE / "gallery.json", HERE / "gallery"
MODEL: Final = "smollm2-135m-instruct"
COMMANDS: Final = (
    "neurondb demo --real",
    f'neurondb tokens {MODEL} " dog" --lm-head --store',
    f"neurondb ablate-suite {MODEL} --dataset sampler --max-texts 12 --draw 24",
    f"neurondb ablate-suite {MODEL} --dataset sampler --max-texts 12 --classes weakening",
    f"neurondb entropy {MODEL} --dataset sampler --max-texts 2 --random 10",
    f"neurondb heads {MODEL} --dataset sampler --max-texts 60",
    f"neurondb families {MODEL} --dataset sampler --max-tokens 30000",
    f"neurondb neighbours {MODEL}",
    "neurondb ingest gemma-3-270m-q4_k_m.gguf --name gemma-3-270m --stages weights",
    f"neurondb universality {MODEL} gemma-3-270m --dataset sampler --max-tokens 3000",
    f"neurondb concept {MODEL} dog --candidates 4 --random 20 --sweeps 4",
    f'neurondb clamp {MODEL} 29.808 "My favourite animal is the" --target " dog" '
    "--from -100 --to 100",
    f'neurondb generate {MODEL} "My favourite animal is the" --clamp 29.808=-100 --samples 40 '
    '--max-new-tokens 8 --count " dog" --count " cat"',
)
"""What made the database that the pictures are of."""
SHOWN: Final[dict[str, dict[str, Any]]] = {
    "classes-by-layer": {},
    "class-heatmap": {},
    "class-vectors": {},
    "median-in-out-by-depth": {},
    "median-cosines-by-layer": {},
    "cosine-boxplots": {},
    "layer-scatter": {"layer": 15},
    "layer-scatter-grid": {"layers": "1,9,15,20,26,29"},
    "frequency-histograms": {},
    "frequency-against-cosine": {"layers": "1,9,15,20,26,29"},
    "frequency-by-class": {},
    "neuron-distribution": {"layer": 29, "neuron": 808},
    "token-spikes": {"token": " dog"},
    "vocabulary-moments": {"layer": 29},
    "vocabulary-moments-by-layer": {},
    "logit-effects": {},
    "properties-by-percentile": {"where": "weakening"},
    "properties-by-layer": {"where": "weakening"},
    "families-by-layer": {},
    "family-activations": {},
    "ablation-effects": {},
    "ablation-histogram": {},
    "ablation-histograms": {},
    "ablation-grid": {"drawn": 24},
    "entropy-curves": {},
    "nearest-cosines": {},
    "connection-strengths": {},
    "head-scores": {},
    "head-ablations": {},
    "universality-summary": {},
    "universality-distributions": {},
    "universality-tails": {},
    "concept-effects": {"concept": "dog"},
    "concept-sweeps": {"concept": "dog"},
    "clamp-sweeps": {},
    "generation-shares": {},
}
"""Figure → its parameters, in the order of the page."""
LEFT_OUT: Final = {
    "universality-cases": "of sign cases, which `neurondb universality --sign-cases` matches too",
    "class-paths": "of a series of models that were compared",
    "series-moved": "of a series of models that were compared",
    "series-medians": "of a series of models that were compared",
    "comparison-migration": "of two models that were compared",
    "comparison-cosines": "of two models that were compared",
    "neuron-effects": "of neurons that `neurondb ablate-each` removed one by one",
    "attribute-curves": "of attribute sets that are made of the reader's own texts",
}
"""Figure → why the page has none."""
WEIGHTS_ALONE: Final = (
    *("classes-by-layer", "class-heatmap", "median-in-out-by-depth", "median-cosines-by-layer"),
    *("cosine-boxplots", "layer-scatter", "layer-scatter-grid"),
)
"""Figures of the weights alone, whose numbers are the same wherever the model is ingested."""


def summarise(engine: Engine, name: str, model: str) -> dict[str, Any]:
    """Return how many rows the SQL of a figure gives, and the mean of each column of numbers."""
    with engine.connect() as connection:
        statement = figures.fill_statement(connection, name, model, **SHOWN[name])
    if statement is None:
        return {}
    answer = run_sql(engine, statement, parse_query(statement, name).loose_bindings({}))
    rows = [dict(zip(answer.columns, row, strict=True)) for row in answer.rows]
    means = {}
    for column in answer.columns:
        values = [row[column] for row in rows if isinstance(row[column], int | float)]
        if values and not column.endswith("_id"):
            means[column] = float(f"{math.fsum(values) / len(values):.6g}")
    return {"rows": len(rows), "means": means}


def make_page(numbers: dict[str, Any]) -> str:
    """Return the page, of figures whose numbers are known."""
    commands = "\n".join(f"    {command}" for command in COMMANDS)
    left_out = "\n".join(f"- `{name}`, {why}" for name, why in LEFT_OUT.items())
    parts = [
        "# Gallery",
        "Every figure of `neurondb plot`, drawn from SmolLM2-135M-Instruct (30 layers of 1,536 "
        "neurons, quantised as Q4_1) and the bundled sampler's texts. Made by `python "
        "docs/gallery.py` from the database that these commands fill; [figures.md](figures.md) has "
        "the parameters and the SQL of each, [real-models.md](real-models.md) what the pictures "
        "say.",
        commands,
        *_write_figures(numbers),
        "## Not here",
        left_out,
    ]
    return "\n\n".join(parts) + "\n"


def _write_figures(numbers: dict[str, Any]) -> Iterator[str]:
    for name, parameters in SHOWN.items():
        if name not in numbers:
            continue
        figure = figures.FIGURES[name]
        yield f"## {figure.title}"
        yield f"![{figure.title} of {MODEL}](gallery/{name}.{numbers[name]['form']})"
        yield f"{figure.description} [`{name}`](figures.md#{name})"
        yield f"    {_write_command(name, parameters)}"


def _write_command(name: str, parameters: dict[str, Any]) -> str:
    options = ""
    for key, value in parameters.items():
        text = f'"{value}"' if " " in str(value) else value
        named = key in ("layer", "neuron", "token", "dataset")
        options += f" --{key} {text}" if named else f" --param {key}={text}"
    return f"neurondb plot {name} {MODEL}{options} -o {name}.png"


class Picture(NamedTuple):
    """A picture, as SVG or PNG."""

    form: Literal["svg", "png"]
    content: bytes


def _render(spec: dict[str, Any]) -> Picture:
    """Return the form that takes less room in a repository, which keeps files compressed."""
    svg = figures.render_spec(spec, "svg")
    png = figures.render_spec(spec, "png", 1.5)
    return Picture("svg", svg) if len(zlib.compress(svg)) <= len(png) else Picture("png", png)


def draw(database: str) -> None:
    """Draw all figures, and write page and numbers."""
    shutil.rmtree(PICTURES, ignore_errors=True)
    PICTURES.mkdir()
    engine = open_existing(database)
    numbers = {}
    for name, parameters in SHOWN.items():
        with engine.connect() as connection:
            spec = figures.make_spec(connection, name, MODEL, **parameters)
        picture = _render(spec)
        (PICTURES / f"{name}.{picture.form}").write_bytes(picture.content)
        sums = summarise(engine, name, MODEL)
        numbers[name] = {"parameters": parameters, "form": picture.form, **sums}
        print(name, file=sys.stderr)
    engine.dispose()
    NUMBERS.write_text(json.dumps(numbers, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    PAGE.write_text(make_page(numbers), encoding="utf-8")


def find_faults() -> Iterator[str]:
    """Yield what does not fit: figures without a place, missing pictures, a stale page."""
    for name in figures.FIGURES:
        if (name in SHOWN) == (name in LEFT_OUT):
            yield f"docs/gallery.py: {name} is to stand in SHOWN or in LEFT_OUT"
    numbers = json.loads(NUMBERS.read_text(encoding="utf-8"))
    for name, parameters in SHOWN.items():
        drawn = numbers.get(name)
        if drawn is None or drawn["parameters"] != parameters:
            yield f"docs/gallery.json: {name} was not drawn with these parameters; draw it"
        elif not (PICTURES / f"{name}.{drawn['form']}").is_file():
            yield f"docs/gallery/{name}.{drawn['form']} is missing; draw it"
    if PAGE.read_text(encoding="utf-8") != make_page(numbers):
        yield "docs/gallery.md is not up to date: run `python docs/gallery.py --db FILE`"


def main() -> int:
    """Draw, or look whether what was drawn fits."""
    parser = argparse.ArgumentParser(description="Draw the gallery, or check that it fits.")
    parser.add_argument("--db", help="a database that holds what COMMANDS made")
    parser.add_argument("--check", action="store_true")
    given = parser.parse_args()
    if given.check:
        faults = list(find_faults())
        print(*faults, sep="\n", file=sys.stderr, end="\n" * bool(faults))
        return 1 if faults else 0
    if given.db is None:
        parser.error("give --db FILE or --check")
    draw(given.db)
    return 0


if __name__ == "__main__":
    sys.exit(main())
