-- title: Of every class, the prediction and suppression neurons to look at first
-- description: Of each typical class the neurons whose cos(U, out) has the highest kurtosis over the
--   vocabulary: they promote, or with a negative skewness suppress, few tokens (weakening-neurons,
--   app. F.2, whose table 2 has the first of each class). Cosines in canonical sign, or as table 2
--   has them in the model's own, where cos(gate, in) and cos(gate, out) of a turned neuron change
--   theirs. `role` is NULL where the kurtosis is not above 10.
-- needs: vocab
-- param model = null: model, only this model
-- param top = 1: natural, neurons of each class
-- param sign = "canonical": choice(canonical, model), sign of the cosines
WITH ranked AS (
    SELECT n.model_id, n.neuron_id, k.class_id, k.name AS class, c.in_out,
           c.gate_in * CASE CAST(:sign AS TEXT) WHEN 'model' THEN n.sign ELSE 1 END AS gate_in,
           c.gate_out * CASE CAST(:sign AS TEXT) WHEN 'model' THEN n.sign ELSE 1 END AS gate_out,
           v.kurtosis, v.skewness,
           ROW_NUMBER() OVER (PARTITION BY n.model_id, k.class_id
                              ORDER BY v.kurtosis DESC, n.neuron_id) AS place
    FROM models m
    JOIN neurons n ON n.model_id = m.model_id
    JOIN cosines c ON c.neuron_id = n.neuron_id
    JOIN classes q ON q.neuron_id = n.neuron_id AND q.threshold = m.threshold
    JOIN rw_classes k ON k.class_id = q.class_id
    JOIN vocab_stats v ON v.neuron_id = n.neuron_id AND v.vector = 'out'
    WHERE (CAST(:model AS TEXT) IS NULL OR m.name = CAST(:model AS TEXT))
      AND k.name IN ('strengthening', 'conditional strengthening', 'proportional change',
                     'orthogonal output', 'weakening', 'conditional weakening')
      AND v.kurtosis IS NOT NULL
)
SELECT m.name AS model, n.name, r.class, r.gate_in, r.gate_out, r.in_out,
       r.kurtosis, r.skewness,
       CASE WHEN r.kurtosis > 10 AND r.skewness > 0 THEN 'prediction'
            WHEN r.kurtosis > 10 AND r.skewness < 0 THEN 'suppression' END AS role
FROM ranked r
JOIN models m ON m.model_id = r.model_id
JOIN named_neurons n ON n.neuron_id = r.neuron_id
WHERE r.place <= :top
ORDER BY m.name, r.class_id, r.place
