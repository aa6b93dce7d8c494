-- title: Prediction, suppression and partition neurons
-- description: Neurons with a role, by the moments of cos(U, out): prediction and suppression have
--   a kurtosis above the threshold and a positive or negative skewness, partition neurons a large
--   variance of cos(U, out) and neither of these. As published by universal-neurons §5.1, and in
--   neuron_overview, `large` is above a threshold; as in the OLMo study, among the `largest` of the
--   model (METHODS §4).
-- needs: vocab
-- param model = null: model, only this model
-- param role = null: choice(prediction, suppression, partition), only this role
-- param kurtosis = 10: number, Pearson kurtosis to exceed
-- param partition = "threshold": choice(threshold, largest), which variances are large
-- param variance = 0.005: number, threshold to exceed
-- param largest = 1000: natural, neurons of a model whose variances are the largest
-- param of = "cosine": choice(cosine, dot), variance of cos(U, out) or of the dot product U·out
-- param limit = 1000: natural, rows at most
WITH moments AS (
    SELECT m.name AS model, n.model_id, n.neuron_id, o.kurtosis, o.skewness,
           o.variance AS cosine_variance, o.dot_variance,
           CASE CAST(:of AS TEXT) WHEN 'dot' THEN o.dot_variance ELSE o.variance END AS spread
    FROM models m
    JOIN neurons n ON n.model_id = m.model_id
    JOIN vocab_stats o ON o.neuron_id = n.neuron_id AND o.vector = 'out'
    WHERE CAST(:model AS TEXT) IS NULL OR m.name = CAST(:model AS TEXT)
), ranked AS (
    SELECT moments.*,
           ROW_NUMBER() OVER (PARTITION BY model_id
                              ORDER BY spread DESC NULLS LAST, neuron_id) AS place
    FROM moments
), with_roles AS (
    SELECT ranked.*,
           CASE WHEN kurtosis > :kurtosis AND skewness > 0 THEN 'prediction'
                WHEN kurtosis > :kurtosis AND skewness < 0 THEN 'suppression'
                WHEN CAST(:partition AS TEXT) = 'threshold' AND spread > :variance THEN 'partition'
                WHEN CAST(:partition AS TEXT) = 'largest' AND place <= :largest
                     AND spread IS NOT NULL THEN 'partition' END AS role
    FROM ranked
)
SELECT model, (SELECT n.name FROM named_neurons n WHERE n.neuron_id = r.neuron_id) AS name, role,
       kurtosis AS out_kurtosis, skewness AS out_skewness, cosine_variance AS out_variance,
       dot_variance AS out_dot_variance
FROM with_roles r
WHERE role IS NOT NULL AND (CAST(:role AS TEXT) IS NULL OR role = CAST(:role AS TEXT))
ORDER BY model, neuron_id
LIMIT :limit
