"""Neighbours of neurons by their vectors, and connections between layers."""

from alembic import op
import sqlalchemy as sa


revision = '0019'
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('neighbour_runs',
    sa.Column('run_id', sa.Integer(), nullable=False, comment='run'),
    sa.Column('model_id', sa.Integer(), nullable=False, comment='model'),
    sa.Column('n_top', sa.Integer(), nullable=False, comment='entries of each list: of a vector, and of a sign of the cosine'),
    sa.Column('threshold', sa.Double(), nullable=False, comment='|cosine| from which all neighbours are stored'),
    sa.Column('n_directions', sa.Integer(), nullable=False, comment='random directions that the baselines are of'),
    sa.Column('seed', sa.Integer(), nullable=False, comment='seed of these'),
    sa.Column('random_std', sa.Double(), nullable=False, comment='standard deviation of a cosine with a random direction'),
    sa.Column('n_cut', sa.Integer(), nullable=False, comment='lists of neighbours that have more beyond the threshold than are stored'),
    sa.Column('seconds', sa.Double(), nullable=True, comment='seconds that it took'),
    sa.Column('request', sa.String(), nullable=False, comment='sha256 over all that was asked for: the same is stored once'),
    sa.Column('dtype', sa.String(), nullable=False, comment='dtype of the forward pass'),
    sa.Column('device', sa.String(), nullable=False, comment='device'),
    sa.Column('tool_version', sa.String(), nullable=False, comment='version of neurondb'),
    sa.Column('torch_version', sa.String(), nullable=False, comment='version of torch'),
    sa.Column('fingerprint', sa.String(), nullable=False, comment="fingerprint of the model's weights"),
    sa.Column('created_at', sa.String(), nullable=False, comment='UTC, ISO 8601'),
    sa.ForeignKeyConstraint(['model_id'], ['models.model_id'], name=op.f('fk_neighbour_runs_model_id_models')),
    sa.PrimaryKeyConstraint('run_id', name=op.f('pk_neighbour_runs')),
    sa.UniqueConstraint('request', name=op.f('uq_neighbour_runs_request'))
    )
    with op.batch_alter_table('neighbour_runs', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_neighbour_runs_model_id'), ['model_id'], unique=False)

    op.create_table('connection_layers',
    sa.Column('run_id', sa.Integer(), nullable=False, comment='run'),
    sa.Column('vector_id', sa.SmallInteger(), nullable=False, comment='what the later layer reads with: gate or in'),
    sa.Column('writer_layer', sa.Integer(), autoincrement=False, nullable=False, comment='layer that writes, from 0'),
    sa.Column('reader_layer', sa.Integer(), autoincrement=False, nullable=False, comment='layer that reads, from 0'),
    sa.Column('mean', sa.Double(), nullable=True, comment='mean of the cosines of all pairs of a neuron of the one and one of the other'),
    sa.Column('rms', sa.Double(), nullable=True, comment="root of their mean square; with random directions it is the run's random_std"),
    sa.Column('smallest', sa.Double(), nullable=True, comment='the smallest of them'),
    sa.Column('largest', sa.Double(), nullable=True, comment='the largest'),
    sa.ForeignKeyConstraint(['run_id'], ['neighbour_runs.run_id'], name=op.f('fk_connection_layers_run_id_neighbour_runs')),
    sa.ForeignKeyConstraint(['vector_id'], ['vectors.vector_id'], name=op.f('fk_connection_layers_vector_id_vectors')),
    sa.PrimaryKeyConstraint('run_id', 'vector_id', 'writer_layer', 'reader_layer', name=op.f('pk_connection_layers')),
    sqlite_with_rowid=False
    )
    op.create_table('connection_rows',
    sa.Column('writer_id', sa.Integer(), nullable=False, comment='neuron that writes, with out'),
    sa.Column('vector_id', sa.SmallInteger(), nullable=False, comment='what the other one reads with: gate or in'),
    sa.Column('reader_id', sa.Integer(), nullable=False, comment='neuron of a later layer that reads'),
    sa.Column('cosine', sa.Double(), nullable=False, comment='cosine of the two vectors, in canonical sign'),
    sa.Column('downstream_rank', sa.Integer(), nullable=True, comment="the reader's place among the writer's of this vector and sign; NULL if beyond the list"),
    sa.Column('upstream_rank', sa.Integer(), nullable=True, comment="the writer's place among the reader's of this vector and sign; NULL if beyond the list"),
    sa.ForeignKeyConstraint(['reader_id'], ['neurons.neuron_id'], name=op.f('fk_connection_rows_reader_id_neurons')),
    sa.ForeignKeyConstraint(['vector_id'], ['vectors.vector_id'], name=op.f('fk_connection_rows_vector_id_vectors')),
    sa.ForeignKeyConstraint(['writer_id'], ['neurons.neuron_id'], name=op.f('fk_connection_rows_writer_id_neurons')),
    sa.PrimaryKeyConstraint('writer_id', 'vector_id', 'reader_id', name=op.f('pk_connection_rows')),
    sqlite_with_rowid=False
    )
    with op.batch_alter_table('connection_rows', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_connection_rows_reader_id'), ['reader_id'], unique=False)

    op.create_table('neighbour_baselines',
    sa.Column('run_id', sa.Integer(), nullable=False, comment='run'),
    sa.Column('relation', sa.String(), nullable=False, comment='neighbour, downstream or upstream'),
    sa.Column('vector_id', sa.SmallInteger(), nullable=False, comment='the vector that neighbours are by, or that connections are read with'),
    sa.Column('layer', sa.Integer(), autoincrement=False, nullable=False, comment='layer of the neuron in whose place a direction is; −1: neighbours have none'),
    sa.Column('quantile', sa.Double(), autoincrement=False, nullable=False, comment='quantile over random directions, from 0 to 1'),
    sa.Column('cosine', sa.Double(), nullable=False, comment='the largest cosine that a direction has, at this quantile'),
    sa.ForeignKeyConstraint(['run_id'], ['neighbour_runs.run_id'], name=op.f('fk_neighbour_baselines_run_id_neighbour_runs')),
    sa.ForeignKeyConstraint(['vector_id'], ['vectors.vector_id'], name=op.f('fk_neighbour_baselines_vector_id_vectors')),
    sa.PrimaryKeyConstraint('run_id', 'relation', 'vector_id', 'layer', 'quantile', name=op.f('pk_neighbour_baselines')),
    sqlite_with_rowid=False
    )
    op.create_table('neighbour_rows',
    sa.Column('neuron_id', sa.Integer(), nullable=False, comment='neuron'),
    sa.Column('vector_id', sa.SmallInteger(), nullable=False, comment='the vector of both that is compared'),
    sa.Column('side', sa.SmallInteger(), autoincrement=False, nullable=False, comment='1 in the list of the nearest, −1 in that of the most nearly opposite'),
    sa.Column('rank', sa.Integer(), autoincrement=False, nullable=False, comment='place in the list; 0 is the strongest'),
    sa.Column('other_id', sa.Integer(), nullable=False, comment="the other neuron's neuron_id, of any layer of the model"),
    sa.Column('cosine', sa.Double(), nullable=False, comment='cosine of their two vectors, in canonical sign'),
    sa.ForeignKeyConstraint(['neuron_id'], ['neurons.neuron_id'], name=op.f('fk_neighbour_rows_neuron_id_neurons')),
    sa.ForeignKeyConstraint(['vector_id'], ['vectors.vector_id'], name=op.f('fk_neighbour_rows_vector_id_vectors')),
    sa.PrimaryKeyConstraint('neuron_id', 'vector_id', 'side', 'rank', name=op.f('pk_neighbour_rows')),
    sqlite_with_rowid=False
    )


def downgrade() -> None:
    for name in TABLES.split():
        op.drop_table(name)  # and its indexes


TABLES = """
    connection_layers neighbour_baselines connection_rows neighbour_rows neighbour_runs
"""
