"""Runs of single neurons are shown by condition; runs keep the tokens that they changed most.

A model showed its last run of single neurons, whatever the condition. That is now the last one at
every token; those under a condition are shown beside it.
"""

from alembic import op
import sqlalchemy as sa


revision = '0013'
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('shown_condition_runs',
    sa.Column('model_id', sa.Integer(), nullable=False, comment='model'),
    sa.Column('kind', sa.String(), nullable=False, comment='each or attribution'),
    sa.Column('condition', sa.String(), nullable=False, comment='signs, such as gate-_post+'),
    sa.Column('run_id', sa.Integer(), nullable=False, comment='the last run of single neurons under the condition, which `find` knows as ablated[gate-_post+].loss; models has the one at every token'),
    sa.ForeignKeyConstraint(['model_id'], ['models.model_id'], name=op.f('fk_shown_condition_runs_model_id_models')),
    sa.ForeignKeyConstraint(['run_id'], ['ablation_runs.run_id'], name=op.f('fk_shown_condition_runs_run_id_ablation_runs')),
    sa.PrimaryKeyConstraint('model_id', 'kind', 'condition', name=op.f('pk_shown_condition_runs')),
    sqlite_with_rowid=False
    )
    op.create_table('changed_tokens',
    sa.Column('run_id', sa.Integer(), nullable=False, comment='run of kind together'),
    sa.Column('metric', sa.String(), nullable=False, comment='loss, entropy, rank or scale'),
    sa.Column('rank', sa.Integer(), autoincrement=False, nullable=False, comment='place among the tokens by |clean − ablated|, from 0'),
    sa.Column('text_id', sa.Integer(), nullable=False, comment='text'),
    sa.Column('position', sa.Integer(), nullable=False, comment='position of the token in the text, from 0'),
    sa.Column('token_id', sa.Integer(), nullable=False, comment='the token there; loss and rank are of the one after it'),
    sa.Column('clean', sa.Double(), nullable=False, comment='the metric in the clean run'),
    sa.Column('ablated', sa.Double(), nullable=False, comment='the metric in the ablated run'),
    sa.ForeignKeyConstraint(['run_id'], ['ablation_runs.run_id'], name=op.f('fk_changed_tokens_run_id_ablation_runs')),
    sa.ForeignKeyConstraint(['text_id'], ['texts.text_id'], name=op.f('fk_changed_tokens_text_id_texts')),
    sa.PrimaryKeyConstraint('run_id', 'metric', 'rank', name=op.f('pk_changed_tokens')),
    sqlite_with_rowid=False
    )
    op.execute(
        "INSERT INTO shown_condition_runs (model_id, kind, condition, run_id) "
        "SELECT model_id, kind, condition, MAX(run_id) FROM ablation_runs "
        "WHERE kind IN ('each', 'attribution') AND finished AND condition IS NOT NULL "
        "GROUP BY model_id, kind, condition"
    )
    for kind in ('each', 'attribution'):
        op.execute(
            f"UPDATE models SET {kind}_run_id = "
            "(SELECT MAX(r.run_id) FROM ablation_runs r WHERE r.model_id = models.model_id "
            f"AND r.kind = '{kind}' AND r.finished AND r.condition IS NULL) "
            f"WHERE {kind}_run_id IN "
            "(SELECT run_id FROM ablation_runs WHERE condition IS NOT NULL)"
        )


def downgrade() -> None:
    op.drop_table('changed_tokens')
    op.drop_table('shown_condition_runs')
