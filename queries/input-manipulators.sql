-- title: Share of input manipulators in every layer
-- description: Neurons of every class but orthogonal output, atypical ones included; neurons with
--   a zero vector have no class and are not counted.
-- param model = null: model, only this model
SELECT m.name AS model, n.layer, COUNT(*) AS n,
       SUM(CASE WHEN k.name = 'orthogonal output' THEN 0 ELSE 1 END) AS manipulators,
       SUM(CASE WHEN k.name = 'orthogonal output' THEN 0 ELSE 1 END)
           / CAST(COUNT(*) AS DOUBLE PRECISION) AS share
FROM models m
JOIN neurons n ON n.model_id = m.model_id
JOIN classes q ON q.neuron_id = n.neuron_id AND q.threshold = m.threshold
JOIN rw_classes k ON k.class_id = q.class_id AND k.name <> 'undefined'
WHERE CAST(:model AS TEXT) IS NULL OR m.name = CAST(:model AS TEXT)
GROUP BY m.name, n.layer
ORDER BY m.name, n.layer
