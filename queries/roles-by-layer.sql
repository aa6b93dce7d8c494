-- title: Prediction, suppression and partition neurons in every layer
-- description: Counts of the roles that neuron_overview shows, from the moments of cos(U, out)
--   (universal-neurons §5.1, METHODS §4).
-- needs: vocab
-- param model = null: model, only this model
SELECT model, layer, COUNT(*) AS n,
       SUM(CASE WHEN role = 'prediction' THEN 1 ELSE 0 END) AS prediction,
       SUM(CASE WHEN role = 'suppression' THEN 1 ELSE 0 END) AS suppression,
       SUM(CASE WHEN role = 'partition' THEN 1 ELSE 0 END) AS partition
FROM neuron_overview
WHERE out_kurtosis IS NOT NULL
  AND (CAST(:model AS TEXT) IS NULL OR model = CAST(:model AS TEXT))
GROUP BY model, layer
ORDER BY model, layer
