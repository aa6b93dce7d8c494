-- title: Neurons that fire on a token, after it or before it
-- description: Neurons whose strongest texts have a token at the peak (previous: right before it,
--   next: right after it), in how many of a sign case's texts. A leading space is part of a token.
-- needs: activations, peaks
-- param token: token, the token, as ' dog'
-- param model = null: model, only this model
-- param place = "peak": choice(peak, previous, next), where the token stands
-- param case = null: choice(gate+_in+, gate+_in-, gate-_in+, gate-_in-, in+, in-), only this case
-- param limit = 100: natural, rows at most
WITH found AS (
    SELECT m.name AS model, m.threshold, r.neuron_id, r.dataset_id, r.list_id, r.rank, r.count,
           l.sign_case, l.place
    FROM tokens t
    JOIN models m ON m.model_id = t.model_id
    JOIN peak_token_lists l ON l.place = :place
                           AND (CAST(:case AS TEXT) IS NULL OR l.sign_case = CAST(:case AS TEXT))
    JOIN peak_token_rows r ON r.token_id = t.token_id AND r.list_id = l.list_id
                          AND r.neuron_id >= m.first_neuron_id
                          AND r.neuron_id < m.first_neuron_id + m.n_layers * m.d_mlp
                          AND r.dataset_id = m.dataset_id
    WHERE t.token = :token
      AND (CAST(:model AS TEXT) IS NULL OR m.name = CAST(:model AS TEXT))
    ORDER BY r.count DESC, r.rank, r.neuron_id, r.list_id
    LIMIT :limit
)
SELECT f.model, n.name, f.sign_case, f.count, p.list_size, p.value,
       k.name AS class
FROM found f
JOIN peak_tokens p ON p.neuron_id = f.neuron_id AND p.dataset_id = f.dataset_id
                  AND p.sign_case = f.sign_case AND p.place = f.place AND p.rank = f.rank
JOIN named_neurons n ON n.neuron_id = f.neuron_id
LEFT JOIN classes q ON q.neuron_id = n.neuron_id AND q.threshold = f.threshold
LEFT JOIN rw_classes k ON k.class_id = q.class_id
ORDER BY f.count DESC, f.rank, f.neuron_id, f.list_id
