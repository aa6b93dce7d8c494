-- title: Connections of a neuron
-- description: Who reads what a neuron writes (downstream), and who writes what it reads
--   (upstream), from the most positive cosine to the most negative; rank is the other one's place in the neuron's own list
--   of that vector and sign, back_rank the neuron's place in the list of the other one.
-- needs: neighbours
-- param model: model, the model
-- param layer: natural, the neuron's layer
-- param neuron: neuron, its number within the layer, or EXPERT.NUMBER
WITH chosen AS (
    SELECT m.first_neuron_id + CAST(:layer AS INTEGER) * m.d_mlp + CAST(:neuron AS INTEGER) AS id
    FROM models m
    WHERE m.name = :model
      AND CAST(:layer AS INTEGER) < m.n_layers
      AND CAST(:neuron AS INTEGER) < m.d_mlp
)
SELECT 'downstream' AS relation, c.reader AS other, c.reads_with, c.cosine, c.score, c.strength,
       c.downstream_rank AS rank, c.upstream_rank AS back_rank
FROM chosen x
JOIN connections c ON c.writer_id = x.id
UNION ALL
SELECT 'upstream' AS relation, c.writer AS other, c.reads_with, c.cosine, c.score, c.strength,
       c.upstream_rank AS rank, c.downstream_rank AS back_rank
FROM chosen x
JOIN connections c ON c.reader_id = x.id
ORDER BY relation, cosine DESC, other, reads_with
