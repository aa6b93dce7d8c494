"""The job `concept`: a planted neuron comes first, what is stored, and what is refused."""

import sqlite3
from contextlib import closing
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ingest.jobs import concept
from ingest.text.chat import ChatTokenizer
from neurondb.contracts.concept import ConceptReport, ConceptRequest, ConceptSettings
from neurondb.contracts.ingest import IngestRequest
from neurondb.contracts.inputs import Machine
from neurondb.contracts.registry import load_job
from neurondb.errors import IngestError, LackingModelError, UnknownNameError, UsageError
from neurondb.neurons import NeuronPlace
from neurondb.reading.concepts import ConceptPage, list_neuron_concepts, read_concept_page
from neurondb.reading.models import open_readonly
from tests.support.concepts import PLANTED, Planted, held_probability, log_probability, plant
from tests.support.ingested import Silent, fresh, write_byte_level_tokenizer
from tests.support.random_models import FAMILIES
from tests.support.steering import plain

SETTINGS = ConceptSettings(
    prompts=("Once upon a time there was a", "Ben ran"),
    contexts=("Once upon", "She saw the"),
    others=("ball", "sun", "park"),
    n_candidates=2,
    n_random=12,
    hook="hook_post",
    low=-9,
    high=9,
    n_steps=5,
    n_sweeps=3,
)


@cache
def tokens_of(text: str) -> tuple[int, ...]:
    directory = FAMILIES["llama"](fresh("tokens"), 5)
    write_byte_level_tokenizer(directory)
    return tuple(ChatTokenizer(directory).encode_with_offsets(text)[0])


@cache
def planted(text: str, sign: int, dataset: bool = False) -> Planted:
    return plant(text, tokens_of(f" {text}"), sign, dataset=dataset)


def asked(model: Planted, *concepts: str, **settings: Any) -> ConceptRequest:
    named = concepts or (model.text,)
    return ConceptRequest(model.stored.machine, named, replace(SETTINGS, **settings))


def run(request: ConceptRequest) -> ConceptReport:
    return concept.run(request, Silent())


@cache
def page(text: str, sign: int, seed: int = 0) -> ConceptPage:
    model = planted(text, sign)
    report = run(asked(model, seed=seed))
    with open_readonly(model.stored.database) as connection:
        return read_concept_page(connection, report.run_ids[0])


def rows(model: Planted, sql: str, *values: object) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(model.stored.database)) as connection:
        return connection.execute(sql, values).fetchall()


ONE, TWO = "dog", "Tim"


def test_the_two_concepts_are_of_one_and_of_more_tokens() -> None:
    assert len(tokens_of(f" {ONE}")) == 1
    assert len(tokens_of(f" {TWO}")) == 2


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("text", [ONE, TWO])
def test_a_planted_neuron_comes_first_with_the_right_sign(text: str, sign: int) -> None:
    found = page(text, sign)
    first = found.candidates[0]
    assert first.name == PLANTED.name
    assert first.vector == "out"
    assert first.direction in {"unembed"} if text == ONE else {"token 1", "token 2"}
    canonical = sign * planted(text, sign).stored.sign(PLANTED)
    assert np.sign(first.cosine or 0.0) == canonical
    assert abs(first.cosine or 0.0) > (0.99 if text == ONE else 0.6)
    assert first.best_value == 9 * canonical
    assert first.stronger == 0
    assert found.p_value(first) == pytest.approx(1 / 13)
    assert first.best_probability > 10 * found.run.clean_probability


@pytest.mark.parametrize("text", [ONE, TWO])
def test_every_change_by_brute_force(text: str) -> None:
    found, model = page(text, 1), planted(text, 1)
    hf = plain(model.stored.directory).double()
    spellings = [tokens_in(model, i) for i in range(len(found.spellings))]
    prompts = [model.stored.ids(prompt) for prompt in SETTINGS.prompts]
    try:
        clean = np.array([log_probability(hf, ids, spellings) for ids in prompts])
        assert list(found.prompts.values()) == pytest.approx(list(clean), abs=2e-5)
        assert found.run.clean_probability == pytest.approx(np.exp(clean).mean(), rel=1e-4)
        for one in (*found.candidates[:4], *found.random_neurons[:2]):
            place = NeuronPlace(*map(int, one.name.split(".")))
            ends = [
                (one.low, one.low_change, one.low_probability),
                (one.high, one.high_change, one.high_probability),
            ]
            for value, change, probability in ends:
                own = {place: value * model.stored.sign(place)}
                held = np.array(
                    [held_probability(hf, "hook_post", own, ids, spellings) for ids in prompts]
                )
                assert change == pytest.approx((held - clean).mean(), abs=2e-4)
                assert probability == pytest.approx(np.exp(held).mean(), rel=1e-3)
    finally:
        hf.float()


