"""Ablation runs that can be repeated, and histograms of what they changed."""

from alembic import op
import sqlalchemy as sa


revision = '0004'
down_revision = '0003'
branch_labels = None
depends_on = None

CLUSTERED = {"sqlite_with_rowid": False}
INTEGER, REAL, WORD = sa.Integer(), sa.Double(), sa.String()
MEANS = "dataset whose activations gave the values of mode mean"
RUN_COLUMNS = (
    ("n_texts", INTEGER, "texts run: the first so many of the dataset"),
    ("n_tokens", INTEGER, "tokens counted"),
    ("max_len", INTEGER, "tokens a text at most, the prefix token included"),
    ("skip_bos", sa.Boolean(), "whether the first position of each text was left out of the counts"),
    ("dtype", WORD, "dtype of the forward pass"),
    ("device", WORD, "device"),
    ("tool_version", WORD, "version of neurondb"),
    ("torch_version", WORD, "version of torch"),
    ("fingerprint", WORD, "fingerprint of the model's weights"),
    ("created_at", WORD, "UTC, ISO 8601"),
)


def upgrade() -> None:
    op.add_column("ablation_runs", _column(
        "hook", WORD, "what was set: hook_post, or hook_pre_linear of clamp",
        nullable=False, server_default="hook_post",
    ))
    for name, kind, comment in RUN_COLUMNS:
        op.add_column("ablation_runs", _column(name, kind, comment))
    # The reference stands within the column, where SQLite can add it without copying the table.
    op.execute(
        "ALTER TABLE ablation_runs ADD COLUMN means_dataset_id INTEGER "
        "CONSTRAINT fk_ablation_runs_means_dataset_id_dataset_rows "
        "REFERENCES dataset_rows (dataset_id)"
    )
    if op.get_bind().dialect.supports_comments:
        op.execute(f"COMMENT ON COLUMN ablation_runs.means_dataset_id IS '{MEANS}'")
    op.create_table(
        "ablation_histograms",
        _column("run_id", INTEGER, "run", nullable=False),
        _column("metric", WORD, "loss, entropy, rank or scale", nullable=False),
        _column("low", REAL, "lower edge of a bin of clean − ablated", nullable=False),
        _column(
            "high", REAL, "upper edge; an edge belongs to the bin beyond it, seen from 0",
            nullable=False,
        ),
        _column(
            "n", INTEGER,
            "tokens in the bin; those that did not change are in none",
            nullable=False,
        ),
        sa.ForeignKeyConstraint(
            ["run_id"], ["ablation_runs.run_id"],
            name=op.f("fk_ablation_histograms_run_id_ablation_runs"),
        ),
        sa.PrimaryKeyConstraint("run_id", "metric", "low", name=op.f("pk_ablation_histograms")),
        **CLUSTERED,
    )


def _column(name, kind, comment, nullable=True, **more):
    return sa.Column(name, kind, nullable=nullable, comment=comment, **more)


def downgrade() -> None:
    op.drop_table("ablation_histograms")
    for name in ("means_dataset_id", *(name for name, _, _ in reversed(RUN_COLUMNS)), "hook"):
        op.execute(f"ALTER TABLE ablation_runs DROP COLUMN {name}")
