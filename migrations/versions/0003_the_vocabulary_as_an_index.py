"""Token norms in place of dot products; double checking, properties, comparisons."""

from collections import defaultdict

from alembic import op
import sqlalchemy as sa


revision = '0003'
down_revision = '0002'
branch_labels = None
depends_on = None

CLUSTERED, ORDINARY = {"sqlite_with_rowid": False}, {"sqlite_with_rowid": True}
INTEGER, SMALL, REAL, WORD = sa.Integer(), sa.SmallInteger(), sa.Double(), sa.String()
GATE_TOP, GATE_BOTTOM, IN_TOP, IN_BOTTOM = 0, 1, 4, 5
"""list_id of the lists under U."""
TABLES = (
    "comparison_neurons", "comparisons", "property_effects", "token_property_rows", "properties",
    "lm_head_rows", "double_checking",
)

NEURON_NORM = """CASE l.vector WHEN 'gate' THEN n.gate_norm WHEN 'in' THEN n.in_norm
                 ELSE n.out_norm END"""

TOKEN_SUMS = f"""
SELECT r.token_id, l.basis, SUM(ABS(r.dot)) AS dots, SUM(ABS(r.cosine) * {NEURON_NORM}) AS parts
FROM top_token_rows r
JOIN token_lists l ON l.list_id = r.list_id
JOIN neurons n ON n.neuron_id = r.neuron_id
WHERE r.neuron_id >= :first AND r.neuron_id < :end
GROUP BY r.token_id, l.basis
"""

# + 0 keeps SQLite from looking each token up in the index of all neurons' tokens.
SHARED_TOKENS = """
SELECT a.neuron_id, a.list_id AS gate_list, b.list_id AS in_list, COUNT(*) AS shared
FROM top_token_rows a
JOIN top_token_rows b ON b.neuron_id = a.neuron_id AND b.list_id IN (4, 5)
                     AND b.token_id + 0 = a.token_id + 0
WHERE a.neuron_id >= :first AND a.neuron_id < :end AND a.list_id IN (0, 1)
GROUP BY a.neuron_id, a.list_id, b.list_id
"""

LIST_LENGTHS = """
SELECT s.neuron_id,
       (SELECT COUNT(*) FROM top_token_rows g WHERE g.neuron_id = s.neuron_id AND g.list_id = 0)
       AS gate,
       (SELECT COUNT(*) FROM top_token_rows i WHERE i.neuron_id = s.neuron_id AND i.list_id = 4)
       AS in_
FROM vocab_stat_rows s
WHERE s.neuron_id >= :first AND s.neuron_id < :end AND s.vector_id = 0
ORDER BY s.neuron_id
"""

DOT = f"""
SELECT top_token_rows.cosine * ({NEURON_NORM})
       * CASE l.basis WHEN 'unembed' THEN t.unembed_norm ELSE t.embed_norm END
FROM token_lists l
JOIN neurons n ON n.neuron_id = top_token_rows.neuron_id
JOIN tokens t ON t.model_id = n.model_id AND t.token_id = top_token_rows.token_id
WHERE l.list_id = top_token_rows.list_id
"""


def upgrade() -> None:
    sqlite = op.get_bind().dialect.name == "sqlite"
    if sqlite:
        op.execute("PRAGMA cache_size = -8192")  # sorts an index in files, not in gigabytes of memory
    _create_vocabulary()
    _create_properties()
    _create_comparisons()
    op.add_column("vocab_stat_rows", _real(
        "null_share",
        "out only: share of ‖out‖ in the null directions of U (METHODS §4); NULL if not computed",
    ))
    op.add_column("tokens", _real(
        "unembed_norm", "norm of its row of U, folded and centred (METHODS §1); NULL if unknown"
    ))
    op.add_column("tokens", _real("embed_norm", "norm of its row of E, as stored; NULL if unknown"))
    for model_id, gated, ranges in _models():
        _derive_norms(model_id, ranges)
        if gated:
            for layer in ranges:
                _derive_double_checking(layer)
    # Tokens that are in no list have no norm yet: the next `neurondb ingest` stores them all again.
    op.execute("DELETE FROM ingest_steps WHERE stage = 'tokens'")
    with op.batch_alter_table("top_token_rows", table_kwargs=CLUSTERED) as batch:
        batch.drop_column("dot")
    if sqlite:
        # Blobs of kilobytes fill the pages of a table that is not clustered better, by a quarter.
        with op.batch_alter_table("text_token_ids", recreate="always", table_kwargs=ORDINARY):
            pass


def _column(name, kind, comment, **more):
    return sa.Column(name, kind, nullable=more.pop("nullable", False), comment=comment, **more)