def tokens_in(model: Planted, spelling: int) -> list[int]:
    sql = "SELECT token_id FROM concept_tokens WHERE run_id = 1 AND spelling = ? ORDER BY place"
    return [token for (token,) in rows(model, sql, spelling)]


def test_sweeps_begin_and_end_at_the_ends() -> None:
    found = page(ONE, 1)
    assert [sweep.random for sweep in found.sweeps] == [False] * 3 + [True] * 3
    by_name = {one.name: one for one in (*found.candidates, *found.random_neurons)}
    for sweep in found.sweeps:
        one = by_name[sweep.name]
        assert [point.value for point in sweep.points] == [-9, -4.5, 0, 4.5, 9]
        assert sweep.points[0].change == pytest.approx(one.low_change, abs=1e-5)
        assert sweep.points[-1].probability == pytest.approx(one.high_probability, rel=1e-4)
    swept = [sweep.name for sweep in found.sweeps if not sweep.random]
    assert swept == [one.name for one in found.candidates[:3]]


def test_ranks_and_the_share_of_random_neurons() -> None:
    found = page(TWO, -1)
    for listed in (found.candidates, found.random_neurons):
        changes = [one.change for one in listed]
        assert changes == sorted(changes, reverse=True)
        assert [one.rank for one in listed] == list(range(len(listed)))
    assert len(found.random_neurons) == found.run.n_random == 12
    names = {one.name for one in found.candidates}
    assert not names & {one.name for one in found.random_neurons}
    for one in found.candidates:
        stronger = sum(other.change >= one.change for other in found.random_neurons)
        assert one.stronger == stronger
        assert found.p_value(one) == pytest.approx((stronger + 1) / 13)
        assert one.change == max(one.low_change, one.high_change)
    assert all(found.p_value(one) is None for one in found.random_neurons)


def test_what_the_views_say() -> None:
    model, found = planted(ONE, 1), page(ONE, 1)
    first = found.candidates[0]
    view = rows(
        model,
        "SELECT name, vector, sign, best_value, p_value, concept, model FROM concept_neurons "
        "WHERE run_id = 1 AND random = 0 AND rank = 0",
    )
    canonical = model.stored.sign(PLANTED)
    p_value = pytest.approx(1 / 13)
    assert view == [(PLANTED.name, "out", canonical, 9.0 * canonical, p_value, ONE, "m")]
    points = rows(
        model,
        "SELECT value, change FROM concept_sweeps WHERE run_id = 1 AND neuron_id = ? ORDER BY step",
        first.neuron_id,
    )
    assert points == [(p.value, p.change) for p in found.sweeps[0].points]
    with open_readonly(model.stored.database) as connection:
        (of_neuron, *_) = list_neuron_concepts(connection, first.neuron_id)
    assert (of_neuron.concept, of_neuron.tried.rank) == (ONE, 0)
    assert of_neuron.n_tried == len(found.candidates)


def test_the_same_request_is_stored_once_and_another_beside_it() -> None:
    model = planted(ONE, 1)
    first = run(asked(model))
    again = run(asked(model, f"  {ONE} ", ONE))
    assert (again.run_ids, again.n_new) == (first.run_ids, 0)
    other = run(asked(model, n_random=3))
    assert other.n_new == 1
    assert other.run_ids != first.run_ids


def test_force_replaces_what_is_stored() -> None:
    model = planted("Sue", 1)
    (before,) = run(asked(model)).run_ids
    counted = "SELECT COUNT(*) FROM concept_candidates"
    n = rows(model, counted)
    forced = run(replace(asked(model), force=True))
    assert forced.n_new == 1
    assert rows(model, counted) == n
    assert rows(model, "SELECT COUNT(*) FROM concept_runs") == [(1,)]
    assert before


def test_several_concepts_are_each_as_alone() -> None:
    model = planted(TWO, 1)
    alone = page(TWO, 1)
    report = run(asked(model, "frog", TWO))
    assert report.n_new == 1
    with open_readonly(model.stored.database) as connection:
        both = [read_concept_page(connection, run_id) for run_id in report.run_ids]
    assert [one.run.concept for one in both] == ["frog", TWO]
    assert both[1] == alone


def test_another_seed_draws_other_random_neurons() -> None:
    names = [{one.name for one in page(ONE, 1, seed).random_neurons} for seed in (0, 1)]
    assert names[0] != names[1]


