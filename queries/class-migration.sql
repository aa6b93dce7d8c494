-- title: From which read-write class to which, between two models
-- description: Neurons by their class in the first and in the second of the models that
--   `neurondb compare` compared, and their share of those that had the first class.
-- needs: comparison
-- param before = null: model, only comparisons of this model with later ones
-- param after = null: model, only comparisons of others with this one
WITH counted AS (
    SELECT comparison_id, model_a, model_b, class_a, class_b, COUNT(*) AS n
    FROM compared_neurons
    WHERE (CAST(:before AS TEXT) IS NULL OR model_a = CAST(:before AS TEXT))
      AND (CAST(:after AS TEXT) IS NULL OR model_b = CAST(:after AS TEXT))
      AND class_a IS NOT NULL AND class_b IS NOT NULL
    GROUP BY comparison_id, model_a, model_b, class_a, class_b
)
SELECT c.model_a, c.model_b, c.class_a, c.class_b, c.n,
       c.n / CAST(SUM(c.n) OVER (PARTITION BY c.comparison_id, c.class_a) AS DOUBLE PRECISION)
           AS share
FROM counted c
JOIN rw_classes ka ON ka.name = c.class_a
JOIN rw_classes kb ON kb.name = c.class_b
ORDER BY c.model_a, c.model_b, ka.class_id, kb.class_id
