-- title: Families by layer
-- description: How many neurons of each layer each family of token tests explains best, with a score
--   above a limit; the score is the share of the variance of hook_post that is gone where tokens are
--   told apart by the test (METHODS §9; universal-neurons §4.3).
-- needs: families
-- param model = null: model, only this model
-- param least = 0.1: number, neurons whose best test has a larger score
SELECT m.name AS model, d.name AS dataset, n.layer, f.family, COUNT(*) AS n,
       AVG(f.score) AS mean_score
FROM families f
JOIN family_runs r ON r.run_id = f.run_id
JOIN models m ON m.model_id = r.model_id
JOIN dataset_rows d ON d.dataset_id = r.dataset_id
JOIN neurons n ON n.neuron_id = f.neuron_id
WHERE f.sign_case = 'all' AND f.rank = 0 AND f.score > :least
  AND (CAST(:model AS TEXT) IS NULL OR m.name = CAST(:model AS TEXT))
GROUP BY m.name, d.name, n.layer, f.family
ORDER BY m.name, d.name, n.layer, n DESC, f.family
