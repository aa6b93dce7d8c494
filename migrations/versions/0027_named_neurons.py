"""The view named_neurons, which named queries read.

No table changes. Views are made anew by every upgrade; the number asks for one where the view is
not there yet.
"""

revision = '0027'
down_revision = "0026"
branch_labels = None
depends_on = None


def upgrade() -> None:
    pass


def downgrade() -> None:
    pass