def _real(name, comment):
    return _column(name, REAL, comment, nullable=True)


def _create(name, keys, columns, references, *more, **options) -> None:
    """Create a table; references: column → (table, column)."""
    op.create_table(
        name,
        *keys,
        *columns,
        *(
            sa.ForeignKeyConstraint(
                [column], [f"{target}.{other}"], name=op.f(f"fk_{name}_{column}_{target}")
            )
            for column, (target, other) in references.items()
        ),
        sa.PrimaryKeyConstraint(*(key.name for key in keys), name=op.f(f"pk_{name}")),
        *more,
        **options,
    )


NEURON = {"neuron_id": ("neurons", "neuron_id")}


def _create_vocabulary() -> None:
    _create(
        "lm_head_rows",
        [
            _column("token_id", INTEGER, "token chosen, of the neuron's model", autoincrement=False),
            _column("neuron_id", INTEGER, "neuron, every one of the model"),
        ],
        [
            _column("probability", REAL, "of this token under softmax(U·in), both raw"),
            _column("normalised", REAL, "÷ mean of the neuron's 100 largest probabilities"),
        ],
        NEURON,
        **CLUSTERED,
    )
    _create(
        "double_checking",
        [_column("neuron_id", INTEGER, "neuron of a gated model")],
        [
            _column("k", INTEGER, "tokens of each list"),
            _real(
                "jaccard",
                "overlap of the top tokens of gate under U with the tokens of in at relative_sign; "
                "NULL when a vector is zero",
            ),
            _real(
                "bottom_jaccard", "the same of the bottom tokens of gate and the other end of in"
            ),
            _column(
                "relative_sign", SMALL,
                "which end of in overlaps more with the top of gate: 1 the top (equal too), "
                "-1 the bottom; NULL with jaccard",
                nullable=True,
            ),
        ],
        NEURON,
    )
    op.create_index(op.f("ix_double_checking_jaccard"), "double_checking", ["jaccard"])


def _create_properties() -> None:
    _create(
        "properties",
        [_column("property_id", INTEGER, "property, of the tokens of any model")],
        [
            _column("name", WORD, "name: starts with space, is a year"),
            _column("description", sa.Text(), "which tokens have it"),
        ],
        {},
        sa.UniqueConstraint("name", name=op.f("uq_properties_name")),
    )
    of_property = {"property_id": ("properties", "property_id")}
    _create(
        "token_property_rows",
        [
            _column("model_id", INTEGER, "model"),
            _column("property_id", INTEGER, "property"),
            _column("token_id", INTEGER, "token of the model that has it", autoincrement=False),
        ],
        [],
        {"model_id": ("models", "model_id")} | of_property,
        **CLUSTERED,
    )
    _create(
        "property_effects",
        [
            _column("neuron_id", INTEGER, "neuron; its effect on a token is cos(U_token, out)"),
            _column("property_id", INTEGER, "property"),
        ],
        [
            _column(
                "effect", REAL,
                "(inside_mean − outside_mean) ÷ standard deviation of the neuron's effects on all "
                "tokens",
            ),
            _column("inside_mean", REAL, "mean effect on the tokens that have the property"),
            _column("outside_mean", REAL, "mean effect on all other tokens"),
        ],
        NEURON | of_property,
        **CLUSTERED,
    )
    op.create_index(
        op.f("ix_property_effects_property_id_effect"), "property_effects",
        ["property_id", "effect"],
    )


def _create_comparisons() -> None:
    _create(
        "comparisons",
        [_column("comparison_id", INTEGER, "comparison")],
        [
            _column("model_a", INTEGER, "model before: the one that the other came from"),
            _column("model_b", INTEGER, "model after, of as many layers and neurons"),
            _column("created_at", WORD, "UTC, ISO 8601"),
            _column("tool_version", WORD, "version of neurondb"),
            _real(
                "share_same_token",
                "share of neurons with the same top token of the LM-head decoding in both "
                "(specialised-feature-neurons §2), of those that have one in both; NULL if none has",
            ),
        ],
        {"model_a": ("models", "model_id"), "model_b": ("models", "model_id")},
        sa.UniqueConstraint("model_a", "model_b", name=op.f("uq_comparisons_model_a_model_b")),
    )
    zero = {"gate": "ungated or one is zero", "in": "one is zero", "out": "one is zero"}
    classes = {"class_a": "model_a", "class_b": "model_b"}
    _create(
        "comparison_neurons",
        [
            _column("comparison_id", INTEGER, "comparison"),
            _column("layer", INTEGER, "layer, from 0", autoincrement=False),
            _column("neuron", INTEGER, "its number in it", autoincrement=False),
        ],
        [
            *(
                _real(f"{v}_cosine", f"cos({v} of model_a, {v} of model_b); NULL if {null}")
                for v, null in zero.items()
            ),
            _column(
                "same_token", sa.Boolean(),
                "whether the top token of the LM-head decoding is the same text in both",
                nullable=True,
            ),
            *(
                _column(
                    name, SMALL,
                    f"its read-write class in {of} when compared; NULL if it had none",
                    nullable=True,
                )
                for name, of in classes.items()
            ),
            _real("moved", "1 − the smallest of the cosines there are; NULL if there is none"),
        ],
        {"comparison_id": ("comparisons", "comparison_id")}
        | {name: ("rw_classes", "class_id") for name in classes},
        **CLUSTERED,
    )
    op.create_index(
        op.f("ix_comparison_neurons_comparison_id_moved"), "comparison_neurons",
        ["comparison_id", "moved"],
    )


