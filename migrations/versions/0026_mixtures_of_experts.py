"""Mixtures of experts: which expert a neuron is of, and how tokens are routed."""

from alembic import op
import sqlalchemy as sa


revision = '0026'
down_revision = "0025"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for name, comment in (
        ('n_experts', 'routed experts of a layer; NULL of a dense model'),
        ('d_expert', 'neurons of each; NULL of a dense model'),
        ('experts_per_token', 'routed experts that a token passes through'),
        ('d_shared_expert', 'neurons of the shared expert, whose number is n_experts; 0 where there is none, NULL of a dense model'),
    ):
        op.add_column('models', sa.Column(name, sa.Integer(), nullable=True, comment=comment))
    op.add_column('models', sa.Column('dense_layers', sa.String(), nullable=True, comment='JSON: the layers of a mixture of experts whose MLP is not divided; NULL of a dense model'))
    op.add_column('models', sa.Column('d_dense', sa.Integer(), nullable=True, comment='neurons of each of these, 0 where there is none; NULL of a dense model'))
    op.add_column('neurons', sa.Column('expert', sa.Integer(), nullable=True, comment='its expert, from 0; NULL where the layer is not divided'))
    op.add_column('neurons', sa.Column('expert_neuron', sa.Integer(), nullable=True, comment='its number among the neurons of its expert: its name is layer.expert.expert_neuron; NULL where the layer is not divided, and its name layer.neuron'))
    op.create_table('expert_routing',
    sa.Column('model_id', sa.Integer(), nullable=False, comment='model'),
    sa.Column('dataset_id', sa.Integer(), nullable=False, comment='dataset'),
    sa.Column('layer', sa.Integer(), autoincrement=False, nullable=False, comment='layer'),
    sa.Column('expert', sa.Integer(), autoincrement=False, nullable=False, comment='expert, from 0; the shared one is the last'),
    sa.Column('n_tokens', sa.Integer(), nullable=False, comment='counted tokens that were routed to it'),
    sa.Column('n_all_tokens', sa.Integer(), nullable=False, comment='counted tokens of the dataset'),
    sa.Column('share', sa.Double(), nullable=True, comment='share of the counted tokens that were routed to it; NULL when none was counted'),
    sa.Column('mean_weight', sa.Double(), nullable=True, comment='mean of what the router multiplied its output by, over the tokens routed to it; NULL when there is none, and of the shared expert'),
    sa.ForeignKeyConstraint(['dataset_id'], ['dataset_rows.dataset_id'], name=op.f('fk_expert_routing_dataset_id_dataset_rows')),
    sa.ForeignKeyConstraint(['model_id'], ['models.model_id'], name=op.f('fk_expert_routing_model_id_models')),
    sa.PrimaryKeyConstraint('model_id', 'dataset_id', 'layer', 'expert', name=op.f('pk_expert_routing')),
    sqlite_with_rowid=False
    )


def downgrade() -> None:
    op.drop_table('expert_routing')
    for name in ('expert', 'expert_neuron'):
        op.drop_column('neurons', name)
    for name in ('n_experts', 'd_expert', 'experts_per_token', 'd_shared_expert', 'dense_layers', 'd_dense'):
        op.drop_column('models', name)
