"""A dataset for the hub: a card whose front matter is right, rows that become a database again."""

import shutil
import sqlite3
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml

from neurondb.exchange.exports.hub.card import CardOptions
from neurondb.exchange.exports.hub.exporting import export_hub
from neurondb.exchange.parquet.importing import ParquetSource
from neurondb.transfer.copying import copy_into
from neurondb.transfer.databases import open_source
from tests.support.copies import contents
from tests.support.ingested import Silent
from tests.support.sample_facts import Sample

LLAMA = "sample-llama"
CARD = CardOptions("cc-by-4.0", ("llama: 3", "dogs"), "Neurons: a sample", "me/neurons")


@pytest.fixture(scope="module")
def exported(sample: Sample, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hub") / "out"
    with open_source(str(sample.path)) as source:
        export_hub(source, folder, (), CARD, Silent())
    return folder


def front_matter(folder: Path) -> dict[str, Any]:
    text = (folder / "README.md").read_text(encoding="utf-8")
    start, front, _ = text.split("---\n", 2)
    assert start == ""
    found: dict[str, Any] = yaml.safe_load(front)
    return found


def test_the_front_matter_is_that_of_a_dataset_card(exported: Path) -> None:
    front = front_matter(exported)
    assert front["license"] == "cc-by-4.0"
    assert front["pretty_name"] == "Neurons: a sample"
    assert {"llama: 3", "dogs", "interpretability"} <= set(front["tags"])
    assert front["size_categories"] == ["10K<n<100K"]
    names = [one["config_name"] for one in front["configs"]]
    assert set(names) == {path.name for path in exported.iterdir() if path.is_dir()}
    assert [one["config_name"] for one in front["configs"] if one.get("default")] == [
        "neuron_overview"
    ]
    for one in front["configs"]:
        assert list(exported.glob(one["data_files"])), one


def test_the_hubs_own_reader_takes_the_card(exported: Path) -> None:
    hub = pytest.importorskip("huggingface_hub")
    card = hub.DatasetCard.load(exported / "README.md")
    assert card.data.license == "cc-by-4.0"
    assert card.data.pretty_name == "Neurons: a sample"


def test_the_card_has_models_classes_and_how_to_load(sample: Sample, exported: Path) -> None:
    text = (exported / "README.md").read_text(encoding="utf-8")
    weakening = sum(n["class"] == "weakening" and n["model"] == LLAMA for n in sample.neurons)
    assert f"| weakening | {weakening} | " in text
    assert "hf://datasets/me/neurons/top_tokens/**/*.parquet" in text
    assert "neurondb import parquet" in text
    assert "\n### top_tokens\n" in text


def test_a_relation_is_read_as_the_card_says(sample: Sample, exported: Path) -> None:
    pattern = f"{exported}/neuron_overview/**/*.parquet"
    overview = pl.scan_parquet(pattern, hive_partitioning=True).collect()
    assert len(overview) == len(sample.neurons)


def test_it_becomes_the_same_database_without_directories(
    sample: Sample, exported: Path, tmp_path: Path
) -> None:
    copy_into(ParquetSource(exported), str(tmp_path / "again.db"), Silent())
    again, before = contents(tmp_path / "again.db"), contents(sample.path)
    assert again.keys() == before.keys()
    different = {name for name in before if again[name] != before[name]}
    assert different <= {"models", "dataset_rows"}


def test_directories_of_this_machine_are_left_out(sample: Sample, tmp_path: Path) -> None:
    database = Path(shutil.copy(sample.path, tmp_path / "copy.db"))
    with sqlite3.connect(database) as connection:
        connection.execute("UPDATE models SET source = '/home/secret/model'")
        connection.execute("UPDATE dataset_rows SET source = 'C:\\secret\\texts.jsonl'")
    with open_source(str(database)) as source:
        export_hub(source, tmp_path / "out", ("models", "datasets"), CARD, Silent())
    assert "secret" not in (tmp_path / "out/README.md").read_text(encoding="utf-8")
    models = pl.read_parquet(tmp_path / "out/models/data.parquet")
    assert set(models["source"]) == {"model"}
    (file,) = (tmp_path / "out").glob("dataset*/data.parquet")
    assert set(pl.read_parquet(file)["source"]) == {"texts.jsonl"}


def test_a_licence_that_nobody_said_is_unknown(sample: Sample, tmp_path: Path) -> None:
    with open_source(str(sample.path), (LLAMA,)) as source:
        export_hub(source, tmp_path / "out", ("models",), CardOptions(), Silent())
    front = front_matter(tmp_path / "out")
    assert (front["license"], front["size_categories"]) == ("unknown", ["n<1K"])
    assert front["pretty_name"] == "Neurons of sample-llama"
    assert "USER/NAME" in (tmp_path / "out/README.md").read_text(encoding="utf-8")
    assert "neurondb import" not in (tmp_path / "out/README.md").read_text(encoding="utf-8")
