"""Both sides of in under the LM head: what is stored is that of +in."""

from alembic import op
import sqlalchemy as sa


revision = '0008'
down_revision = '0007'
branch_labels = None
depends_on = None

CLUSTERED = {"sqlite_with_rowid": False}
INTEGER, SMALL, REAL = sa.Integer(), sa.SmallInteger(), sa.Double()


def upgrade() -> None:
    tail = "under softmax(U·side·in), both raw"
    with _Rows("lm_head_tokens", "neuron_id, 1, token_id, probability, normalised"):
        _create(
            "lm_head_tokens",
            [_column("neuron_id", INTEGER, "neuron"), _side()],
            [
                _column("token_id", INTEGER, f"token of largest probability {tail}"),
                _column("probability", REAL, "that probability"),
                _column("normalised", REAL, "÷ mean of the 100 largest probabilities of that side"),
            ],
            **CLUSTERED,
        )
        _index_tokens()
    with _Rows("lm_head_rows", "token_id, 1, neuron_id, probability, normalised"):
        _create(
            "lm_head_rows",
            [_token(), _side(), _every_neuron()],
            [
                _column("probability", REAL, f"of this token {tail}"),
                _column("normalised", REAL, "÷ mean of the 100 largest probabilities of that side"),
            ],
            **CLUSTERED,
        )


def downgrade() -> None:
    tail = "under softmax(U·in), both raw"
    normalised = "÷ mean of the neuron's 100 largest probabilities"
    only = "WHERE side = 1"
    with _Rows("lm_head_tokens", "neuron_id, token_id, probability, normalised", only):
        _create(
            "lm_head_tokens",
            [_column("neuron_id", INTEGER, "neuron")],
            [
                _column("token_id", INTEGER, f"token of largest probability {tail}"),
                _column("probability", REAL, "that probability"),
                _column("normalised", REAL, normalised),
            ],
        )
        _index_tokens()
    with _Rows("lm_head_rows", "token_id, neuron_id, probability, normalised", only):
        _create(
            "lm_head_rows",
            [_token(), _every_neuron()],
            [
                _column("probability", REAL, f"of this token {tail}"),
                _column("normalised", REAL, normalised),
            ],
            **CLUSTERED,
        )


class _Rows:
    """Keeps the rows of a table that is made anew inside; the key changes, so it must be."""

    def __init__(self, name, columns, only="") -> None:
        self.name, self.columns, self.only = name, columns, only

    def __enter__(self) -> None:
        op.execute(f"CREATE TEMPORARY TABLE kept AS SELECT * FROM {self.name} {self.only}")
        op.drop_table(self.name)

    def __exit__(self, kind, *_) -> None:
        if kind is None:
            key = self.columns.replace(" 1,", "").rpartition(", probability")[0]
            op.execute(
                f"INSERT INTO {self.name} SELECT {self.columns} FROM kept ORDER BY {key}"
            )
            op.execute("DROP TABLE kept")


def _column(name, kind, comment, **more):
    return sa.Column(name, kind, nullable=False, comment=comment, **more)


def _side():
    comment = "1: +in, −1: −in, in the checkpoint's sign; of ungated neurons only 1"
    return _column("side", SMALL, comment)


def _token():
    return _column("token_id", INTEGER, "token chosen, of the neuron's model", autoincrement=False)


def _every_neuron():
    return _column("neuron_id", INTEGER, "neuron, every one of the model")


def _create(name, keys, columns, **options) -> None:
    op.create_table(
        name,
        *keys,
        *columns,
        sa.ForeignKeyConstraint(
            ["neuron_id"], ["neurons.neuron_id"], name=op.f(f"fk_{name}_neuron_id_neurons")
        ),
        sa.PrimaryKeyConstraint(*(key.name for key in keys), name=op.f(f"pk_{name}")),
        **options,
    )


def _index_tokens() -> None:
    op.create_index(op.f("ix_lm_head_tokens_token_id"), "lm_head_tokens", ["token_id"])
