"""Explanations of neurons by programs: their provenance, their scores, and what failed."""

from alembic import op
import sqlalchemy as sa


revision = '0029'
down_revision = "0028"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('explanations',
    sa.Column('neuron_id', sa.Integer(), nullable=False, comment='neuron'),
    sa.Column('source', sa.String(), nullable=False, comment='who explained it, as in annotations'),
    sa.Column('evidence', sa.String(), nullable=False, comment='sha256 of the evidence that was given, as on standard input'),
    sa.Column('version', sa.String(), nullable=True, comment='version of the program, if it told one'),
    sa.Column('command', sa.Text(), nullable=False, comment='the program and its arguments, as given'),
    sa.Column('seconds', sa.Double(), nullable=False, comment='seconds that it took'),
    sa.Column('tool_version', sa.String(), nullable=False, comment='version of neurondb'),
    sa.Column('created_at', sa.String(), nullable=False, comment='UTC, ISO 8601'),
    sa.ForeignKeyConstraint(['neuron_id'], ['neurons.neuron_id'], name=op.f('fk_explanations_neuron_id_neurons')),
    sa.PrimaryKeyConstraint('neuron_id', 'source', name=op.f('pk_explanations')),
    sqlite_with_rowid=False
    )
    op.create_table('explanation_scores',
    sa.Column('neuron_id', sa.Integer(), nullable=False, comment='neuron'),
    sa.Column('source', sa.String(), nullable=False, comment='who explained it, as in annotations'),
    sa.Column('key', sa.String(), nullable=False, comment='the annotation that was scored'),
    sa.Column('sign_case', sa.String(), nullable=False, comment='whose held-out examples are to be told'),
    sa.Column('scorer', sa.String(), nullable=False, comment='who told the texts apart'),
    sa.Column('texts', sa.String(), nullable=False, comment='sha256 of the explanation and the texts that were given'),
    sa.Column('version', sa.String(), nullable=True, comment='version of the program, if it told one'),
    sa.Column('controls', sa.String(), nullable=False, comment='random: control texts; others: examples of other neurons of the layer'),
    sa.Column('seed', sa.Integer(), nullable=False, comment='of the choice of texts, and of their order'),
    sa.Column('true_positives', sa.Integer(), nullable=False, comment='held-out examples that were said to activate the neuron'),
    sa.Column('false_positives', sa.Integer(), nullable=False, comment='controls that were said to'),
    sa.Column('true_negatives', sa.Integer(), nullable=False, comment='controls that were said not to'),
    sa.Column('false_negatives', sa.Integer(), nullable=False, comment='held-out examples that were said not to'),
    sa.Column('unanswered', sa.Integer(), nullable=False, comment='texts of which nothing was said; they are in none of the four'),
    sa.Column('balanced_accuracy', sa.Double(), nullable=True, comment='mean of the shares of examples and of controls told right'),
    sa.Column('precision', sa.Double(), nullable=True, comment='true positives ÷ all said to activate it; NULL where none was'),
    sa.Column('recall', sa.Double(), nullable=True, comment='true positives ÷ held-out examples; NULL where none was answered'),
    sa.Column('command', sa.Text(), nullable=False, comment='the program and its arguments, as given'),
    sa.Column('seconds', sa.Double(), nullable=False, comment='seconds that it took'),
    sa.Column('tool_version', sa.String(), nullable=False, comment='version of neurondb'),
    sa.Column('created_at', sa.String(), nullable=False, comment='UTC, ISO 8601'),
    sa.ForeignKeyConstraint(['neuron_id'], ['neurons.neuron_id'], name=op.f('fk_explanation_scores_neuron_id_neurons')),
    sa.PrimaryKeyConstraint('neuron_id', 'source', 'key', 'sign_case', 'scorer', name=op.f('pk_explanation_scores')),
    sqlite_with_rowid=False
    )
    op.create_table('explanation_failures',
    sa.Column('neuron_id', sa.Integer(), nullable=False, comment='neuron'),
    sa.Column('source', sa.String(), nullable=False, comment='who was asked: the explainer or scorer'),
    sa.Column('task', sa.String(), nullable=False, comment='explain or score'),
    sa.Column('reason', sa.String(), nullable=False, comment='not started, failed, timeout, silent, too long, invalid or no texts'),
    sa.Column('message', sa.Text(), nullable=False, comment='what was wrong, in a line'),
    sa.Column('command', sa.Text(), nullable=False, comment='the program and its arguments, as given'),
    sa.Column('seconds', sa.Double(), nullable=False, comment='seconds that it took'),
    sa.Column('tool_version', sa.String(), nullable=False, comment='version of neurondb'),
    sa.Column('created_at', sa.String(), nullable=False, comment='UTC, ISO 8601'),
    sa.ForeignKeyConstraint(['neuron_id'], ['neurons.neuron_id'], name=op.f('fk_explanation_failures_neuron_id_neurons')),
    sa.PrimaryKeyConstraint('neuron_id', 'source', 'task', name=op.f('pk_explanation_failures')),
    sqlite_with_rowid=False
    )


def downgrade() -> None:
    for name in ('explanation_failures', 'explanation_scores', 'explanations'):
        op.drop_table(name)
