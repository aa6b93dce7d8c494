-- title: Share of top tokens kept in every layer, of models compared
-- description: Of the models that `neurondb compare` compared, the share of neurons whose in vector
--   has the same token on top of the LM-head decoding of +in in both (specialised-feature-neurons §2), of
--   those that have one in both. `kept-top-tokens` answers for models not compared yet.
-- needs: comparison
-- param before = null: model, only comparisons of this model with later ones
-- param after = null: model, only comparisons of others with this one
SELECT model_a, model_b, layer, COUNT(*) AS n,
       SUM(CASE WHEN same_token THEN 1 ELSE 0 END) AS kept,
       SUM(CASE WHEN same_token THEN 1 ELSE 0 END) / CAST(COUNT(*) AS DOUBLE PRECISION) AS share
FROM compared_neurons
WHERE same_token IS NOT NULL
  AND (CAST(:before AS TEXT) IS NULL OR model_a = CAST(:before AS TEXT))
  AND (CAST(:after AS TEXT) IS NULL OR model_b = CAST(:after AS TEXT))
GROUP BY model_a, model_b, layer
ORDER BY model_a, model_b, layer
