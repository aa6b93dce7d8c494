"""`find` against a small interpreter of its own over the same rows in Python."""

import operator
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine

from neurondb.errors import UnknownNameError, UsageError
from neurondb.find import count, find
from neurondb.find.columns import DEFAULT_COLUMNS as COLUMNS_SHOWN
from neurondb.find.columns import ResultShape
from neurondb.find.search import explain_find
from neurondb.schema import codes
from tests.support.sample_facts import Row, Sample

Truth = bool | None
Meaning = Callable[[Row, Sample], Truth]


@dataclass(frozen=True)
class Term:
    """A `find` expression and, written separately, what it ought to mean."""

    text: str
    holds: Meaning = field(repr=False)


def _not(value: Truth) -> Truth:
    return None if value is None else not value


def _and(values: list[Truth]) -> Truth:
    return False if False in values else None if None in values else True


def _or(values: list[Truth]) -> Truth:
    return True if True in values else None if None in values else False


RELATIONS = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "=": operator.eq,
    "!=": operator.ne,
}
COLUMNS = {
    **{name: name for name in ("freq", "in_out", "gate-in", "layer", "out_norm", "pre_kurtosis")},
    "gate_freq": "freq",
    "gate-_in+": "gate_neg_in_pos",
    "gate+_in-": "gate_pos_in_neg",
    "significant": "significant_in_out",
    "OUT_KURTOSIS": "out_kurtosis",
    "sign": "sign",
}


def comparison(key: str, relation: str, value: float) -> Term:
    column = COLUMNS[key].replace("-", "_")

    def holds(row: Row, _sample: Sample) -> Truth:
        return None if row[column] is None else bool(RELATIONS[relation](row[column], value))

    return Term(f"{key}{relation}{value}", holds)


def absolute(value: float) -> Term:
    def holds(row: Row, _sample: Sample) -> Truth:
        return None if row["in_out"] is None else abs(row["in_out"]) > value

    return Term(f"|in_out| > {value}", holds)


def between(low: float, high: float) -> Term:
    def holds(row: Row, _sample: Sample) -> Truth:
        return None if row["freq"] is None else low <= row["freq"] <= high

    return Term(f"freq={low}..{high}", holds)


def of_class(text: str, *names: str) -> Term:
    return Term(text, lambda row, _sample: row["class"] in names)


def of_role(text: str, role: str | None) -> Term:
    return Term(text, lambda row, _sample: row["role"] == role)


def has_token(key: str, vectors: str, basis: int, direction: int, token: str) -> Term:
    lists = [
        codes.encode_token_list(codes.VECTORS.index(v), basis, direction)
        for v in vectors.split("+")
    ]

    def holds(row: Row, sample: Sample) -> Truth:
        return any(token in sample.top[row["neuron_id"], code] for code in lists)

    escaped = token.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n")
    return Term(f"{key}='{escaped}'", holds)


CLASSES = [
    of_class("weakening", "weakening"),
    of_class("depletion", "weakening"),
    of_class("class=weak", "weakening"),
    of_class("conditional weakening", "conditional weakening"),
    of_class("cond-weak", "conditional weakening"),
    of_class("cond enr", "conditional strengthening"),
    of_class("io_class='atypical depletion'", "atypical weakening"),
    of_class("atyp prop", "atypical proportional change"),
    of_class("class=weakening,strengthening", "weakening", "strengthening"),
    of_class("orthogonal_output", "orthogonal output"),
    of_class("undefined", "undefined"),
    Term("atypical", lambda row, _: row["class"].startswith("atypical")),
    Term(
        "input-manipulator", lambda row, _: row["class"] not in ("orthogonal output", "undefined")
    ),
    Term(
        "typical",
        lambda row, _: not row["class"].startswith("atypical") and row["class"] != "undefined",
    ),
]
OTHERS = [
    of_role("prediction", "prediction"),
    of_role("role=supp", "suppression"),
    of_role("role=none", None),
    Term("1.7", lambda row, _: row["name"] == "1.7"),
    Term("name=0.0,2.63", lambda row, _: row["name"] in ("0.0", "2.63")),
    Term("model=sample-gpt", lambda row, _: row["model"] == "sample-gpt"),
    Term("layer=0,2..3", lambda row, _: row["layer"] in (0, 2, 3)),
    Term("freq=null", lambda row, _: row["freq"] is None),
    Term("freq>=30%", lambda row, _: None if row["freq"] is None else row["freq"] >= 0.3),
    Term(
        "dead",
        lambda row, _: row["post_positive"] == 0 if row["freq"] is None else row["freq"] == 0,
    ),
    Term("lm-head.token=' dog'", lambda row, sample: " dog" in sample.heads(row["neuron_id"])),
    Term("top_out_token=' dog'", lambda row, _: row["top_out_token"] == " dog"),
    Term(
        "out.token=' dog'@2",
        lambda row, sample: (
            " dog" in sample.top[row["neuron_id"], codes.encode_token_list(2, 0, 0)][:2]
        ),
    ),
]
TOKENS = [
    *(has_token("token", "gate+in+out", 0, 0, token) for token in (" dog", "\n", "'", "\\xe2")),
    has_token("gate.token", "gate", 0, 0, " 犬"),
    has_token("in.out.token", "in+out", 0, 0, '"'),
    has_token("out.bottom.token", "out", 0, 1, "null"),
    has_token("embed.in.token", "in", 1, 0, "a|b"),
    has_token("promotes", "out", 0, 0, " cat"),
    has_token("suppresses", "out", 0, 1, "cat"),
    has_token("reads", "gate+in", 0, 0, " only-gpt"),
]


