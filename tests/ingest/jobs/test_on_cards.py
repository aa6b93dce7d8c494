"""Every job on cards that are as strict as CUDA: it runs through, and stores what a processor does.

What these cards cannot tell is whether CUDA has a kernel for a type, and how fast it is.
"""

import dataclasses
import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, nullcontext
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest
import torch

from neurondb.contracts.ablate import AblationRequest
from neurondb.contracts.attributes import AttributeRateRequest
from neurondb.contracts.clamp import ClampRequest
from neurondb.contracts.concept import ConceptRequest, ConceptSettings
from neurondb.contracts.entropy import EntropyRequest
from neurondb.contracts.families import FamiliesRequest, FamilySettings
from neurondb.contracts.generate import Clamp, GenerateRequest, SampleRequest, Sampling
from neurondb.contracts.heads import HeadsRequest
from neurondb.contracts.ingest import IngestRequest
from neurondb.contracts.inputs import Machine, NeuronSelection, TextsRequest
from neurondb.contracts.neighbours import NeighboursRequest
from neurondb.contracts.prompt import PromptRequest
from neurondb.contracts.registry import load_job
from neurondb.contracts.single_neuron import EffectRequest
from neurondb.contracts.tokens import LmHeadRequest
from neurondb.contracts.universality import UniversalityRequest
from neurondb.interventions import Condition, Treatment
from neurondb.neurons import NeuronPlace
from tests.support.ingested import TEXTS, Silent, fresh, random_model, text_file
from tests.support.pretend_card import pretend_cards

ON_CUDA = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")

CPU, CARD = "cpu", "cuda"
PROMPT = "Once upon a time there was a little"
PLACES = tuple(NeuronPlace(layer, n) for layer in (0, 1) for n in range(0, 30, 3))
SOME = NeuronSelection("neurons", ",".join(place.name for place in PLACES))
TEXT = tuple(text.strip() for text in TEXTS)
LEFT_OUT: Final = frozenset(
    {"seconds", "device", "request", "fingerprint", "settings", "options", "digest"}
    | {"created_at", "finished_at", "started_at"}
)
"""Columns that tell of the run rather than of the model."""


def texts() -> TextsRequest:
    """Return the texts of all jobs."""
    return TextsRequest(str(text_file(TEXT)), max_len=24)


def ingest(name: str, database: Path, device: str, family: str = "llama") -> None:
    """Ingest a family's random model, all stages."""
    request = IngestRequest(
        model=str(random_model(family)),
        name=name,
        database=str(database),
        dataset=str(text_file(TEXT)),
        stages=("weights", "vocab", "activations", "peaks", "traces"),
        token_stats=10,
        device=device,
        dtype="float32",
    )
    load_job("ingest")(request, Silent())


@cache
def ready() -> Path:
    """Return a database of two models, ingested on the processor; to be copied."""
    path = fresh("cards") / "n.db"
    ingest("m", path, CPU)
    ingest("other", path, CPU, family="mistral")
    return path


def copy(tmp_path: Path, device: str) -> Path:
    """Return a copy of it for a device."""
    path = tmp_path / f"{device}.db"
    with closing(sqlite3.connect(ready())) as source, closing(sqlite3.connect(path)) as target:
        source.backup(target)
    return path


Ask = Callable[[Machine, Path], Any]


def ask_to_prompt(machine: Machine, _: Path) -> Any:
    """Explain a prompt with gradients, steered."""
    how = {"at": "all", "with_gradient": True, "clamps": (Clamp(PLACES[3], 2.0),)}
    return load_job("prompt")(PromptRequest(machine, PROMPT, **how), Silent())  # type: ignore[arg-type]


def ask_to_clamp(machine: Machine, _: Path) -> Any:
    """Hold a neuron at some values."""
    return load_job("clamp")(ClampRequest(machine, PROMPT, PLACES[:1], (-3.0, 4.0)), Silent())


def ask_to_generate(machine: Machine, _: Path) -> Any:
    """Generate greedily with and without clamps."""
    request = GenerateRequest(
        machine,
        PROMPT,
        (Clamp(PLACES[3], 25.0),),
        sampling=Sampling(greedy=True),
        max_new_tokens=5,
        side_by_side=True,
    )
    return list(load_job("generate")(request))


def ask_to_sample(machine: Machine, _: Path) -> Any:
    """Draw continuations: other ones on each kind of device, so only that there are any."""
    request = GenerateRequest(machine, PROMPT, (Clamp(PLACES[3], 5.0),), max_new_tokens=3)
    return len(list(load_job("sample")(SampleRequest(request, 4, ("the",)), Silent())))