def test_ends_are_multiples_of_what_is_stored() -> None:
    model = planted(ONE, 1, dataset=True)
    for hook, column in (("hook_post", "post"), ("hook_pre_linear", "pre_linear")):
        report = run(asked(model, hook=hook, low=None, high=None, scale=3.0))
        largest = dict(
            rows(
                model,
                f"SELECT neuron_id, MAX(MAX(ABS({column}_min), ABS({column}_max))) "
                "FROM sign_case_rows GROUP BY neuron_id",
            )
        )
        stored = rows(
            model,
            "SELECT neuron_id, low, high FROM concept_candidates WHERE run_id = ?",
            report.run_ids[0],
        )
        assert len(stored) > 12
        for neuron_id, low, high in stored:
            assert high == pytest.approx(3 * largest[neuron_id])
            assert low == -high


def test_without_activations_the_ends_are_the_papers() -> None:
    model, progress = planted(ONE, -1), Silent()
    report = concept.run(asked(model, low=None, high=None), progress)
    ends = "SELECT DISTINCT low, high FROM concept_candidates WHERE run_id = ?"
    assert rows(model, ends, report.run_ids[0]) == [(-500.0, 500.0)]
    assert any("no activations of m are stored" in note for note in progress.notes)


def test_no_random_neurons() -> None:
    model = planted(ONE, 1)
    report = run(asked(model, n_random=0))
    with open_readonly(model.stored.database) as connection:
        found = read_concept_page(connection, report.run_ids[0])
    assert found.random_neurons == ()
    assert found.p_value(found.candidates[0]) is None


def test_forgetting_the_model_forgets_its_runs(tmp_path: Path) -> None:
    from neurondb import migrate
    from neurondb.writing.models import forget_model

    model = planted(ONE, 1)
    page(ONE, 1)
    copy = tmp_path / "copy.db"
    with (
        closing(sqlite3.connect(model.stored.database)) as source,
        closing(sqlite3.connect(copy)) as target,
    ):
        source.backup(target)
    engine = migrate.create_or_open(str(copy))
    with engine.begin() as connection:
        forget_model(connection, 1)
    engine.dispose()
    with closing(sqlite3.connect(copy)) as target:
        for table in ("runs", "candidates", "points", "texts", "tokens"):
            assert target.execute(f"SELECT COUNT(*) FROM concept_{table}").fetchone() == (0,)


@pytest.mark.parametrize(
    ("concepts", "settings", "said"),
    [
        ((), {}, "no concept; give a word or phrase"),
        (("  ",), {}, "the concept is empty"),
        (("ab " * 300,), {}, "at most 32 are a word or phrase"),
        ((ONE,), {"prompts": ("a b " * 300,)}, r"are \d+ tokens, the context of m only 256"),
        ((ONE,), {"contexts": ("a b " * 300,)}, r"are \d+ tokens, the context of m only 256"),
        ((ONE,), {"prompts": ()}, "an empty prompt"),
        ((ONE,), {"contexts": (" ",)}, "an empty context"),
        ((ONE,), {"low": 3.0, "high": 1.0}, "from_ 3 is not below to 1"),
        ((ONE,), {"low": 3.0, "high": None}, "give both or neither"),
        ((ONE,), {"n_candidates": 0}, "at least one candidate"),
        ((ONE,), {"others": ("Dog", "DOG")}, "no other concept is left"),
    ],
)
def test_refusals(concepts: tuple[str, ...], settings: dict[str, Any], said: str) -> None:
    model = planted(ONE, 1)
    request = ConceptRequest(model.stored.machine, concepts, replace(SETTINGS, **settings))
    before = rows(model, "SELECT COUNT(*) FROM concept_runs")
    wanted = LackingModelError if "the context of" in said else UsageError
    with pytest.raises(wanted, match=said):
        run(request)
    assert rows(model, "SELECT COUNT(*) FROM concept_runs") == before


def test_a_model_that_is_not_stored() -> None:
    machine = replace(planted(ONE, 1).stored.machine, model="n")
    with pytest.raises(UnknownNameError, match="no model 'n'"):
        run(ConceptRequest(machine, (ONE,), SETTINGS))


@pytest.fixture
def half(tmp_path: Path) -> Machine:
    """A model of which one layer is ingested."""
    directory, database = planted(ONE, 1).stored.directory, str(tmp_path / "half.db")
    request = IngestRequest(
        str(directory), database, name="m", stages=("weights",), layers=(0,), device="cpu"
    )
    load_job("ingest")(request, Silent())
    return Machine("m", database, device="cpu")


def test_a_model_of_which_layers_are_missing(half: Machine) -> None:
    with pytest.raises(IngestError, match="only 1 of 2 layers of m are ingested"):
        run(ConceptRequest(half, (ONE,), SETTINGS))


def test_an_ungated_model_has_no_linear_part() -> None:
    from tests.support.steering import stored

    model = stored("gpt2")
    request = ConceptRequest(model.machine, (ONE,), replace(SETTINGS, hook="hook_pre_linear"))
    with pytest.raises(LackingModelError, match="no gates, so no hook_pre_linear"):
        run(request)
