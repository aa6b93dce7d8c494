"""What a request makes of its stages, and which requests make no sense."""

from typing import Any

import pytest

from neurondb.contracts.ingest import IngestRequest, choose_stages
from neurondb.errors import UsageError


def stages(**asked: Any) -> list[str]:
    return choose_stages(IngestRequest(model="m", **asked))


def test_all_that_the_inputs_allow_but_never_the_traces() -> None:
    assert stages() == ["weights", "vocab"]
    assert stages(dataset="t.txt") == ["weights", "vocab", "activations"]


def test_weights_come_with_the_stages_that_need_them() -> None:
    assert stages(stages=("traces",), dataset="t.txt") == ["weights", "traces"]
    assert stages(stages=("traces", "activations"), dataset="t.txt") == [
        "weights",
        "activations",
        "traces",
    ]


def test_a_shard_leaves_the_vocabulary_to_others() -> None:
    assert stages(shard=(1, 2), dataset="t.txt") == ["weights", "activations"]
    assert stages(shard=(1, 2), dataset="t.txt", stages=("vocab", "activations")) == [
        "weights",
        "vocab",
        "activations",
    ]


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"stages": ("wieghts",)}, "no stage 'wieghts'"),
        ({"stages": ("activations",)}, "activations needs texts; give --dataset"),
        ({"stages": ("traces",)}, "traces needs texts; give --dataset"),
        ({"shard": (1, 2)}, "activations needs texts; give --dataset"),
        ({"shard": (1, 2), "dataset": "t", "stages": ("vocab",)}, "--shard divides"),
        ({"shard": (1, 2), "dataset": "t", "stages": ("activations", "traces")}, "no traces"),
        ({"where": "weakening", "dataset": "t"}, "--where restricts the stage traces"),
        ({"summary": "s", "dataset": "t"}, "--summary .* give --shard"),
    ],
)
def test_what_makes_no_sense_is_wrong_usage(asked: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        stages(**asked)