def ask_to_ablate(machine: Machine, _: Path) -> Any:
    """Ablate some neurons in one sign case, with a baseline."""
    treatment = Treatment("zero", condition=Condition(1, 1))
    request = AblationRequest(
        machine.model,
        SOME,
        texts(),
        treatment,
        baseline=2,
        device=machine.device,
        dtype=machine.dtype,
        database=machine.database,
    )
    return load_job("ablate")(request, Silent()).n_new


def ask_to_ablate_each(machine: Machine, _: Path) -> Any:
    """Ablate neurons one by one."""
    return load_job("ablate-each")(_each(machine, 6), Silent()).n_new


def ask_to_attribute(machine: Machine, _: Path) -> Any:
    """Attribute a metric to neurons by gradients."""
    return load_job("attribute")(_each(machine, 6), Silent()).n_new


def _each(machine: Machine, n: int) -> EffectRequest:
    chosen = NeuronSelection("neurons", ",".join(place.name for place in PLACES[:n]))
    return EffectRequest(
        machine.model,
        texts(),
        ("loss", "entropy"),
        chosen,
        device=machine.device,
        dtype=machine.dtype,
        database=machine.database,
    )


def ask_for_entropy(machine: Machine, _: Path) -> Any:
    """Fix neurons at values, with the final norm free and frozen."""
    request = EntropyRequest(machine, PLACES[:2], (-2.0, 2.0), texts(), n_baseline=2)
    return load_job("entropy")(request, Silent())


def ask_for_attributes(machine: Machine, directory: Path) -> Any:
    """Measure the rate of attributes."""
    prompts, sets = directory / "prompts.json", directory / "sets.json"
    prompts.write_text(
        json.dumps([{"subject": "Ben", "prompt": "Once there was Ben", "attribute": "dog"}]),
        encoding="utf-8",
    )
    sets.write_text(json.dumps({"Ben": ["dog", "cat", "ball"]}), encoding="utf-8")
    request = AttributeRateRequest(machine, prompts, sets, SOME, baseline=1, top_k=20)
    return load_job("attributes")(request, Silent())


def ask_for_universality(machine: Machine, _: Path) -> Any:
    """Compare two models' activations, in every sign case."""
    request = UniversalityRequest(machine, ("other",), texts(), sign_cases=True)
    return load_job("universality")(request, Silent()).run_id


def ask_for_neighbours(machine: Machine, _: Path) -> Any:
    """Compare all neurons' weights."""
    request = NeighboursRequest(
        machine.model, machine.database, n_top=4, n_directions=64, device=machine.device
    )
    return load_job("neighbours")(request, Silent()).run_id


def ask_for_heads(machine: Machine, _: Path) -> Any:
    """Score heads, and ablate their paths."""
    request = HeadsRequest(machine, texts(), n_random=100, n_pairs=2)
    return load_job("heads")(request, Silent()).run_id


def ask_for_families(machine: Machine, _: Path) -> Any:
    """Test families of neurons."""
    settings = FamilySettings(n_words=4, min_count=3, least_score=0.0, tagger=None)
    return load_job("families")(FamiliesRequest(machine, texts(), settings), Silent()).run_id


def ask_for_tokens(machine: Machine, _: Path) -> Any:
    """Decode tokens from every neuron."""
    request = LmHeadRequest(machine.model, (5, 300), machine.database, device=machine.device)
    return load_job("tokens")(request, Silent())


def ask_for_concepts(machine: Machine, _: Path) -> Any:
    """Search neurons for a concept, and sweep them."""
    settings = ConceptSettings(n_candidates=3, n_random=4, n_steps=3, n_sweeps=2, low=-4, high=4)
    request = ConceptRequest(machine, ("dog",), settings)
    return len(load_job("concept")(request, Silent()).run_ids)


JOBS: Final[dict[str, Ask]] = {
    "prompt": ask_to_prompt,
    "clamp": ask_to_clamp,
    "generate": ask_to_generate,
    "sample": ask_to_sample,
    "ablate": ask_to_ablate,
    "ablate-each": ask_to_ablate_each,
    "attribute": ask_to_attribute,
    "entropy": ask_for_entropy,
    "attributes": ask_for_attributes,
    "universality": ask_for_universality,
    "neighbours": ask_for_neighbours,
    "heads": ask_for_heads,
    "families": ask_for_families,
    "tokens": ask_for_tokens,
    "concept": ask_for_concepts,
}


