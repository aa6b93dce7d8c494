"""How conditions and treatments are written, and what makes no sense."""

import re

import pytest

from neurondb.errors import LackingModelError, UsageError
from neurondb.interventions import (
    ENTROPY_METRICS,
    ESTIMATED_METRICS,
    METRICS,
    MODES,
    PUBLISHED_CONDITIONS,
    SINGLE_NEURON_MODES,
    Condition,
    Treatment,
    expand_conditions,
)


def test_a_condition_is_read_as_it_is_written() -> None:
    for gate in (-1, 0, 1):
        for post in (-1, 0, 1):
            condition = Condition(gate, post)
            assert Condition.parse(str(condition) or None) == condition
    assert Condition.parse("gate-_post+") == (-1, 1)
    assert Condition.parse("post-") == (0, -1)
    assert len({Condition.parse(written) for written in PUBLISHED_CONDITIONS}) == 4


@pytest.mark.parametrize(
    "written", ["", "gate", "gate+_", "_post+", "gate+post+", "post+_gate-", "in+", "gate*"]
)
def test_what_is_no_condition_is_wrong_usage(written: str) -> None:
    with pytest.raises(UsageError, match=rf"'{re.escape(written)}'.*gate-_post\+"):
        Condition.parse(written)


def test_clamp_sets_hook_pre_linear_and_the_others_hook_post() -> None:
    assert Treatment.parse("clamp", None, None, 3.0).hook == "hook_pre_linear"
    assert Treatment.parse("clamp", None, "hook_post", 3.0).hook == "hook_post"
    assert Treatment.parse("fix", "gate+", None, 3.0) == ("fix", (1, 0), "hook_post", 3.0)
    assert Treatment.parse("zero", None, None, None) == Treatment()


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (("erase", None, None, None), "'erase'.*zero.*mean.*fix.*clamp"),
        (("fix", None, None, None), "fix.*value"),
        (("clamp", None, None, None), "clamp.*value"),
        (("zero", None, None, 1.0), "zero.*value"),
        (("mean", None, None, 0.0), "mean.*value"),
        (("fix", None, None, float("nan")), r"\bnan\b"),
        (("fix", None, None, float("inf")), r"\binf\b"),
        (("zero", None, "hook_pre_linear", None), "zero.*hook_pre_linear"),
        (("clamp", None, "hook_pre", 1.0), "'hook_pre'"),
    ],
)
def test_what_makes_no_sense_is_wrong_usage(
    asked: tuple[str, str | None, str | None, float | None], said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        Treatment.parse(*asked)


@pytest.mark.parametrize(
    ("case", "condition"),
    [
        ("gate+_in+", "gate+_post+"),
        ("gate+_in-", "gate+_post-"),
        ("gate-_in-", "gate-_post+"),
        ("gate-_in+", "gate-_post-"),
    ],
)
def test_a_sign_case_of_in_is_told_as_one_of_post(case: str, condition: str) -> None:
    with pytest.raises(UsageError, match=re.escape(condition)):
        Condition.parse(case)


def test_a_treatment_in_words() -> None:
    assert str(Treatment()) == "zero"
    assert str(Treatment.parse("mean", "gate-_post+", None, None)) == "mean where gate-_post+"
    assert str(Treatment.parse("clamp", None, None, -2.5)) == "clamp hook_pre_linear -2.5"


def test_neurons_without_a_gate_refuse_what_needs_one() -> None:
    Treatment.parse("zero", "post+", None, None).check(gated=False)
    Treatment.parse("clamp", None, "hook_post", 1.0).check(gated=False)
    with pytest.raises(LackingModelError, match=r"gate\+_post\+.*post-"):
        Treatment.parse("zero", "gate+_post+", None, None).check(gated=False)
    with pytest.raises(LackingModelError, match="hook='hook_post'"):
        Treatment.parse("clamp", None, None, 1.0).check(gated=False)


def test_every_list_of_metrics_and_modes_is_made_of_the_same_words() -> None:
    assert sorted(ENTROPY_METRICS) == sorted(METRICS)
    assert set(ESTIMATED_METRICS) < set(METRICS)
    assert set(SINGLE_NEURON_MODES) < set(MODES)


@pytest.mark.parametrize(
    ("listed", "gated", "meant"),
    [
        (["all"], True, ("gate+_post+", "gate+_post-", "gate-_post+", "gate-_post-")),
        (["all"], False, ("post+", "post-")),
        (["always", "all"], False, (None, "post+", "post-")),
        (["gate-", "gate-", "always"], True, ("gate-", None)),
        (
            ["gate-_post+", "all"],
            True,
            ("gate-_post+", "gate+_post+", "gate+_post-", "gate-_post-"),
        ),
        ([], True, ()),
    ],
)
def test_a_list_of_conditions_is_expanded(
    listed: list[str], gated: bool, meant: tuple[str | None, ...]
) -> None:
    assert expand_conditions(listed, gated=gated) == meant
