-- title: Neurons of a family
-- description: The neurons that a family of token tests, or one test, explains best over all tokens,
--   the best explained first (METHODS §9; universal-neurons §4.3).
-- needs: families
-- param family: text, a family or a test: unigram, previous_token, 'first_letter_a'
-- param model = null: model, only this model
-- param limit = 50: natural, rows at most
SELECT m.name AS model, n.name, f.family, f.test, f.score, f.sign,
       f.share, f.inside_mean, f.outside_mean, k.class
FROM families f
JOIN named_neurons n ON n.neuron_id = f.neuron_id
JOIN models m ON m.model_id = n.model_id
LEFT JOIN neuron_overview k ON k.neuron_id = f.neuron_id
WHERE f.sign_case = 'all' AND f.rank = 0
  AND (f.family = CAST(:family AS TEXT) OR f.test = CAST(:family AS TEXT))
  AND (CAST(:model AS TEXT) IS NULL OR m.name = CAST(:model AS TEXT))
ORDER BY f.score DESC, m.name, f.neuron_id
LIMIT :limit
