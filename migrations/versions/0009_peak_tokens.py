"""The tokens that neurons fire on, after and before.

They are filled by the stage `peaks` from the examples that are stored.
"""

from alembic import op
import sqlalchemy as sa


revision = '0009'
down_revision = '0008'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('peak_token_lists',
    sa.Column('list_id', sa.SmallInteger(), nullable=False, comment='code'),
    sa.Column('sign_case', sa.String(), nullable=False, comment='sign case of the examples'),
    sa.Column('place', sa.String(), nullable=False, comment='peak, previous (the token before the peak) or next (the token after it)'),
    sa.PrimaryKeyConstraint('list_id', name=op.f('pk_peak_token_lists')),
    sa.UniqueConstraint('sign_case', 'place', name=op.f('uq_peak_token_lists_sign_case_place'))
    )
    op.create_table('peak_token_rows',
    sa.Column('neuron_id', sa.Integer(), nullable=False, comment='neuron'),
    sa.Column('dataset_id', sa.Integer(), nullable=False, comment='dataset'),
    sa.Column('list_id', sa.SmallInteger(), nullable=False, comment='code of the sign case and the place'),
    sa.Column('rank', sa.SmallInteger(), nullable=False, comment='place in the list, from 0: the most frequent first, among equals that of the stronger example'),
    sa.Column('token_id', sa.Integer(), nullable=False, comment='token'),
    sa.Column('count', sa.SmallInteger(), nullable=False, comment="in how many of the case's hook_post examples it stands there"),
    sa.Column('best_rank', sa.SmallInteger(), nullable=False, comment='rank of the strongest of these examples (example_rows)'),
    sa.ForeignKeyConstraint(['dataset_id'], ['dataset_rows.dataset_id'], name=op.f('fk_peak_token_rows_dataset_id_dataset_rows')),
    sa.ForeignKeyConstraint(['list_id'], ['peak_token_lists.list_id'], name=op.f('fk_peak_token_rows_list_id_peak_token_lists')),
    sa.ForeignKeyConstraint(['neuron_id'], ['neurons.neuron_id'], name=op.f('fk_peak_token_rows_neuron_id_neurons')),
    sa.PrimaryKeyConstraint('neuron_id', 'dataset_id', 'list_id', 'rank', name=op.f('pk_peak_token_rows')),
    sqlite_with_rowid=False
    )
    op.create_index('ix_peak_token_rows_token', 'peak_token_rows', ['token_id', 'list_id', 'neuron_id', 'count'], unique=False)


def downgrade() -> None:
    op.drop_index('ix_peak_token_rows_token', table_name='peak_token_rows')
    op.drop_table('peak_token_rows')
    op.drop_table('peak_token_lists')
