"""Effects of single neurons, and their first-order estimates."""

from alembic import op
import sqlalchemy as sa


revision = '0005'
down_revision = '0004'
branch_labels = None
depends_on = None

CLUSTERED = {"sqlite_with_rowid": False}
INTEGER, REAL, WORD = sa.Integer(), sa.Double(), sa.String()
SECONDS = "seconds that the forward passes took; NULL if unknown"
RUN_COLUMNS = (
    (
        "kind", WORD, "together",
        "together: all neurons of the set at once; each: one after the other "
        "(neuron_effects); attribution: first-order estimates (neuron_attributions)",
    ),
    ("finished", sa.Boolean(), sa.true(), "whether it has gone through all of its neurons"),
)
SHOWN = (
    ("each_run_id", "run whose effects neuron_overview shows"),
    ("attribution_run_id", "run whose attributions neuron_overview shows"),
)


def upgrade() -> None:
    for name, kind, default, comment in RUN_COLUMNS:
        op.add_column("ablation_runs", sa.Column(
            name, kind, nullable=False, server_default=default, comment=comment
        ))
    op.add_column("ablation_runs", _real("seconds", SECONDS))
    for name, comment in SHOWN:
        op.add_column("models", sa.Column(name, INTEGER, nullable=True, comment=comment))
    _create(
        "neuron_effects", "run of kind each", "loss, entropy, rank or scale",
        "neuron, intervened on alone",
        sa.Column("n", INTEGER, nullable=False, comment="tokens"),
        _real("mean", "mean of clean − ablated"),
        _real("std", "standard deviation of clean − ablated over the tokens"),
        _real("changed", "share of tokens at which it is not 0"),
    )
    _create(
        "neuron_attributions", "run of kind attribution", "loss or entropy", "neuron",
        _real("mean", "first-order estimate of the mean of clean − ablated"),
    )


def _real(name, comment):
    return sa.Column(name, REAL, nullable=True, comment=comment)


def _create(name, run, metric, neuron, *columns) -> None:
    op.create_table(
        name,
        sa.Column("run_id", INTEGER, nullable=False, comment=run),
        sa.Column("metric", WORD, nullable=False, comment=metric),
        sa.Column("neuron_id", INTEGER, nullable=False, comment=neuron),
        *columns,
        *(
            sa.ForeignKeyConstraint(
                [column], [f"{target}.{column}"], name=op.f(f"fk_{name}_{column}_{target}")
            )
            for column, target in (("run_id", "ablation_runs"), ("neuron_id", "neurons"))
        ),
        sa.PrimaryKeyConstraint("run_id", "metric", "neuron_id", name=op.f(f"pk_{name}")),
        **CLUSTERED,
    )
    op.create_index(op.f(f"ix_{name}_run_id_metric_mean"), name, ["run_id", "metric", "mean"])


def downgrade() -> None:
    for name in ("neuron_attributions", "neuron_effects"):
        op.drop_table(name)
    for name, _ in reversed(SHOWN):
        op.execute(f"ALTER TABLE models DROP COLUMN {name}")
    for name in ("seconds", *(name for name, _, _, _ in reversed(RUN_COLUMNS))):
        op.execute(f"ALTER TABLE ablation_runs DROP COLUMN {name}")