def has_effect(text: str, name: str, holds: Callable[[float], bool]) -> Term:
    def of_neuron(row: Row, sample: Sample) -> Truth:
        return any(
            holds(one["effect"])
            for one in sample.effects
            if (one["neuron_id"], one["property"]) == (row["neuron_id"], name)
        )

    return Term(text, of_neuron)


PROPERTIES = [
    has_effect("property.is-ascii<-1", "is ascii", lambda effect: effect < -1),
    has_effect("property.Starts_With_Space >= 2.5", "starts with space", lambda e: e >= 2.5),
    has_effect("'property.is ascii'=1..2", "is ascii", lambda effect: 1 <= effect <= 2),
    has_effect("property.is-ascii=..-1,3..", "is ascii", lambda e: e <= -1 or e >= 3),
    has_effect("|property.is-ascii|>2", "is ascii", lambda effect: abs(effect) > 2),
    has_effect("promotes.property='is ascii'", "is ascii", lambda effect: effect >= 0.5),
    has_effect("SUPPRESSES.property=is-ascii", "is ascii", lambda effect: effect <= -0.5),
    has_effect("property=starts-with-space", "starts with space", lambda e: abs(e) >= 0.5),
    Term(
        "suppresses.property=is-ascii,starts-with-space",
        lambda row, sample: any(
            one["effect"] <= -0.5 for one in sample.effects if one["neuron_id"] == row["neuron_id"]
        ),
    ),
]

values = st.sampled_from([-0.5, -0.1, 0, 0.1, 0.3, 0.5, 1, 3.0, 1e-3])
shares = st.sampled_from([0, 0.1, 0.3, 0.5, 1, 1e-3])
ranges = st.tuples(shares, shares).map(sorted)
VALUES = {"layer": st.integers(0, 5), "freq": shares, "gate_freq": shares} | {
    key: shares for key in COLUMNS if key.startswith(("gate-_", "gate+_"))
}
terms = st.one_of(
    st.sampled_from(sorted(COLUMNS)).flatmap(
        lambda key: st.builds(
            comparison, st.just(key), st.sampled_from(sorted(RELATIONS)), VALUES.get(key, values)
        )
    ),
    st.builds(absolute, values),
    st.builds(lambda ends: between(*ends), ranges),
    st.sampled_from([*CLASSES, *OTHERS, *TOKENS, *PROPERTIES]),
)


def _negated(term: Term) -> Term:
    return Term(f"not ({term.text})", lambda row, sample: _not(term.holds(row, sample)))


def _all(parts: list[Term], joint: str) -> Term:
    text = joint.join(f"({part.text})" for part in parts)
    return Term(text, lambda row, sample: _and([part.holds(row, sample) for part in parts]))


def _any(parts: list[Term]) -> Term:
    text = " or ".join(part.text for part in parts)
    return Term(f"({text})", lambda row, sample: _or([part.holds(row, sample) for part in parts]))


expressions = st.recursive(
    terms,
    lambda inner: st.one_of(
        st.builds(_negated, inner),
        st.builds(_all, st.lists(inner, min_size=2, max_size=3), st.sampled_from([" ", " AND "])),
        st.builds(_any, st.lists(inner, min_size=2, max_size=3)),
    ),
    max_leaves=6,
)


def found(engine: Engine, text: str) -> list[int]:
    return [row[0] for row in find(engine, text, columns=["neuron_id"]).rows]


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(expressions)
def test_expression_finds_what_it_says(
    sample: Sample, sample_engine: Engine, expression: Term
) -> None:
    expected = [r["neuron_id"] for r in sample.neurons if expression.holds(r, sample) is True]
    assert found(sample_engine, expression.text) == expected


@pytest.mark.parametrize(
    "term", [*CLASSES, *OTHERS, *TOKENS, *PROPERTIES], ids=lambda term: term.text
)
def test_term_finds_what_it_says_and_something(
    sample: Sample, sample_engine: Engine, term: Term
) -> None:
    expected = [r["neuron_id"] for r in sample.neurons if term.holds(r, sample) is True]
    assert expected
    assert found(sample_engine, term.text) == expected


def test_and_binds_tighter_than_or_and_not_tightest(sample: Sample, sample_engine: Engine) -> None:
    text = "layer=0 or layer=1 not neuron>=2 or not layer<3 and neuron=5"
    expected = [
        r["neuron_id"]
        for r in sample.neurons
        if r["layer"] == 0
        or (r["layer"] == 1 and not r["neuron"] >= 2)
        or (not r["layer"] < 3 and r["neuron"] == 5)
    ]
    assert found(sample_engine, text) == expected


