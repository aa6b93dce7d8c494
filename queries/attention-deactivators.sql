-- title: Neurons that turn attention heads off and on
-- description: The pairs of a neuron and a head of a later layer with the largest scores (METHODS §7)
--   on a side; deactivates is a score above 0, firing raises the head's attention to BOS. σ are
--   standard deviations of random directions at the head. What path ablation measured stands beside.
-- needs: heads
-- param model = null: model, only this model
-- param effect = "deactivates": choice(deactivates, activates), the side
-- param head = null: text, only this head, as 5.0
-- param limit = 50: natural, rows at most
SELECT h.model, h.name, k.class, h.head_name, h.score, h.standardised, h.rank, h.head_rank,
       a.bos_attention AS head_bos_attention, a.norm_ratio AS head_norm_ratio,
       e.firing_bos_change, e.firing_norm_change
FROM neuron_heads h
LEFT JOIN heads a ON a.model = h.model AND a.layer = h.head_layer AND a.head = h.head
LEFT JOIN head_effects e ON e.neuron_id = h.neuron_id AND e.head_layer = h.head_layer
                        AND e.head = h.head
LEFT JOIN neuron_overview k ON k.neuron_id = h.neuron_id
WHERE h.effect = CAST(:effect AS TEXT)
  AND (CAST(:model AS TEXT) IS NULL OR h.model = CAST(:model AS TEXT))
  AND (CAST(:head AS TEXT) IS NULL OR h.head_name = CAST(:head AS TEXT))
ORDER BY ABS(h.score) DESC, h.neuron_id, h.head_layer, h.head
LIMIT :limit
