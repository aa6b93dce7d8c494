"""The dataset card: front matter for the hub's viewer, then what is in it and how to load it.

Fields of the front matter are those of the hub's dataset cards (`license`, `pretty_name`, `tags`,
`size_categories`, `configs` with `config_name`, `data_files` and `default`).
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from neurondb import __version__
from neurondb.exchange.parquet.card import find_data_files, write_relation
from neurondb.exchange.parquet.layout import CARD
from neurondb.exchange.parquet.manifest import Manifest
from neurondb.exchange.parquet.overview import OVERVIEW
from neurondb.reading.layers import ClassShare
from neurondb.reading.models import Model
from neurondb.reading.provenance import Reading

_TAGS: Final = ("interpretability", "mechanistic-interpretability", "neurons", "neurondb")
_SIZES: Final = (
    (10**3, "n<1K"),
    (10**4, "1K<n<10K"),
    (10**5, "10K<n<100K"),
    (10**6, "100K<n<1M"),
    (10**7, "1M<n<10M"),
    (10**8, "10M<n<100M"),
    (10**9, "100M<n<1B"),
    (10**10, "1B<n<10B"),
)
_NO_LICENCE: Final = "unknown"
"""What the hub calls a licence that nobody has said."""


@dataclass(frozen=True)
class CardOptions:
    """What only the publisher knows.

    Attributes:
        licence: as the hub spells it, such as `apache-2.0`; None is not said.
        tags: beside those that every such dataset has.
        title: the dataset's name for people; None names the models.
        repository: where it will be, `USER/NAME`, for the lines that load it.
    """

    licence: str | None = None
    tags: tuple[str, ...] = ()
    title: str | None = None
    repository: str = "USER/NAME"


@dataclass(frozen=True)
class Statistics:
    """What the card says of a model: where it is from, what it read, its read-write classes."""

    model: Model
    source: str
    reading: Reading | None
    classes: tuple[ClassShare, ...]


def write_hub_card(
    folder: Path,
    manifest: Manifest,
    rows: dict[str, int],
    *,
    options: CardOptions,
    statistics: Sequence[Statistics],
) -> None:
    """Write README.md: `rows` are those of each relation that has any."""
    title = options.title or f"Neurons of {', '.join(manifest.models)}"
    parts = [
        _write_front_matter(rows, options, title),
        f"# {title}",
        "Every neuron of the MLPs of these models: what its weights read and write, which tokens "
        "they mean, how often it fires and on which texts, as far as it was computed. "
        f"Written by NeuronDB {__version__}.",
        _write_models(statistics),
        _write_classes(statistics),
        _write_loading(rows, options.repository),
        _write_import(options.repository) if manifest.complete else "",
        "## Relations",
        "| relation | rows |\n|---|--:|\n"
        + "\n".join(f"| [{name}](#{name}) | {n:,} |" for name, n in rows.items()),
        *(write_relation(name, level=3) for name in rows),
    ]
    text = "\n\n".join(part for part in parts if part)
    (folder / CARD).write_text(text + "\n", encoding="utf-8")


def _write_front_matter(rows: dict[str, int], options: CardOptions, title: str) -> str:
    largest = max(rows.values(), default=0)
    size = next((name for most, name in _SIZES if largest < most), "10B<n<100B")
    lines = [
        "---",
        f"license: {json.dumps(options.licence or _NO_LICENCE)}",
        f"pretty_name: {json.dumps(title, ensure_ascii=False)}",
        "tags:",
        *(f"- {json.dumps(tag, ensure_ascii=False)}" for tag in (*_TAGS, *options.tags)),
        "size_categories:",
        f'- "{size}"',
        "configs:",
    ]
    first = OVERVIEW if OVERVIEW in rows else next(iter(rows), "")
    for name in rows:
        lines += [f"- config_name: {name}", f'  data_files: "{find_data_files(name)}"']
        lines += ["  default: true"] * (name == first)
    return "\n".join((*lines, "---"))


def _write_models(statistics: Sequence[Statistics]) -> str:
    lines = ["| model | read from | layers × neurons | texts | tokens |", "|---|---|--:|---|--:|"]
    for one in statistics:
        model, reading = one.model, one.reading
        revision = f" @ {model.revision[:12]}" if model.revision else ""
        texts = "" if reading is None else f"{reading.dataset} ({reading.n_texts:,})"
        tokens = "" if reading is None or not reading.n_tokens else f"{reading.n_tokens:,}"
        shape = f"{model.n_layers} × {model.d_mlp:,}"
        lines.append(
            f"| {_cell(model.name)} | {_cell(one.source + revision)} | {shape} | {_cell(texts)} | "
            f"{tokens} |"
        )
    return "## Models\n\n" + "\n".join(lines)


def _write_classes(statistics: Sequence[Statistics]) -> str:
    """Return how many neurons of each read-write class every model has."""
    counts = {
        one.model.name: {share.class_name: share.n for share in one.classes}
        for one in statistics
        if one.classes
    }
    names = dict.fromkeys(name for of_model in counts.values() for name in of_model)
    if not names:
        return ""
    head = f"| class | {' | '.join(map(_cell, counts))} |\n|---|{'--:|' * len(counts)}"
    lines = [
        f"| {name} | " + " | ".join(f"{found.get(name, 0):,}" for found in counts.values()) + " |"
        for name in names
    ]
    return "## Read-write classes\n\n" + "\n".join((head, *lines))


def _write_loading(rows: dict[str, int], repository: str) -> str:
    name = "top_tokens" if "top_tokens" in rows else next(iter(rows), OVERVIEW)
    pattern = f"hf://datasets/{repository}/{find_data_files(name)}"
    query = f"SELECT * FROM read_parquet('{pattern}', hive_partitioning = true) LIMIT 5"  # noqa: S608
    return f"""## Load it

A folder is a relation; `neuron_id` joins relations. `model=…` and `layer=…` in paths are columns
for polars and DuckDB (hive partitioning); `datasets` leaves them out.

```python
import datasets, polars as pl

datasets.load_dataset("{repository}", "{name}", split="train", streaming=True)
pl.scan_parquet("{pattern}", hive_partitioning=True).head(5).collect()
```

```sql
-- DuckDB
{query}
```"""


def _write_import(repository: str) -> str:
    """Return how a folder of all relations becomes a database."""
    return f"""As a database again, checked by checksums:

```sh
hf download {repository} --repo-type dataset --local-dir neurons
neurondb import parquet neurons --db neurons.db
```"""


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
