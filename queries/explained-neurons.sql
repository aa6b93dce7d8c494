-- title: Explanations and their scores
-- description: What programs said of neurons, and how well it tells texts apart: best first, then those without a score.
-- param model = null: model, only this model
-- param source = null: text, only what this source said
SELECT m.name AS model, n.name, e.source, a.value AS explanation, s.balanced_accuracy,
       s.precision, s.recall, s.sign_case, s.scorer, s.controls, e.command, e.created_at
FROM explanations e
LEFT JOIN annotations a ON a.neuron_id = e.neuron_id AND a.source = e.source
                       AND a.key = 'explanation'
JOIN named_neurons n ON n.neuron_id = e.neuron_id
JOIN models m ON m.model_id = n.model_id
LEFT JOIN explanation_scores s ON s.neuron_id = e.neuron_id AND s.source = e.source
                              AND s.key = 'explanation'
WHERE (CAST(:model AS TEXT) IS NULL OR m.name = CAST(:model AS TEXT))
  AND (CAST(:source AS TEXT) IS NULL OR e.source = CAST(:source AS TEXT))
ORDER BY COALESCE(s.balanced_accuracy, -1) DESC, n.neuron_id, e.source, s.sign_case, s.scorer
