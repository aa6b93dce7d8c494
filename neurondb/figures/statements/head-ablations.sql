-- title: Neurons taken out of heads' queries
-- description: The kept positions of path ablations, those of one neuron, or of the six pairs that
--   change the attention to BOS the most where the neuron fires.
-- param model: model
-- param layer = null: integer, with neuron
-- param neuron = null: integer, with layer
WITH chosen AS (
    SELECT a.*, n.name
    FROM head_ablations a
    JOIN head_runs r ON r.run_id = a.run_id
    JOIN models m ON m.model_id = r.model_id
    JOIN named_neurons n ON n.neuron_id = a.neuron_id
    WHERE m.name = CAST(:model AS TEXT)
      AND (CAST(:layer AS INTEGER) IS NULL
           OR (n.layer = CAST(:layer AS INTEGER) AND n.neuron = CAST(:neuron AS INTEGER)))
    ORDER BY ABS(COALESCE(a.firing_bos_change, 0)) DESC, a.neuron_id, a.head
    LIMIT 6
)
SELECT c.name, c.head_layer || '.' || c.head AS head_name, c.score,
       t.activation, t.bos_clean, t.bos_ablated - t.bos_clean AS bos_change, t.norm_clean,
       t.norm_ablated - t.norm_clean AS norm_change
FROM chosen c
JOIN head_ablation_tokens t ON t.run_id = c.run_id AND t.neuron_id = c.neuron_id
                           AND t.head_layer = c.head_layer AND t.head = c.head
ORDER BY ABS(COALESCE(c.firing_bos_change, 0)) DESC, c.neuron_id, c.head, t.place
