"""neuron_overview has more numbers, and neuron_percentiles their ranks: views alone.

Views are made anew by every upgrade. The number says that they are there, so that a database of
before is told to be upgraded instead of lacking a column.
"""

revision = '0016'
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Change no table."""


def downgrade() -> None:
    """Change no table."""