def test_empty_expression_finds_every_neuron(sample: Sample, sample_engine: Engine) -> None:
    assert found(sample_engine, "  ") == [r["neuron_id"] for r in sample.neurons]


def test_token_id_means_another_token_in_each_model(sample: Sample, sample_engine: Engine) -> None:
    # id 0 is ' dog' in sample-llama and '0.5', the last of the shared texts, in sample-gpt
    token = {"sample-llama": " dog", "sample-gpt": "0.5"}
    lists = [codes.encode_token_list(vector, 0, 0) for vector in range(3)]
    expected = [
        r["neuron_id"]
        for r in sample.neurons
        if any(token[r["model"]] in sample.top[r["neuron_id"], code] for code in lists)
    ]
    assert found(sample_engine, "token=#0") == expected


def test_order_puts_unknown_last_and_ties_by_id(sample: Sample, sample_engine: Engine) -> None:
    rows = find(sample_engine, "", order=["-freq"], columns=["neuron_id"]).rows
    expected = sorted(
        sample.neurons,
        key=lambda r: (r["freq"] is None, -(r["freq"] or 0), r["neuron_id"]),
    )
    assert [row[0] for row in rows] == [r["neuron_id"] for r in expected]


def test_order_by_absolute_value_and_limit(sample: Sample, sample_engine: Engine) -> None:
    rows = find(sample_engine, "layer=1", order=["-|in_out|"], limit=7, columns=["in_out"]).rows
    known = [abs(r["in_out"]) for r in sample.neurons if r["layer"] == 1 and r["in_out"]]
    assert [abs(row[0]) for row in rows] == sorted(known, reverse=True)[:7]


def test_order_by_name_is_numeric(sample_engine: Engine) -> None:
    names = [
        row[0]
        for row in find(
            sample_engine, "model=sample-gpt layer=1", order=["-name"], columns=["name"], limit=3
        ).rows
    ]
    assert names == ["1.63", "1.62", "1.61"]


def test_rows_have_the_columns_asked_for(sample: Sample, sample_engine: Engine) -> None:
    columns = ["name", "top_out_token", "gate_neg_in_pos"]
    rows = find(sample_engine, "model=sample-llama 3.5", columns=columns)
    neuron = sample.named("sample-llama", "3.5")
    assert rows.columns == tuple(columns)
    assert list(rows.rows) == [tuple(neuron[column] for column in columns)]


def test_count_agrees_with_the_rows(sample: Sample, sample_engine: Engine) -> None:
    assert count(sample_engine, "weakening") == sum(
        r["class"] == "weakening" for r in sample.neurons
    )


def test_values_are_bound_never_pasted(sample_engine: Engine) -> None:
    with pytest.raises(UnknownNameError):
        found(sample_engine, 'model="x\' OR 1=1 --"')
    assert found(sample_engine, 'top_out_token="\' OR 1=1 --"') == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("model=sample-lama", "'sample-lama'.*'sample-llama'"),
        ("token='DOG'", "'dog', ' dog', ' Dog'"),
        ("token=xyzzy", "'xyzzy'"),
        ("token=#99999", "#99999"),
        ("token=' dgo'", "' dgo'.*' dog'"),
        ("model=sample-llama token=' only-gpt'", "' only-gpt'.*sample-llama"),
        (
            "suppresses='is ascii'",
            "'is ascii'.*property='is ascii'",
        ),
        ("property.isascii<-1", "'isascii'.*'is ascii'"),
        ("suppresses.property=years", "'years'.*is ascii.*starts with space"),
    ],
)
def test_unknown_names_are_told(sample_engine: Engine, text: str, said: str) -> None:
    with pytest.raises(UnknownNameError, match=said):
        found(sample_engine, text)


def test_models_are_named_in_any_case(sample_engine: Engine) -> None:
    assert found(sample_engine, "model=Sample-GPT") == found(sample_engine, "model=sample-gpt")


@pytest.mark.parametrize("order", [(), ("-freq",)])
def test_properties_are_answered_from_the_index(
    sample_engine: Engine, order: tuple[str, ...]
) -> None:
    plan = explain_find(
        sample_engine, "weak property.is-ascii<-1", ResultShape(order=order, limit=5)
    )
    assert "SEARCH e USING COVERING INDEX ix_property_effects_property_id_effect" in plan
    assert "SCAN e" not in plan


def test_what_orders_is_shown(sample_engine: Engine) -> None:
    columns = find(sample_engine, "1.7", order=["-OUT_KURTOSIS", "|in_out|", "name"]).columns
    assert columns == (*COLUMNS_SHOWN, "out_kurtosis")


@pytest.mark.parametrize("key", ["frq", "-frq", "|class|"])
def test_unknown_order_is_told(sample_engine: Engine, key: str) -> None:
    with pytest.raises(UsageError, match=key.strip("-|")):
        find(sample_engine, "", order=[key])
