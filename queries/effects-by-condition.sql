-- title: Effects of neurons by sign condition
-- description: What removing a neuron alone does to a metric, at every token and under each of the
--   four sign conditions (ungated neurons have post+ and post-), as measured by `neurondb
--   ablate-each`, or with kind=attribution as estimated; the strongest under any of them first. Mean
--   of clean − ablated over all tokens (METHODS §6).
-- needs: weights
-- param model = null: model, only this model
-- param kind = "each": choice(each, attribution), measured or estimated
-- param metric = "loss": choice(loss, entropy, rank, scale), what changes
-- param class = null: class, only this class
-- param limit = 100: natural, rows at most
WITH shown AS (
    SELECT m.model_id, s.condition, s.run_id
    FROM models m
    JOIN shown_condition_runs s ON s.model_id = m.model_id AND s.kind = CAST(:kind AS TEXT)
    WHERE CAST(:model AS TEXT) IS NULL OR m.name = CAST(:model AS TEXT)
    UNION ALL
    SELECT m.model_id, 'always',
           CASE WHEN CAST(:kind AS TEXT) = 'each' THEN m.each_run_id
                ELSE m.attribution_run_id END
    FROM models m
    WHERE CAST(:model AS TEXT) IS NULL OR m.name = CAST(:model AS TEXT)
), effects AS (
    SELECT s.condition, e.neuron_id, e.mean
    FROM shown s
    JOIN neuron_effects e ON e.run_id = s.run_id AND e.metric = CAST(:metric AS TEXT)
    UNION ALL
    SELECT s.condition, e.neuron_id, e.mean
    FROM shown s
    JOIN neuron_attributions e ON e.run_id = s.run_id AND e.metric = CAST(:metric AS TEXT)
)
SELECT m.name AS model, n.name, k.name AS class,
       MAX(CASE e.condition WHEN 'always' THEN e.mean END) AS always,
       MAX(CASE e.condition WHEN 'gate+_post+' THEN e.mean END) AS "gate+_post+",
       MAX(CASE e.condition WHEN 'gate+_post-' THEN e.mean END) AS "gate+_post-",
       MAX(CASE e.condition WHEN 'gate-_post+' THEN e.mean END) AS "gate-_post+",
       MAX(CASE e.condition WHEN 'gate-_post-' THEN e.mean END) AS "gate-_post-",
       MAX(CASE e.condition WHEN 'post+' THEN e.mean END) AS "post+",
       MAX(CASE e.condition WHEN 'post-' THEN e.mean END) AS "post-"
FROM effects e
JOIN named_neurons n ON n.neuron_id = e.neuron_id
JOIN models m ON m.model_id = n.model_id
JOIN classes q ON q.neuron_id = n.neuron_id AND q.threshold = m.threshold
JOIN rw_classes k ON k.class_id = q.class_id
WHERE e.mean IS NOT NULL
  AND (CAST(:class AS TEXT) IS NULL OR k.name = CAST(:class AS TEXT))
GROUP BY m.name, n.neuron_id, n.name, k.name
ORDER BY MAX(ABS(e.mean)) DESC, n.neuron_id
LIMIT :limit
