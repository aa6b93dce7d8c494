-- title: Weakening neurons that fire often
-- description: Neurons of one read-write class, weakening by default, whose gate is open for more
--   than a given share of the tokens; the most frequent ones first.
-- needs: activations, gates
-- param model = null: model, only this model
-- param class = "weakening": class, read-write class, under either name
-- param freq = 0.6: number, share of tokens with x_gate > 0 to exceed
-- param limit = 50: natural, rows at most
SELECT model, name, class, freq, gate_in, gate_out, in_out, role, top_out_token
FROM neuron_overview
WHERE class = :class
  AND freq > :freq
  AND (CAST(:model AS TEXT) IS NULL OR model = CAST(:model AS TEXT))
ORDER BY freq DESC, neuron_id
LIMIT :limit
