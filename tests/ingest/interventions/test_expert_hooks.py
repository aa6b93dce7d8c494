"""Interventions on neurons of experts, against models whose weights say the same."""

from typing import Any, NamedTuple

import pytest
import torch
import transformers
from torch import Tensor

from ingest.checkpoint.reader import Checkpoint
from ingest.forward import Batch, Forward
from ingest.forward.experts import ExpertActivations
from ingest.forward.hooks import ExpertHookPoints
from ingest.interventions import Intervention, Targets, intervene
from neurondb.interventions import Condition
from tests.support.random_mixtures import MIXTURES, N_EXPERTS, WIDTH
from tests.support.random_models import VOCABULARY

NAMES = ("olmoe", "qwen2_moe", "gpt_oss")
CHOSEN = (3, WIDTH + 5, 2 * WIDTH)
"""Neurons of three experts, by their numbers in the layer."""
VALUE = 1.75


class Running(NamedTuple):
    """A mixture that runs, and where its files are."""

    name: str
    forward: Forward
    path: Any
    batch: Batch

    @property
    def layer(self) -> int:
        return self.forward.architecture.n_layers - 1

    @property
    def points(self) -> ExpertHookPoints:
        points = self.forward.all_hook_points[self.layer]
        assert isinstance(points, ExpertHookPoints)
        return points

    def written(self, *interventions: Intervention) -> Tensor:
        """Return what the last layer's MLP writes."""
        seen: list[Tensor] = []
        mlp = self.forward.blocks[self.layer].get_submodule("mlp")

        def keep(_module: Any, _inputs: object, output: Any) -> None:
            seen.append((output[0] if isinstance(output, tuple) else output).clone())

        handle = mlp.register_forward_hook(keep)
        with intervene(self.forward, *interventions):
            self.forward.logits(self.batch)
        handle.remove()
        return seen[0].flatten(0, 1)


@pytest.fixture(scope="module", params=NAMES)
def running(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Running:
    path = MIXTURES[request.param](tmp_path_factory.mktemp(request.param), 9)
    forward = Forward(Checkpoint.open(path), torch.device("cpu"), torch.float32)
    ids = torch.randint(3, VOCABULARY, (2, 10), generator=torch.Generator().manual_seed(3))
    batch = Batch(ids, torch.tensor([10, 10]), torch.tensor([0, 1]))
    return Running(request.param, forward, path, batch)


def targets(running: Running, neurons: tuple[int, ...], value: float) -> Intervention:
    signs = [1.0] * len(neurons)
    return Intervention({running.layer: Targets.from_value(neurons, signs, value)})


def test_zero_is_a_neuron_that_writes_nothing(running: Running) -> None:
    other: Any = transformers.AutoModelForCausalLM.from_pretrained(
        running.path, dtype=torch.float32, experts_implementation="eager"
    )
    neurons: tuple[int, ...] = CHOSEN
    down = other.model.layers[-1].mlp.experts.down_proj.data
    for neuron in CHOSEN:
        expert, number = divmod(neuron, WIDTH)
        rows = down[expert] if running.name == "gpt_oss" else down[expert].T
        rows[number] = 0
    if running.name == "qwen2_moe":  # a neuron of the shared expert, the last one
        neurons = (*CHOSEN, N_EXPERTS * WIDTH + 7)
        other.model.layers[-1].mlp.shared_expert.down_proj.weight.data[:, 7] = 0
    clean = running.forward.logits(running.batch)
    with intervene(running.forward, targets(running, neurons, 0.0)):
        changed = running.forward.logits(running.batch)
    with torch.no_grad():
        expected = other.eval()(input_ids=running.batch.token_ids).logits
    assert (changed - clean).abs().max() > 1e-3
    torch.testing.assert_close(changed, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("condition", ["", "gate-_post+"])
def test_a_value_is_set_where_the_expert_is_chosen(running: Running, condition: str) -> None:
    seen: list[ExpertActivations] = []
    with running.points.routed.receive(seen.append):
        clean = running.written()
    expected = clean.clone()
    intervention = targets(running, CHOSEN, VALUE)
    if condition:
        intervention = Intervention(intervention.targets, condition=Condition.parse(condition))
    for neuron in CHOSEN:
        expert, number = divmod(neuron, WIDTH)
        one = seen[expert]
        assert one.weight is not None
        out = running.points.routed.vectors(expert)[2][number].detach()
        change = (VALUE - one.post[:, number]) * one.weight
        if condition:
            change = change * ((one.gate[:, number] < 0) & (one.post[:, number] > 0))
        expected[one.token] += change[:, None] * out
    assert (expected - clean).abs().max() > (0 if condition else 1e-2)
    torch.testing.assert_close(running.written(intervention), expected, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(running.written(), clean, rtol=0, atol=0)


def test_each_text_may_have_its_own_value(running: Running) -> None:
    neuron = torch.tensor([CHOSEN[0]])
    values = torch.tensor([[VALUE], [torch.nan]])  # NaN leaves a text's neuron as it is
    swept = Intervention({running.layer: Targets(neuron, torch.ones(1), values)})
    clean, all_texts = running.written(), running.written(targets(running, CHOSEN[:1], VALUE))
    n_positions = running.batch.token_ids.shape[1]
    expected = torch.cat([all_texts[:n_positions], clean[n_positions:]])
    torch.testing.assert_close(running.written(swept), expected, rtol=1e-5, atol=1e-5)
