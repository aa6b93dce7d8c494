-- title: Activation frequency and a cosine of every neuron
-- description: The figure counts these neurons in 40 × 40 bins, and correlates the two.
-- param model: model
-- param cosine = "in_out": choice(in_out, gate_out, gate_in)
-- param absolute = "yes": choice(yes, no), whether cos(gate, out) is without its sign
-- param dataset = null: text, by default the one that neuron_overview shows
SELECT n.layer, n.neuron, COALESCE(a.freq, a.post_positive) AS freq,
       CASE CAST(:cosine AS TEXT) WHEN 'in_out' THEN c.in_out WHEN 'gate_in' THEN c.gate_in
       ELSE CASE CAST(:absolute AS TEXT) WHEN 'yes' THEN ABS(c.gate_out) ELSE c.gate_out END
       END AS cosine
FROM models m
JOIN neurons n ON n.model_id = m.model_id
JOIN cosines c ON c.neuron_id = n.neuron_id
JOIN activation_stats a ON a.neuron_id = n.neuron_id AND a.dataset_id = COALESCE(
    (SELECT d.dataset_id FROM datasets d WHERE d.name = CAST(:dataset AS TEXT)), m.dataset_id)
WHERE m.name = CAST(:model AS TEXT)
ORDER BY n.layer, n.neuron
