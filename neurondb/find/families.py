"""Families in find expressions: `family=previous_token score>0.5`, `gate-_in-.family=unigram @2`.

`family=NAME` holds for a neuron whose best test of all is one of this family, or is this test; a
score beside it, joined by `and`, is that of the same test. `@3` looks among a neuron's first three
families, which are told apart by their best tests.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Final

from sqlalchemy import Connection, func, or_, select

from neurondb.errors import ExpressionError, UnknownNameError
from neurondb.find.keywords import CASE_QUALIFIERS, FAMILY_KEY, SCORE_KEY
from neurondb.find.lexer import Lexeme
from neurondb.find.terms import And, Expression, HasScore, InFamily, Or
from neurondb.find.values import join_or, negate_if_unequal, read_comparison
from neurondb.name_matching import quote_word, split_words, suggest_names
from neurondb.reading.models import Model
from neurondb.schema import tables
from neurondb.schema.codes import SIGN_CASES
from neurondb.schema.tables.families import ALL_CASES
from neurondb.sql.running import Value

ON_CHOSEN_RUN: Final = """r.run_id = (
        SELECT x.run_id FROM family_runs x JOIN models y ON y.model_id = x.model_id
        WHERE x.model_id = r.model_id
        ORDER BY CASE WHEN x.dataset_id = y.dataset_id THEN 0 ELSE 1 END, x.run_id DESC LIMIT 1)"""
"""The run over the dataset that the model is shown on, else its newest."""
_BY_FAMILY: Final = f"""
    SELECT f.neuron_id
    FROM family_runs r
    JOIN token_tests t ON t.run_id = r.run_id{{named}}
    JOIN neuron_families f ON f.run_id = r.run_id AND f.test = t.test
     AND f.case_id = {{case}} AND f.rank < {{within}}{{score}}
    WHERE {ON_CHOSEN_RUN}"""  # noqa: S608


def is_family_key(key: str) -> bool:
    """Tell whether a key is `family`, maybe with sign cases before it, as `gate-_in-.family`."""
    return key.lower().split(".")[-1] == FAMILY_KEY


def read_family_comparison(
    key: Lexeme, operator: str, items: Sequence[Lexeme], within: int | None
) -> Expression:
    """Return the meaning of `family=NAME,…`, among the first `within` families of a neuron.

    Raises:
        ExpressionError: when the operator does not suit, or what stands before the key is no sign
            case.
    """
    if operator not in ("=", "!="):
        raise ExpressionError(f"{key.value} {key.where} takes = or !=, not {operator}")
    *qualifiers, _ = key.value.lower().split(".")
    for qualifier in qualifiers:
        if qualifier not in CASE_QUALIFIERS:
            hint = suggest_names(qualifier, SIGN_CASES)
            raise ExpressionError(f"unknown sign case {quote_word(qualifier)} {key.where}{hint}")
    cases = [SIGN_CASES.index(CASE_QUALIFIERS[one]) for one in qualifiers] or [ALL_CASES]
    terms = [
        InFamily(item.value.strip(), 1 if within is None else within, case)
        for item in items
        for case in cases
    ]
    return negate_if_unequal(operator, join_or(terms))


def read_score_comparison(key: Lexeme, operator: str, items: Sequence[Lexeme]) -> Expression:
    """Return the meaning of `score>0.5`, which belongs to the families of its conjunction.

    Raises:
        ExpressionError: when it is no number.
    """
    strength = read_comparison(SCORE_KEY, "=" if operator == "!=" else operator, items, None)
    return negate_if_unequal(operator, HasScore(strength))


def attach_scores(parts: Sequence[Expression]) -> list[Expression]:
    """Return the parts of a conjunction, each score put to the families beside it.

    Where there is no family beside it, it is the score of the best test of all.
    """
    strengths = tuple(part.strength for part in parts if isinstance(part, HasScore))
    others: list[Expression] = [part for part in parts if not isinstance(part, HasScore)]
    if not strengths:
        return others
    strength = strengths[0] if len(strengths) == 1 else And(strengths)
    attached = [_attach(part, strength) for part in others]
    if attached == others:
        return [*others, InFamily(None, 1, ALL_CASES, strength)]
    return attached


def _attach(part: Expression, strength: Expression) -> Expression:
    if isinstance(part, InFamily) and part.score is None:
        return replace(part, score=strength)
    if isinstance(part, Or) and all(isinstance(one, InFamily) for one in part.parts):
        return Or(tuple(_attach(one, strength) for one in part.parts))
    return part


def select_family_neurons(
    term: InFamily, bind: Callable[[Value], str], write: Callable[[Expression], str]
) -> str:
    """Return the SELECT of the neurons of a family; `write` is the condition of a score."""
    named = ""
    if term.name is not None:
        name = bind(term.name)
        named = f" AND (t.family = {name} OR t.name = {name})"
    score = "" if term.score is None else f" AND {write(term.score)}"
    case, within = str(term.case), bind(term.within)
    return _BY_FAMILY.format(named=named, case=case, within=within, score=score)


def find_family_name(connection: Connection, name: str) -> str:
    """Return a family or a test as it is stored, given in any case, with blanks or hyphens.

    Where none is stored the name stays as it is: a run is missing then, which `empty_answers` says.

    Raises:
        UnknownNameError: when there is none of that name; the message has similar names.
    """
    t = tables.token_tests.c
    families = connection.scalars(select(t.family).distinct()).all()
    names: list[str] = [*families, *connection.scalars(select(t.name).distinct()).all()]
    if name in names or not names:
        return name
    words = split_words(name)
    for one in names:
        if split_words(one) == words:
            return one
    hint = suggest_names(name, names) or f"; families are {', '.join(sorted(families))}"
    raise UnknownNameError(f"no family or test {quote_word(name)} in this database{hint}")


def explain_missing_families(
    connection: Connection, terms: Sequence[InFamily], models: Sequence[Model]
) -> Iterator[str]:
    """Yield, of each family and model with a run, the best score that there is."""
    r, t, f = tables.family_runs.c, tables.token_tests.c, tables.neuron_families.c
    for model in models:
        of_model = select(r.run_id).where(r.model_id == model.model_id).limit(1)
        if connection.scalar(of_model) is None:  # which is said elsewhere
            continue
        for term in dict.fromkeys(replace(term, score=None) for term in terms):
            best = (
                select(func.max(f.score))
                .select_from(tables.family_runs)
                .join(tables.token_tests, t.run_id == r.run_id)
                .join(tables.neuron_families, (f.run_id == r.run_id) & (f.test == t.test))
                .where(r.model_id == model.model_id, f.case_id == term.case, f.rank < term.within)
            )
            if term.name is not None:
                best = best.where(or_(t.family == term.name, t.name == term.name))
            score = connection.scalar(best)
            named = "" if term.name is None else f" of {quote_word(term.name)}"
            if score is not None:
                yield f"the best score{named} in {model.name} is {score:.3f}"
            elif term.name is not None:
                more = f"; {FAMILY_KEY}={quote_word(term.name)} @9 looks among all of its families"
                yield f"of no neuron of {model.name} is the best test{named}{more}"
