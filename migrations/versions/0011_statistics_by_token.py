"""Statistics by token: what neurons do at, just before and just after frequent tokens."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    """Create the table of statistics by token and that of its places."""
    op.create_table(
        "token_stat_places",
        sa.Column("place_id", sa.SmallInteger(), nullable=False, comment="code"),
        sa.Column(
            "place",
            sa.String(),
            nullable=False,
            comment="current: the token is at the position; previous: just before it; next: just "
            "after it",
        ),
        sa.PrimaryKeyConstraint("place_id", name=op.f("pk_token_stat_places")),
        sa.UniqueConstraint("place", name=op.f("uq_token_stat_places_place")),
    )
    op.create_table(
        "token_stat_rows",
        sa.Column("neuron_id", sa.Integer(), nullable=False, comment="neuron"),
        sa.Column("dataset_id", sa.Integer(), nullable=False, comment="dataset"),
        sa.Column("place_id", sa.SmallInteger(), nullable=False, comment="code of the place"),
        sa.Column("rank", sa.SmallInteger(), nullable=False, comment="place in the list, from 0, which has the largest |mean|"),
        sa.Column("token_id", sa.Integer(), nullable=False, comment="token, one of the dataset's most frequent"),
        sa.Column("mean", sa.Double(), nullable=False, comment="mean of hook_post, canonical sign, over these positions"),
        sa.Column("freq", sa.Double(), nullable=False, comment="share of them with x_gate > 0 (ungated: hook_post > 0)"),
        sa.Column("n", sa.Integer(), nullable=False, comment="counted positions that have the token at this place"),
        sa.ForeignKeyConstraint(
            ["dataset_id"],
            ["dataset_rows.dataset_id"],
            name=op.f("fk_token_stat_rows_dataset_id_dataset_rows"),
        ),
        sa.ForeignKeyConstraint(
            ["neuron_id"],
            ["neurons.neuron_id"],
            name=op.f("fk_token_stat_rows_neuron_id_neurons"),
        ),
        sa.ForeignKeyConstraint(
            ["place_id"],
            ["token_stat_places.place_id"],
            name=op.f("fk_token_stat_rows_place_id_token_stat_places"),
        ),
        sa.PrimaryKeyConstraint(
            "neuron_id", "dataset_id", "place_id", "rank", name=op.f("pk_token_stat_rows")
        ),
        sqlite_with_rowid=False,
    )


def downgrade() -> None:
    """Drop both."""
    op.drop_table("token_stat_rows")
    op.drop_table("token_stat_places")
