"""Histograms, labels, controls and traces; tokens that are not finite."""

from alembic import op
import sqlalchemy as sa


revision = '0002'
down_revision = '0001'
branch_labels = None
depends_on = None

CLUSTERED = {"sqlite_with_rowid": False}
INTEGER, SMALL, REAL, WORD = sa.Integer(), sa.SmallInteger(), sa.Double(), sa.String()
BYTES = sa.LargeBinary()


def upgrade() -> None:
    _create_lookups()
    _create_summaries()
    # Plain ALTER: a batch would copy the whole table on SQLite. The reference stands within the
    # column, where SQLite can add it.
    op.execute(
        "ALTER TABLE texts ADD COLUMN label_id INTEGER "
        "CONSTRAINT fk_texts_label_id_labels REFERENCES labels (label_id)"
    )
    op.add_column(
        "activation_stats",
        _column(
            "n_nonfinite", INTEGER,
            "tokens left out because gate, in or post was NaN or infinite there",
            server_default="0",
        ),
    )
    if op.get_bind().dialect.supports_comments:
        op.execute("COMMENT ON COLUMN texts.label_id IS 'its label, if it has one'")
    _alter_case_freq(nullable=True, comment="share of all counted tokens; NULL when none was counted")


def _column(name, kind, comment, **more):
    return sa.Column(name, kind, nullable=more.pop("nullable", False), comment=comment, **more)


def _reference(table, column, target):
    name = op.f(f"fk_{table}_{column}_{target}")
    return sa.ForeignKeyConstraint([column], [f"{target}.{column}"], name=name)


def _create_lookups() -> None:
    op.create_table(
        "quantities",
        _column("quantity_id", SMALL, "code"),
        _column("quantity", WORD, "hook_post, hook_pre_linear, hook_pre or swish"),
        sa.PrimaryKeyConstraint("quantity_id", name=op.f("pk_quantities")),
        sa.UniqueConstraint("quantity", name=op.f("uq_quantities_quantity")),
    )
    op.create_table(
        "control_kinds",
        _column("kind_id", SMALL, "code"),
        _column("kind", WORD, "random, or the quarter of the drawn texts by |peak|"),
        sa.PrimaryKeyConstraint("kind_id", name=op.f("pk_control_kinds")),
        sa.UniqueConstraint("kind", name=op.f("uq_control_kinds_kind")),
    )
    op.create_table(
        "labels",
        _column("label_id", INTEGER, "label"),
        _column("dataset_id", INTEGER, "dataset whose texts it tells apart"),
        _column("label", WORD, "name of that part of the dataset: a sub-corpus, a language"),
        _reference("labels", "dataset_id", "dataset_rows"),
        sa.PrimaryKeyConstraint("label_id", name=op.f("pk_labels")),
        sa.UniqueConstraint("dataset_id", "label", name=op.f("uq_labels_dataset_id_label")),
    )


def _create_clustered(name, keys, columns, references) -> None:
    """Create a table clustered on neuron, dataset and more keys; references: column → table."""
    keys = [
        _column("neuron_id", INTEGER, "neuron"), _column("dataset_id", INTEGER, "dataset"), *keys
    ]
    references = {"neuron_id": "neurons", "dataset_id": "dataset_rows"} | references
    op.create_table(
        name,
        *keys,
        *columns,
        *(_reference(name, column, target) for column, target in references.items()),
        sa.PrimaryKeyConstraint(*(key.name for key in keys), name=op.f(f"pk_{name}")),
        **CLUSTERED,
    )


def _create_summaries() -> None:
    _create_clustered(
        "activation_histograms",
        [_column("quantity_id", SMALL, "code of the quantity, canonical sign")],
        [
            _column(
                "counts", BYTES,
                "tokens in each of the 60 bins of neurondb.histogram, ascending, of every eighth "
                "position; as unsigned LEB128 integers",
            ),
        ],
        {"quantity_id": "quantities"},
    )
    _create_clustered(
        "label_stats",
        [_column("label_id", INTEGER, "label: only its texts count")],
        [
            _column("n_tokens", INTEGER, "tokens counted"),
            *(
                _column(name, REAL, comment, nullable=True)
                for name, comment in (
                    ("freq", "share of them with x_gate > 0; NULL when ungated"),
                    ("pre_mean", "mean of hook_pre (x_gate; ungated: x_in)"),
                    ("pre_variance", "population variance of hook_pre"),
                    ("post_mean", "mean of hook_post, canonical sign"),
                    ("post_variance", "population variance of hook_post"),
                    ("post_positive", "share of tokens with hook_post > 0, canonical sign"),
                )
            ),
        ],
        {"label_id": "labels"},
    )
    _create_clustered(
        "control_example_rows",
        [
            _column("kind_id", SMALL, "code of the kind"),
            _column("rank", SMALL, "place in the list, from 0"),
        ],
        [
            _column("text_id", INTEGER, "text"),
            _column(
                "position", INTEGER,
                "token position of its peak, the largest |hook_post| of the text",
            ),
            _column("value", REAL, "hook_post there, canonical sign"),
        ],
        {"kind_id": "control_kinds", "text_id": "texts"},
    )
    _create_clustered(
        "trace_rows",
        [
            _column("text_id", INTEGER, "text"),
            _column("position", INTEGER, "token position of the peak it is around"),
        ],
        [
            _column("start", INTEGER, "token position of its first value"),
            _column("n_tokens", INTEGER, "tokens"),
            _column(
                "trace", BYTES,
                "gate, in and post (ungated: in and post) of each token, one quantity after the "
                "other, canonical signs; as little-endian float16, saturated at ±65504",
            ),
        ],
        {"text_id": "texts"},
    )


def _alter_case_freq(*, nullable: bool, comment: str) -> None:
    with op.batch_alter_table("sign_case_rows", table_kwargs=CLUSTERED) as batch:
        batch.alter_column("freq", existing_type=REAL, nullable=nullable, comment=comment)


def downgrade() -> None:
    for name in ("trace_rows", "control_example_rows", "label_stats", "activation_histograms"):
        op.drop_table(name)
    op.execute("ALTER TABLE texts DROP COLUMN label_id")
    for name in ("labels", "control_kinds", "quantities"):
        op.drop_table(name)
    op.execute("ALTER TABLE activation_stats DROP COLUMN n_nonfinite")
    op.execute("UPDATE sign_case_rows SET freq = 0 WHERE freq IS NULL")
    _alter_case_freq(nullable=False, comment="share of all counted tokens")
