"""The LM-head decoding of −in, for layers that a version before decoded at +in alone."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from ingest.stages.session import Session
from ingest.vocabulary import LmHead
from neurondb.schema.codes import SIDES, list_sides
from neurondb.writing.ledger import Step
from neurondb.writing.vocabulary import write_lm_head_tokens

SETTING: Final = "lm_head_sides"
"""In the settings of a step: at how many sides of `in` it decoded. Absent where at one."""


def describe_sides(session: Session) -> dict[str, object]:
    """Return what the settings of the stage `vocab` say of sides; nothing of an ungated model."""
    n = len(list_sides(gated=session.ledger.model.gated))
    return {SETTING: n} if n > 1 else {}


def add_missing_side(session: Session, steps: Sequence[Step]) -> None:
    """Decode −in for those of the steps that are stored without; all else of them stays.

    Under --force they are computed again as a whole.
    """
    if session.request.force or not describe_sides(session):
        return
    incomplete = [step for step in steps if session.ledger.has(_without_sides(step))]
    if not incomplete:
        return
    rows, missing_sides = session.token_rows, SIDES[1:]
    head = LmHead(rows.select(session.checkpoint.read_unembedding()).to(session.device), rows)
    with session.progress.stage("LM head at −in", len(incomplete), "layers") as advance:
        for step in incomplete:
            decoded = head.decode(session.read_layer(step.layer).in_.float(), missing_sides)
            with session.ledger.completing(step) as writer:
                for side, tokens in decoded.items():
                    write_lm_head_tokens(writer, step.layer, side, tokens)
            session.rows[step.stage] += writer.n_rows
            advance(1)


def _without_sides(step: Step) -> Step:
    """Return a step as a version before stored it."""
    return replace(step, settings={k: v for k, v in step.settings.items() if k != SETTING})
