-- title: Attention heads at BOS
-- description: Every head: what it writes for other tokens over what it writes at BOS (19.4 at the
--   median head of GPT2-medium, universal-neurons §5.3), its mean attention to BOS in the second
--   halves of texts, and how many neurons deactivate or activate it by 4 standard deviations of
--   random directions.
-- needs: heads
-- param model = null: model, only this model
-- param limit = 1000: natural, rows at most
SELECT model, name, norm_ratio, bos_norm, other_norm, bos_attention, n_deactivating, n_activating,
       query_norm, baseline_std
FROM heads
WHERE CAST(:model AS TEXT) IS NULL OR model = CAST(:model AS TEXT)
ORDER BY model, layer, head
LIMIT :limit