def _models():
    """Return id, gated and the neuron ids of each layer, of every model."""
    rows = op.get_bind().execute(sa.text(
        "SELECT model_id, gated, n_layers, d_mlp, first_neuron_id FROM models"
    )).all()
    return [
        (
            row.model_id,
            row.gated,
            [
                {"first": first, "end": first + row.d_mlp}
                for first in range(
                    row.first_neuron_id, row.first_neuron_id + row.n_layers * row.d_mlp, row.d_mlp
                )
            ],
        )
        for row in rows
    ]


def _derive_norms(model_id, layers) -> None:
    """Write token norms: dot ÷ (cosine · norm of the vector), weighted by the divisor."""
    connection, sums = op.get_bind(), defaultdict(lambda: [0.0, 0.0])
    for layer in layers:
        for row in connection.execute(sa.text(TOKEN_SUMS), layer):
            both = sums[row.basis, row.token_id]
            both[0] += row.dots
            both[1] += row.parts or 0.0
    for basis in ("unembed", "embed"):
        norms = [
            # Where every cosine is 0, so is every dot product, whatever the norm; 0 says so.
            {"model": model_id, "token": token, "norm": dots / parts if parts else 0.0}
            for (of_basis, token), (dots, parts) in sums.items()
            if of_basis == basis
        ]
        if norms:
            connection.execute(sa.text(
                f"UPDATE tokens SET {basis}_norm = :norm WHERE model_id = :model "
                "AND token_id = :token"
            ), norms)


def _derive_double_checking(layer) -> None:
    """Write what `neurondb.writing.layers.write_double_checking` would have (METHODS §4)."""
    connection, shared = op.get_bind(), {}
    for row in connection.execute(sa.text(SHARED_TOKENS), layer):
        shared[row.neuron_id, row.gate_list, row.in_list] = row.shared
    rows = []
    for neuron_id, gate, in_ in connection.execute(sa.text(LIST_LENGTHS), layer).all():
        k = max(gate, in_)
        found = {"neuron": neuron_id, "k": k, "top": None, "bottom": None, "sign": None}
        if gate and in_:
            same, opposite = (shared.get((neuron_id, GATE_TOP, end), 0) for end in (IN_TOP, IN_BOTTOM))
            sign, other = (-1, IN_TOP) if opposite > same else (1, IN_BOTTOM)
            ends = max(same, opposite), shared.get((neuron_id, GATE_BOTTOM, other), 0)
            top, bottom = (n / (2 * k - n) for n in ends)
            found |= {"top": top, "bottom": bottom, "sign": sign}
        rows.append(found)
    if rows:
        connection.execute(sa.text(
            "INSERT INTO double_checking (neuron_id, k, jaccard, bottom_jaccard, relative_sign) "
            "VALUES (:neuron, :k, :top, :bottom, :sign)"
        ), rows)


def downgrade() -> None:
    # A dot product whose norms are unknown was never stored by 0002: 0 stands in its place.
    op.execute("ALTER TABLE top_token_rows ADD COLUMN dot FLOAT")
    op.execute(f"UPDATE top_token_rows SET dot = COALESCE(({DOT}), 0)")
    with op.batch_alter_table("top_token_rows", table_kwargs=CLUSTERED) as batch:
        batch.alter_column("dot", existing_type=REAL, type_=REAL, nullable=False)
    if op.get_bind().dialect.name == "sqlite":
        with op.batch_alter_table("text_token_ids", recreate="always", table_kwargs=CLUSTERED):
            pass
    for column in ("embed_norm", "unembed_norm"):
        op.execute(f"ALTER TABLE tokens DROP COLUMN {column}")
    op.execute("ALTER TABLE vocab_stat_rows DROP COLUMN null_share")
    for name in TABLES:
        op.drop_table(name)
