"""`ingest --token-stats`: what is stored of every neuron by token, and what is refused before."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import ingest.forward.batching
from ingest.stages import token_statistics
from neurondb.contracts.ingest import IngestRequest
from neurondb.contracts.registry import load_job
from neurondb.errors import IngestError, UsageError
from tests.support.ingested import Silent, Subject, variant
from tests.support.tiny_requests import ask, run

K = 12
PLACES = ("current", "previous", "next")
N_STRONGEST = 16


def frequent_tokens(model: Subject, k: int) -> list[int]:
    """Return the k most frequent tokens by a count of its own."""
    counts: dict[int, int] = {}
    for ids in model.ids():
        for token in ids[int(model.request.skip_bos) :]:
            counts[token] = counts.get(token, 0) + 1
    return sorted(counts, key=lambda token: (-counts[token], token))[:k]


def assert_all_right(model: Subject, k: int = K) -> None:
    """Compare every row with float64 means over transformers' own activations."""
    skip = int(model.request.skip_bos)
    traces = model.reference.traces(model.ids(), skip_first=bool(skip))
    beside = dict(zip(PLACES, (0, -1, 1), strict=True))
    tokens = frequent_tokens(model, k)
    texts = model.ids()
    at = {
        place: np.array(
            [
                texts[i][p + step] if 0 <= p + step < len(texts[i]) else -1
                for i, p in zip(traces.text, traces.position, strict=True)
            ]
        )
        for place, step in beside.items()
    }
    stored: dict[tuple[int, int, str], list[tuple[int, float, float, int]]] = {}
    for layer, neuron, place, *row in model.rows(
        "SELECT layer, neuron, place, token_id, mean, freq, n FROM token_stats"
        " JOIN neurons USING (neuron_id) ORDER BY neuron_id, place, rank"
    ):
        stored.setdefault((layer, neuron, place), []).append(tuple(row))
    gated = "hook_pre_linear" in traces.layers[0]
    for layer, trace in enumerate(traces.layers):
        post = trace["hook_post"]
        opens = (trace["hook_pre"] if gated else post) > 0
        near = np.abs(trace["hook_pre"] if gated else post) < 1e-5
        slack = 10 * traces.noise[layer]["hook_post"] + 1e-9
        for place in PLACES:
            found = {token: at[place] == token for token in tokens}
            means = {token: post[where].mean(0) for token, where in found.items() if where.any()}
            for neuron in range(post.shape[1]):
                rows = stored.pop((layer, neuron, place))
                assert len(rows) == min(N_STRONGEST, len(means))
                sizes = sorted((abs(mean[neuron]) for mean in means.values()), reverse=True)
                for rank, (token, mean, freq, n) in enumerate(rows):
                    where = found[token]
                    assert n == where.sum()
                    assert mean == pytest.approx(means[token][neuron], rel=1e-6, abs=slack)
                    assert abs(mean) == pytest.approx(sizes[rank], rel=1e-6, abs=slack)
                    share = opens[where, neuron].mean()
                    assert abs(freq - share) <= near[where, neuron].mean() + 1e-12
    assert stored == {}


@pytest.mark.parametrize("name", ["llama", "gemma2", "phi3", "gpt2", "opt"])
def test_every_mean_and_share_is_that_of_the_reference(name: str) -> None:
    assert_all_right(variant(name, token_stats=K))


@pytest.mark.parametrize("name", ["llama", "gpt2"])
def test_the_first_position_is_left_out_but_seen_from_the_second(name: str) -> None:
    model = variant(name, token_stats=40, skip_bos=True)
    assert_all_right(model, 40)
    assert model.rows(
        "SELECT count(*) FROM token_stats WHERE place = 'previous' AND token = '<s>'"
    ) == [(0,)]  # the prefix stands at no counted position, so that it is not frequent


@pytest.mark.parametrize("name", ["llama", "gpt2"])
def test_what_was_cut_off_is_seen_from_nowhere(name: str) -> None:
    assert_all_right(variant(name, token_stats=40, max_len=7), 40)


