"""What an intervention does to neurons, under which signs of theirs, and what it is measured by.

METHODS §6 defines all of it: a `Treatment` sets an activation, where a `Condition` holds, and the
difference of a metric of `METRICS` between the clean run and that one is the effect.
"""

import math
import re
from collections.abc import Sequence
from typing import Final, Literal, NamedTuple, cast

from neurondb.errors import LackingModelError, UsageError
from neurondb.spelling import option

Hook = Literal["hook_post", "hook_pre_linear"]

METRICS: Final = ("loss", "entropy", "rank", "scale")
"""What an intervention is measured by, in the order of tables, buffers and pages."""
ESTIMATED_METRICS: Final = ("loss", "entropy")
"""The metrics with a gradient that is the mean of tokens' own, so that attribution has them."""
ENTROPY_METRICS: Final = ("scale", "entropy", "rank", "loss")
"""The same metrics in the order in which `neurondb entropy` shows them (universal-neurons §5.2)."""

MODES: Final = ("zero", "mean", "fix", "clamp")
SINGLE_NEURON_MODES: Final = ("zero", "mean")
"""What may be done to each neuron of a set alone."""
HOOKS: Final = ("hook_post", "hook_pre_linear")
VALUE_SIGNS: Final = ("canonical", "model")
"""In which sign values of in and post are given: canonical (METHODS §1), or the model's own."""
PUBLISHED_CONDITIONS: Final = ("gate+_post+", "gate+_post-", "gate-_post+", "gate-_post-")
"""The papers' four cases, in the order of the sign cases of in: in+, in-, in-, in+."""

UNGATED_CONDITIONS: Final = ("post+", "post-")
"""The two cases of neurons without a gate."""
EVERYWHERE: Final = "always"
"""How a list of conditions says that there is none."""
EVERY_CONDITION: Final = "all"
"""How a list of conditions says that it is all cases that neurons have: four, ungated ones two."""

_SIGN_CASES: Final = dict(
    zip(("gate+_in+", "gate+_in-", "gate-_in-", "gate-_in+"), PUBLISHED_CONDITIONS, strict=True)
)
_PATTERN: Final = re.compile(r"(?:gate(?P<gate>[+-]))?_?(?:post(?P<post>[+-]))?")
_SIGN_OF: Final = {"+": 1, "-": -1, None: 0}


class Condition(NamedTuple):
    """Signs that x_gate and canonical x_post must have, strictly: 1, −1, or 0 for any."""

    gate: int = 0
    post: int = 0

    @classmethod
    def parse(cls, text: str | None) -> "Condition":
        """Return the condition written as `gate-_post+`, `gate+` or `post-`; None is no condition.

        Raises:
            UsageError: when it is none of these.
        """
        if text is None:
            return cls()
        match = _PATTERN.fullmatch(text)
        condition = match and cls(_SIGN_OF[match["gate"]], _SIGN_OF[match["post"]])
        if not condition or not text or str(condition) != text:
            sign_case = _SIGN_CASES.get(text)
            hint = (
                f"the sign case is {sign_case} here" if sign_case else "write one like gate-_post+"
            )
            raise UsageError(f"{text!r} is no condition; {hint}, or give gate+ or post-")
        return condition

    def __str__(self) -> str:
        signs = (("gate", self.gate), ("post", self.post))
        return "_".join(f"{name}{'+' if sign > 0 else '-'}" for name, sign in signs if sign)


ALWAYS: Final = Condition()


def expand_conditions(listed: Sequence[str], *, gated: bool) -> tuple[str | None, ...]:
    """Return what a list of conditions means, each once; None is no condition.

    Args:
        listed: Conditions as `Condition.parse` reads them, `always`, or `all`.
        gated: Whether the neurons have a gate.
    """
    conditions: dict[str | None, None] = {}
    for written in listed:
        if written == EVERY_CONDITION:
            conditions |= dict.fromkeys(PUBLISHED_CONDITIONS if gated else UNGATED_CONDITIONS)
        else:
            conditions[None if written == EVERYWHERE else written] = None
    return tuple(conditions)


class Treatment(NamedTuple):
    """What is done: hook_post or hook_pre_linear is set, to zero, the mean, or a value.

    Values are in canonical sign (METHODS §1).
    """

    mode: str = "zero"
    condition: Condition = ALWAYS
    hook: Hook = "hook_post"
    value: float | None = None

    @classmethod
    def parse(
        cls, mode: str, condition: str | None, hook: str | None, value: float | None
    ) -> "Treatment":
        """Return the treatment that options describe; clamp sets hook_pre_linear by default.

        Raises:
            UsageError: when one is unknown, or they contradict each other.
        """
        if mode not in MODES:
            raise UsageError(f"no mode {mode!r}; the modes are {', '.join(MODES)}")
        if hook is not None and hook not in HOOKS:
            raise UsageError(f"no hook {hook!r} to set; it is one of {', '.join(HOOKS)}")
        if hook == "hook_pre_linear" and mode != "clamp":
            raise UsageError(
                f"mode {mode} sets hook_post; hook_pre_linear is set by {option('mode', 'clamp')}"
            )
        _check_value(mode, value)
        hook_name = hook or ("hook_pre_linear" if mode == "clamp" else "hook_post")
        return cls(mode, Condition.parse(condition), cast("Hook", hook_name), value)

    def check(self, *, gated: bool) -> None:
        """Check that the treatment fits neurons with or without a gate.

        Raises:
            UsageError: when it needs a gate and there is none.
        """
        if gated:
            return
        if self.condition.gate:
            raise LackingModelError(
                f"the condition {self.condition} asks for the sign of the gate, and this model's "
                "neurons have none; use post+ or post-"
            )
        if self.hook == "hook_pre_linear":
            raise LackingModelError(
                "hook_pre_linear is what a gate multiplies, and this model's neurons have none; "
                f"give {option('hook', 'hook_post')}"
            )

    def __str__(self) -> str:
        words = [self.mode]
        if self.mode == "clamp":
            words.append(self.hook)
        if self.value is not None:
            words.append(f"{self.value:g}")
        return " ".join([*words, *([f"where {self.condition}"] if any(self.condition) else [])])


ZERO: Final = Treatment()


def _check_value(mode: str, value: float | None) -> None:
    if mode in ("fix", "clamp") and value is None:
        raise UsageError(f"mode {mode} needs a value; give {option('value')}")
    if mode in ("zero", "mean") and value is not None:
        raise UsageError(
            f"mode {mode} takes no value; leave it out, or give {option('mode', 'fix')}"
        )
    if value is not None and not math.isfinite(value):
        raise UsageError(f"the value {value} is not finite")
