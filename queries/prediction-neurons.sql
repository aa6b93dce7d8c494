-- title: Of every class, the prediction neurons that act on the fewest tokens
-- description: Of each read-write class, the prediction neurons whose cos(U, out) has the highest
--   kurtosis: those that promote a few tokens and leave the others as they are (METHODS §4). The
--   first of each class is how weakening-neurons, app. F.2, chose its case studies.
-- needs: vocab
-- param model = null: model, only this model
-- param top = 1: natural, neurons of each class
-- param kurtosis = 10: number, Pearson kurtosis to exceed
WITH ranked AS (
    SELECT m.name AS model, n.neuron_id, n.layer, n.neuron, k.class_id, k.name AS class,
           o.kurtosis, o.skewness,
           ROW_NUMBER() OVER (PARTITION BY n.model_id, k.class_id
                              ORDER BY o.kurtosis DESC, n.neuron_id) AS place
    FROM models m
    JOIN neurons n ON n.model_id = m.model_id
    JOIN vocab_stats o ON o.neuron_id = n.neuron_id AND o.vector = 'out'
    JOIN classes q ON q.neuron_id = n.neuron_id AND q.threshold = m.threshold
    JOIN rw_classes k ON k.class_id = q.class_id
    WHERE o.kurtosis > :kurtosis AND o.skewness > 0
      AND (CAST(:model AS TEXT) IS NULL OR m.name = CAST(:model AS TEXT))
)
SELECT r.model, r.class, r.layer || '.' || r.neuron AS name, r.kurtosis AS out_kurtosis,
       r.skewness AS out_skewness, c.gate_in, c.gate_out, c.in_out
FROM ranked r
JOIN cosines c ON c.neuron_id = r.neuron_id
WHERE r.place <= :top
ORDER BY r.model, r.class_id, r.place
