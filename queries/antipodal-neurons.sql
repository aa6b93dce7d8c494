-- title: Antipodal neurons
-- description: Pairs of neurons of one model whose vectors have nearly opposite directions, as
--   `neurondb neighbours` found them (METHODS §8; universal-neurons §5.2); each pair once. All
--   pairs beyond the threshold of that run are there, weaker ones as far as its lists reach.
-- needs: neighbours
-- param model = null: model, only this model
-- param vector = "out": choice(gate, in, out), the vector that is opposite
-- param cosine = -0.9: number, cosine of the two at most
-- param limit = 100: natural, rows at most
SELECT b.model, b.name, b.other, b.vector, b.cosine, k.name AS class, o.name AS other_class
FROM neighbours b
JOIN models m ON m.name = b.model
LEFT JOIN classes q ON q.neuron_id = b.neuron_id AND q.threshold = m.threshold
LEFT JOIN rw_classes k ON k.class_id = q.class_id
LEFT JOIN classes p ON p.neuron_id = b.other_id AND p.threshold = m.threshold
LEFT JOIN rw_classes o ON o.class_id = p.class_id
WHERE b.side = 'opposite'
  AND b.vector = :vector
  AND b.cosine <= :cosine
  AND (b.neuron_id < b.other_id
       OR b.neuron_id NOT IN (SELECT t.other_id
                              FROM neighbour_rows t
                              JOIN vectors w ON w.vector_id = t.vector_id
                              WHERE t.neuron_id = b.other_id AND w.vector = :vector))
  AND (CAST(:model AS TEXT) IS NULL OR b.model = CAST(:model AS TEXT))
ORDER BY b.cosine, b.neuron_id, b.other_id
LIMIT :limit