@pytest.mark.parametrize("name", JOBS)
def test_a_job_runs_in_the_precision_that_checkpoints_for_cards_have(
    name: str, tmp_path: Path
) -> None:
    machine = Machine("m", str(copy(tmp_path, CARD)), CARD, "bfloat16")
    with pretend_cards() as cards:
        JOBS[name](machine, tmp_path)
    assert cards.launches.total() > 0


@pytest.mark.parametrize("name", JOBS)
def test_a_job_does_on_a_card_what_it_does_on_a_processor(name: str, tmp_path: Path) -> None:
    compare_job(name, tmp_path, pretend_cards())


def test_every_stage_stores_on_a_card_what_it_does_on_a_processor(tmp_path: Path) -> None:
    compare_stages(tmp_path, pretend_cards())


@ON_CUDA
@pytest.mark.gpu
@pytest.mark.parametrize("name", JOBS)
def test_a_job_does_on_cuda_what_it_does_on_a_processor(name: str, tmp_path: Path) -> None:
    compare_job(name, tmp_path, nullcontext())


@ON_CUDA
@pytest.mark.gpu
def test_every_stage_stores_on_cuda_what_it_does_on_a_processor(tmp_path: Path) -> None:
    compare_stages(tmp_path, nullcontext())


# --- what is compared ---------------------------------------------------------------------


def compare_job(name: str, directory: Path, there: AbstractContextManager[Any]) -> None:
    """Assert that a job returns and stores the same on both kinds of device."""
    databases = [copy(directory, device) for device in (CPU, CARD)]
    on_processor, on_card = (
        Machine("m", str(database), device, "float32")
        for device, database in zip((CPU, CARD), databases, strict=True)
    )
    expected = JOBS[name](on_processor, directory)
    with there:
        found = JOBS[name](on_card, directory)
    assert_near(expected, found)
    assert words(expected) == words(found)
    if name != "sample":
        assert_same_rows(databases)


def compare_stages(directory: Path, there: AbstractContextManager[Any]) -> None:
    """Assert that `ingest` stores the same on both kinds of device."""
    database = directory / "n.db"
    with there:
        ingest("m", database, CARD)
        ingest("other", database, CARD, family="mistral")
    assert_same_rows([copy(directory, CPU), database])


def tables(database: Path) -> Iterator[str]:
    """Yield the names of the tables that are compared."""
    with closing(sqlite3.connect(database)) as connection:
        for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'"):
            if "fts" not in name and not name.startswith(("sqlite", "ingest_", "description")):
                yield name


def assert_same_rows(databases: list[Path]) -> None:
    """Assert that all rows are the same but for rounding."""
    for name in sorted(tables(databases[0])):
        both = [list(read_rows(database, name)) for database in databases]
        assert_near(both[0], both[1], name)


def read_rows(database: Path, name: str) -> Iterator[list[Any]]:
    """Yield the rows of a table, without what tells of the run."""
    with closing(sqlite3.connect(database)) as connection:
        found = connection.execute(f"SELECT * FROM {name}")
        kept = [i for i, (column, *_) in enumerate(found.description) if column not in LEFT_OUT]
        for row in found:
            yield [row[i] for i in kept]


def flatten(value: Any) -> tuple[list[float], list[Any]]:
    """Return the numbers in something, and everything else in it."""
    numbers: list[float] = []
    others: list[Any] = []

    def take(part: Any) -> None:
        if dataclasses.is_dataclass(part) and not isinstance(part, type):
            take({field.name: getattr(part, field.name) for field in dataclasses.fields(part)})
        elif isinstance(part, dict):
            for name, item in part.items():
                if name not in ("database", "machine", "seconds", "device"):
                    take(item)
        elif isinstance(part, np.ndarray):
            numbers.extend(part.astype(np.float64).ravel().tolist())
        elif isinstance(part, list | tuple):
            for item in part:
                take(item)
        elif isinstance(part, int | float) or part is None:
            numbers.append(np.nan if part is None else float(part))
        else:
            others.append(part)

    take(value)
    return numbers, others


def words(value: Any) -> list[str]:
    """Return the texts in something."""
    return [other for other in flatten(value)[1] if isinstance(other, str)]


def assert_near(expected: Any, found: Any, name: str = "") -> None:
    """Assert that the numbers in two things are near each other."""
    numbers, others = flatten(expected)[0], flatten(found)[0]
    assert len(numbers) == len(others), name
    gaps = ~np.isclose(others, numbers, rtol=2e-3, atol=2e-4, equal_nan=True)
    # What is beside a threshold may fall on its other side.
    assert not len(gaps) or gaps.mean() < 2e-3, (name, np.flatnonzero(gaps)[:5], gaps.sum())
