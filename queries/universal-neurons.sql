-- title: Universal neurons
-- description: The neurons whose activations are most correlated with those of neurons of other
--   models, in the newest run of each model (METHODS §8): excess is the mean over the other models
--   of the largest correlation less that of a baseline of random mixtures of neurons. The row has
--   the best match in the model of the largest correlation, and the smallest of these correlations.
-- needs: universality
-- param model = null: model, only this model
-- param excess = 0.5: number, more than this
-- param limit = 100: natural, rows at most
WITH shown AS (
    SELECT r.run_id, r.model_id
    FROM universality_runs r
    WHERE r.run_id = (SELECT MAX(x.run_id) FROM universality_runs x
                      WHERE x.model_id = r.model_id)
      AND (CAST(:model AS TEXT) IS NULL
           OR r.model_id = (SELECT m.model_id FROM models m WHERE m.name = CAST(:model AS TEXT)))
), excesses AS (
    SELECT u.run_id, u.neuron_id, AVG(u.correlation) - AVG(u.baseline) AS excess,
           MAX(u.correlation) AS highest, MIN(u.correlation) AS lowest,
           AVG(u.baseline) AS baseline, COUNT(u.correlation) AS n_models
    FROM shown s
    JOIN universality u ON u.run_id = s.run_id
    GROUP BY u.run_id, u.neuron_id
    HAVING AVG(u.correlation) - AVG(u.baseline) > :excess
)
SELECT m.name AS model, n.name, k.name AS class, e.excess, e.n_models,
       e.highest AS largest_correlation, o.name AS other_model,
       b.name AS best_name, e.lowest AS smallest_correlation, e.baseline
FROM excesses e
JOIN named_neurons n ON n.neuron_id = e.neuron_id
JOIN models m ON m.model_id = n.model_id
JOIN universality u ON u.neuron_id = e.neuron_id AND u.run_id = e.run_id
                   AND u.place = (SELECT MIN(x.place) FROM universality x
                                  WHERE x.neuron_id = e.neuron_id AND x.run_id = e.run_id
                                    AND x.correlation = e.highest)
JOIN universality_models p ON p.run_id = u.run_id AND p.place = u.place
JOIN models o ON o.model_id = p.other_id
JOIN named_neurons b ON b.neuron_id = u.best_id
LEFT JOIN classes c ON c.neuron_id = n.neuron_id AND c.threshold = m.threshold
LEFT JOIN rw_classes k ON k.class_id = c.class_id
ORDER BY e.excess DESC, m.name, n.layer, n.neuron
LIMIT :limit
