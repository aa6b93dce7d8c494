"""Which tests of tokens explain what neurons do (METHODS §9; universal-neurons §4.3)."""

from typing import Final

from sqlalchemy import Column, Index, SmallInteger, String, Table, Text, UniqueConstraint

from neurondb.schema.columns import (
    CLUSTERED,
    flag,
    identity,
    integer,
    key,
    metadata,
    number,
    provenance,
    real,
    reference,
    word,
)

ALL_CASES: Final = -1
"""Stands for all of a neuron's tokens where else a code of `sign_case_names` stands."""

family_runs = Table(
    "family_runs",
    metadata,
    identity("run_id", "run, one of a model and a dataset: a new one replaces it"),
    reference("model_id", "models.model_id", "model"),
    reference("dataset_id", "dataset_rows.dataset_id", "dataset that the tests were run over"),
    integer("n_texts", "texts"),
    integer("n_tokens", "tokens counted"),
    integer("max_len", "tokens a text at most"),
    flag("skip_bos", "whether the first position of each text was left out", nullable=False),
    integer("n_words", "frequent words that were a test each, at each place"),
    integer("min_count", "tokens that a test must hold for, and not hold for, at least"),
    real("least_score", "families of smaller score are stored only where they are the best"),
    word("tagger", "spaCy model of the syntax tests; NULL without them", nullable=True),
    integer("n_positions", "positions that occurred, for what chance gives to the information"),
    real("seconds", "seconds that it took"),
    *provenance(),
    UniqueConstraint("model_id", "dataset_id"),
)

token_tests = Table(
    "token_tests",
    metadata,
    key("run_id", "family_runs.run_id", "run"),
    number("test", "test of tokens, by its place in the run"),
    word("family", "family: unigram, alphabet, spelling, word_class, word_position, …"),
    word("name", "name: starts_with_space, previous:word:the"),
    Column("description", Text, nullable=False, comment="what a token is where the test holds"),
    integer("n", "tokens that it holds for"),
    real("share", "share of the counted tokens that it holds for (β)", nullable=False),
    **CLUSTERED,
)

neuron_families = Table(
    "neuron_families",
    metadata,
    key("neuron_id", "neurons.neuron_id", "neuron"),
    key("run_id", "family_runs.run_id", "run"),
    Column(
        "case_id",
        SmallInteger,
        primary_key=True,
        autoincrement=False,
        comment="code of the sign case that hook_post is restricted to (0 elsewhere); -1 for none",
    ),
    Column(
        "rank",
        SmallInteger,
        primary_key=True,
        autoincrement=False,
        comment="place of the family among those of the neuron and case; 0 explains the most",
    ),
    integer("test", "its best test in this family"),
    real("score", "reduction in variance of hook_post by the test", nullable=False),
    real("inside_mean", "mean canonical hook_post where the test holds", nullable=False),
    real("outside_mean", "mean canonical hook_post where it does not", nullable=False),
    Index(None, "run_id", "test", "score"),
    **CLUSTERED,
)

position_information = Table(
    "position_information",
    metadata,
    key("neuron_id", "neurons.neuron_id", "neuron"),
    key("run_id", "family_runs.run_id", "run"),
    real("information", "mutual information of x_pre > 0 and the position, in nats"),
    **CLUSTERED,
)

family_activations = Table(
    "family_activations",
    metadata,
    key("neuron_id", "neurons.neuron_id", "one of the neurons that a family explains best"),
    key("run_id", "family_runs.run_id", "run"),
    Column(
        "split",
        String,
        primary_key=True,
        comment="what tokens are parted by: test (the neuron's best), position, next_token",
    ),
    number("place", "place of the part, from 0"),
    Column("part", Text, nullable=False, comment="holds, elsewhere, a place in a word, a token"),
    integer("n", "tokens in the part"),
    real("mean", "mean of canonical hook_post over them", nullable=False),
    *(
        real(f"q{percent:02d}", f"{percent}% quantile of canonical hook_post", nullable=False)
        for percent in (5, 25, 50, 75, 95)
    ),
    **CLUSTERED,
)
"""What box plots of some neurons are drawn from (universal-neurons Fig. 4, 16–22, 25)."""
