-- title: Activations of the neurons that a family explains best
-- description: Quantiles of canonical hook_post, parted by the neuron's best test, by position, or by
--   the next token.
-- param model: model
-- param family = null: text, a family; by default unigram, position or next_token
-- param by = "test": text, test, position or next_token
SELECT n.name, f.test, f.score, a.place, a.part, a.n, a.mean, a.q05,
       a.q25, a.q50, a.q75, a.q95
FROM models m
JOIN family_runs r ON r.model_id = m.model_id
JOIN family_activations a ON a.run_id = r.run_id
JOIN families f ON f.run_id = r.run_id AND f.neuron_id = a.neuron_id AND f.sign_case = 'all'
               AND f.rank = 0
JOIN named_neurons n ON n.neuron_id = a.neuron_id
WHERE m.name = CAST(:model AS TEXT) AND a.split = CAST(:by AS TEXT)
  AND f.family = COALESCE(CAST(:family AS TEXT),
                          CASE CAST(:by AS TEXT) WHEN 'test' THEN 'unigram'
                                                 ELSE CAST(:by AS TEXT) END)
  AND r.run_id = (SELECT x.run_id FROM family_runs x JOIN models y ON y.model_id = x.model_id
                  WHERE x.model_id = r.model_id
                  ORDER BY CASE WHEN x.dataset_id = y.dataset_id THEN 0 ELSE 1 END, x.run_id DESC
                  LIMIT 1)
ORDER BY f.score DESC, a.neuron_id, a.place
