"""Histograms of what neurons write to the vocabulary, split by a property of tokens."""

from alembic import op
import sqlalchemy as sa


revision = '0018'
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('logit_effect_rows',
    sa.Column('neuron_id', sa.Integer(), nullable=False, comment='neuron; its effect on a token is cos(U_token, out)'),
    sa.Column('property_id', sa.Integer(), nullable=False, comment='property that sets its effects apart the most'),
    sa.Column('low', sa.Double(), autoincrement=False, nullable=False, comment='lower edge of a bin of effects, which it belongs to'),
    sa.Column('high', sa.Double(), nullable=False, comment='upper edge, which belongs to the next bin'),
    sa.Column('n', sa.Integer(), nullable=False, comment='tokens whose effect is in the bin; bins without any are left out'),
    sa.Column('n_inside', sa.Integer(), nullable=False, comment='those of them that have the property'),
    sa.ForeignKeyConstraint(['neuron_id'], ['neurons.neuron_id'], name=op.f('fk_logit_effect_rows_neuron_id_neurons')),
    sa.ForeignKeyConstraint(['property_id'], ['properties.property_id'], name=op.f('fk_logit_effect_rows_property_id_properties')),
    sa.PrimaryKeyConstraint('neuron_id', 'property_id', 'low', name=op.f('pk_logit_effect_rows')),
    sqlite_with_rowid=False
    )


def downgrade() -> None:
    op.drop_table('logit_effect_rows')
