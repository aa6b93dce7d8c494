-- title: Families of a neuron
-- description: The best test of each family that explains a neuron, over all tokens and by sign
--   case, the best one first (METHODS §9).
-- needs: families
-- param model: model, the model
-- param layer: natural, the neuron's layer
-- param neuron: neuron, its number within the layer, or EXPERT.NUMBER
SELECT d.name AS dataset, f.sign_case, f.rank, f.family, f.test, f.score, f.sign, f.share,
       f.inside_mean, f.outside_mean, f.description
FROM families f
JOIN neurons n ON n.neuron_id = f.neuron_id
JOIN models m ON m.model_id = n.model_id
JOIN dataset_rows d ON d.dataset_id = f.dataset_id
WHERE m.name = CAST(:model AS TEXT) AND n.layer = :layer AND n.neuron = :neuron
ORDER BY d.name, f.sign_case <> 'all', f.sign_case, f.rank
