-- title: Families by layer
-- description: How many neurons of each layer each family of token tests explains best, in the run
--   that pages show.
-- param model: model
-- param least = 0.1: number, neurons whose best test has a larger score
SELECT n.layer, f.family, COUNT(*) AS n
FROM models m
JOIN family_runs r ON r.model_id = m.model_id
JOIN families f ON f.run_id = r.run_id AND f.sign_case = 'all' AND f.rank = 0
JOIN neurons n ON n.neuron_id = f.neuron_id
WHERE m.name = CAST(:model AS TEXT) AND f.score > :least
  AND r.run_id = (SELECT x.run_id FROM family_runs x JOIN models y ON y.model_id = x.model_id
                  WHERE x.model_id = r.model_id
                  ORDER BY CASE WHEN x.dataset_id = y.dataset_id THEN 0 ELSE 1 END, x.run_id DESC
                  LIMIT 1)
GROUP BY n.layer, f.family
ORDER BY n.layer, f.family
