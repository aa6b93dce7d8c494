"""Running experts one by one: the same model, and what their neurons do on the routed tokens."""

from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
import transformers
from torch import Tensor

from ingest.activations.summary import LayerSummary
from ingest.checkpoint.reader import Checkpoint
from ingest.forward import Batch, Forward, make_batches
from ingest.forward.activation_functions import find_activation
from ingest.stages.expert_summaries import join_summaries, make_summaries
from ingest.stages.summariser import Summariser
from neurondb.contracts.activations import ActivationsRecord, RoutingRecord
from neurondb.schema import codes
from tests.support.random_mixtures import MIXTURES, N_EXPERTS, PER_TOKEN, WIDTH
from tests.support.random_models import VOCABULARY

NAMES = ("olmoe", "qwen2_moe", "gpt_oss", "deepseek_v3")
LENGTHS = (11, 9, 5, 12)
POST = codes.QUANTITIES.index("hook_post")


class Running(NamedTuple):
    """One model twice: as it runs here, and as transformers' own eager code runs it."""

    name: str
    forward: Forward
    reference: Any
    batches: list[Batch]

    @property
    def layer(self) -> int:
        return self.forward.architecture.n_layers - 1


@pytest.fixture(scope="module", params=NAMES)
def running(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Running:
    path = MIXTURES[request.param](tmp_path_factory.mktemp(request.param), 7)
    reference: Any = transformers.AutoModelForCausalLM.from_pretrained(
        path, dtype=torch.float32, experts_implementation="eager"
    )
    forward = Forward(Checkpoint.open(path), torch.device("cpu"), torch.float32)
    generator = np.random.default_rng(0)
    texts = [generator.integers(3, VOCABULARY, n) for n in LENGTHS]
    batches = list(make_batches(texts, torch.device("cpu"), 24))
    assert len(batches) > 1
    return Running(request.param, forward, reference.eval(), batches)


@pytest.fixture(scope="module")
def records(running: Running) -> tuple[ActivationsRecord, RoutingRecord]:
    """What is counted of the last layer, over all texts."""
    shape, layer = running.forward.architecture, running.layer

    def make(number: int, n_neurons: int) -> LayerSummary:
        return LayerSummary.empty(n_neurons, gated=True, device=torch.device("cpu"), layer=number)

    summaries = make_summaries(shape, [layer], make)
    signs = {layer: torch.ones(shape.count_neurons(layer))}
    consumer = Summariser(
        summaries, signs, find_activation(shape.activation), architecture=shape, skip_bos=True
    )
    for batch in running.batches:
        running.forward.run(batch, [consumer])
    record, routing = join_summaries(shape, layer, summaries)
    assert routing is not None
    return record, routing


class Routed(NamedTuple):
    """What an expert's neurons did on one counted token, in float64."""

    ordinal: int
    position: int
    weight: float
    gate: Tensor
    in_: Tensor
    post: Tensor


@pytest.fixture(scope="module")
def routed(running: Running) -> list[list[Routed]]:
    """By expert, the tokens that transformers routes to it, and what its parameters make."""
    seen: dict[str, Tensor] = {}

    def keep(_module: Any, args: tuple[Tensor, ...]) -> None:
        seen["states"], seen["chosen"], seen["weights"] = args

    module = running.reference.model.layers[-1].mlp.experts
    by_expert: list[list[Routed]] = [[] for _ in range(N_EXPERTS)]
    handle = module.register_forward_pre_hook(keep)
    for batch in running.batches:
        with torch.no_grad():
            running.reference(input_ids=batch.token_ids)
        n_positions = batch.token_ids.shape[1]
        for token, experts in enumerate(seen["chosen"].tolist()):
            text, position = divmod(token, n_positions)
            if position == 0 or position >= batch.lengths[text]:
                continue
            for rank, expert in enumerate(experts):
                values = _neurons(running.name, module, seen["states"][token].double(), expert)
                weight = float(seen["weights"][token, rank])
                one = Routed(int(batch.ordinals[text]), position, weight, *values)
                by_expert[expert].append(one)
    handle.remove()
    return by_expert


def _neurons(name: str, module: Any, state: Tensor, expert: int) -> tuple[Tensor, Tensor, Tensor]:
    fused = module.gate_up_proj[expert].detach().double()
    if name == "gpt_oss":
        both = state @ fused + module.gate_up_proj_bias[expert].detach().double()
        gate, up = both[::2], both[1::2]
        clamped = gate.clamp(max=7.0)
        post = clamped * torch.sigmoid(1.702 * clamped) * (up.clamp(-7.0, 7.0) + 1)
        return gate, up + 1, post
    gate, up = (fused @ state).chunk(2)
    return gate, up, gate * torch.sigmoid(gate) * up


def test_the_model_is_that_of_transformers(running: Running) -> None:
    for batch in running.batches:
        ours = running.forward.logits(batch)
        with torch.no_grad():
            theirs = running.reference(input_ids=batch.token_ids).logits
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


def test_tokens_are_counted_where_they_are_routed(
    running: Running,
    records: tuple[ActivationsRecord, RoutingRecord],
    routed: list[list[Routed]],
) -> None:
    record, routing = records
    n_all = sum(LENGTHS) - len(LENGTHS)
    assert routing.n_all_tokens == n_all
    for expert, tokens in enumerate(routed):
        neurons = slice(expert * WIDTH, (expert + 1) * WIDTH)
        assert routing.n_tokens[expert] == len(tokens)
        assert (record.n_tokens[neurons] == len(tokens)).all()
        weights = [one.weight for one in tokens]
        assert routing.weight[expert] == pytest.approx(np.mean(weights), rel=1e-5)
    assert routing.n_tokens[:N_EXPERTS].sum() == PER_TOKEN * n_all
    # Every token passes through the shared expert, which nothing weighs.
    experts = running.forward.architecture.experts
    assert experts is not None
    assert routing.n_tokens[N_EXPERTS:].tolist() == [n_all] * bool(experts.shared_width)
    assert np.isnan(routing.weight[N_EXPERTS:]).all()


def test_statistics_are_of_the_routed_tokens(
    records: tuple[ActivationsRecord, RoutingRecord], routed: list[list[Routed]]
) -> None:
    record, _ = records
    assert record.gate_positive is not None
    for expert, tokens in enumerate(routed):
        gate, in_, post = (
            torch.stack([getattr(one, name) for one in tokens]).numpy()
            for name in ("gate", "in_", "post")
        )
        for n in range(WIDTH):
            neuron = expert * WIDTH + n
            assert record.gate_positive[neuron] == (gate[:, n] > 0).sum()
            assert record.post.mean[neuron] == pytest.approx(post[:, n].mean(), rel=1e-3, abs=1e-5)
            assert record.post.variance[neuron] == pytest.approx(post[:, n].var(), rel=1e-3)
            inside = (gate[:, n] > 0) & (in_[:, n] < 0)
            case = record.cases[codes.SIGN_CASES.index("gate+_in-")]
            assert case.count[neuron] == inside.sum()
            if inside.any():
                assert case.min[POST][neuron] == pytest.approx(post[inside, n].min(), rel=1e-3)


def test_examples_stand_where_their_tokens_do(
    records: tuple[ActivationsRecord, RoutingRecord], routed: list[list[Routed]]
) -> None:
    record, _ = records
    case = codes.SIGN_CASES.index("gate+_in+")
    examples = record.examples[codes.encode_example_list(case, POST)]
    n_seen = 0
    for expert, tokens in enumerate(routed):
        for n in range(WIDTH):
            best: dict[int, tuple[float, int]] = {}
            for one in tokens:
                if one.gate[n] > 0 and one.in_[n] > 0:
                    value = (float(one.post[n]), one.position)
                    best[one.ordinal] = max(best.get(one.ordinal, value), value)
            neuron = expert * WIDTH + n
            ordinals = examples.ordinal[neuron]
            found = {
                int(ordinal): (examples.value[neuron, k], examples.position[neuron, k])
                for k, ordinal in enumerate(ordinals)
                if ordinal >= 0
            }
            assert found.keys() == best.keys()
            for ordinal, (size, position) in best.items():
                assert found[ordinal][0] == pytest.approx(size, rel=1e-3)
                assert found[ordinal][1] == position
                n_seen += 1
    assert n_seen > WIDTH
