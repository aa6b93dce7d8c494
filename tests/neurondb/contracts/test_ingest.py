"""What a request makes of its stages, and which requests make no sense."""

from typing import Any

import pytest

from neurondb.contracts.ingest import IngestRequest, choose_stages
from neurondb.errors import UsageError


def stages(**asked: Any) -> list[str]:
    return choose_stages(IngestRequest(model="m", **asked))


def test_all_that_the_inputs_allow_but_never_the_traces() -> None:
    assert stages() == ["weights", "vocab"]
    assert stages(dataset="t.txt") == ["weights", "vocab", "activations", "peaks"]


def test_weights_come_with_the_stages_that_need_them() -> None:
    assert stages(stages=("traces",), dataset="t.txt") == ["weights", "traces"]
    assert stages(stages=("traces", "activations"), dataset="t.txt") == [
        "weights",
        "activations",
        "peaks",
        "traces",
    ]
    assert stages(stages=("peaks",), dataset="t.txt") == ["weights", "peaks"]


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
        ({"stages": ("wieghts",)}, "'wieghts'"),
        ({"stages": ("activations",)}, "activations.*dataset"),
        ({"stages": ("traces",)}, "traces.*dataset"),
        ({"shard": (1, 2)}, "activations.*dataset"),
        ({"shard": (1, 2), "dataset": "t", "stages": ("vocab",)}, "shard.*activations"),
        (
            {"shard": (1, 2), "dataset": "t", "stages": ("activations", "traces")},
            "traces.*`neurondb merge`",
        ),
        ({"where": "weakening", "dataset": "t"}, "where.*traces"),
        ({"summary": "s", "dataset": "t"}, "summary.*shard"),
    ],
)
def test_what_makes_no_sense_is_wrong_usage(asked: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        stages(**asked)