@pytest.mark.parametrize("places", [30, 300])
def test_batches_of_any_size_give_the_same(places: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ingest.forward.batching.BATCH_TOKENS, "cpu", places)
    assert_all_right(variant("llama", token_stats=K, name=f"in-batches-of-{places}"))


def test_the_view_has_words_and_the_token_only_where_it_is_known() -> None:
    known = variant("llama", token_stats=3)
    assert set(known.rows("SELECT DISTINCT place FROM token_stats")) == {(p,) for p in PLACES}
    assert known.rows(
        "SELECT count(*) FROM token_stats s LEFT JOIN tokens t USING (token_id)"
        " WHERE s.token IS NOT t.token"
    ) == [(0,)]
    bare = variant("llama", token_stats=3, stages=("weights", "activations"))
    assert bare.rows("SELECT DISTINCT token FROM token_stats") == [(None,)]


def test_without_the_option_nothing_is_stored_and_the_option_is_a_setting(
    request_: IngestRequest,
) -> None:
    request = replace(request_, stages=("activations",))
    run(request)
    assert ask(request, "SELECT count(*) FROM token_stats") == [(0,)]
    (settings,) = ask(
        request, "SELECT DISTINCT settings FROM ingest_steps WHERE stage = 'activations'"
    )
    assert "token_stats" not in str(settings)
    wanted = replace(request, token_stats=4)
    with pytest.raises(IngestError, match="token_stats = 4"):
        run(wanted)
    run(replace(wanted, force=True))
    assert run(wanted).skipped["activations"] == 2
    last = "SELECT count(*) FROM token_stats WHERE place = 'current' AND rank = 3"
    assert ask(request, last) == ask(request, "SELECT count(*) FROM neurons")
    run(replace(request, force=True))
    assert ask(request, "SELECT count(*) FROM token_stats") == [(0,)]


def test_more_tokens_than_there_are_take_all_that_occur(request_: IngestRequest) -> None:
    run(replace(request_, stages=("activations",), token_stats=10_000))
    rows = ask(request_, "SELECT DISTINCT max(rank) FROM token_stats GROUP BY neuron_id, place")
    assert rows == [(N_STRONGEST - 1,)]


def test_what_it_needs_is_told(request_: IngestRequest) -> None:
    progress = Silent()
    load_job("ingest")(replace(request_, stages=("activations",), token_stats=5), progress)
    (note,) = [line for line in progress.notes if "token_stats" in line]
    assert "5 tokens" in note
    assert "MiB" in note


def test_sums_that_do_not_fit_into_memory_are_refused_before_the_pass(
    request_: IngestRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    n_neurons = 2 * 56
    needed = token_statistics.count_bytes(5, n_neurons)
    monkeypatch.setattr(token_statistics, "count_free_bytes", lambda device: needed * 3 // 5)
    progress = Silent()
    asked = replace(request_, stages=("activations",), token_stats=5)
    with pytest.raises(IngestError, match=r"token_stats 5: .* at most 3") as refusal:
        load_job("ingest")(asked, progress)
    assert "\n" not in str(refusal.value)
    assert "activations" not in progress.stages
    run(replace(asked, token_stats=3))


def test_free_memory_is_known_where_the_system_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    file = tmp_path / "meminfo"
    file.write_text("MemTotal: 9 kB\nMemAvailable:    7 kB\n", encoding="ascii")
    monkeypatch.setattr(token_statistics, "_MEMORY", file)
    assert token_statistics.count_free_bytes(torch.device("cpu")) == 7 * 1024
    file.unlink()
    assert token_statistics.count_free_bytes(torch.device("cpu")) is None


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"token_stats": -1}, "token_stats -1"),
        ({"token_stats": 3, "dataset": None}, "token_stats .*dataset"),
        ({"token_stats": 3, "stages": ("weights",)}, "token_stats .*stages"),
    ],
)
def test_an_option_that_has_no_effect_is_refused(
    request_: IngestRequest, options: dict[str, object], said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        run(replace(request_, **options))  # type: ignore[arg-type]
