-- title: Of every class, the neurons whose cosines show it most strongly
-- description: Of each typical class that changes its input, the neurons with the strongest cosine
--   that defines it, |cos(in, out)| or for proportional change |cos(gate, out)|, among those whose
--   other cosine, if it ought to be 0, is within the random region (weakening-neurons, app. F.2).
-- param model = null: model, only this model
-- param top = 3: natural, neurons of each class
WITH scored AS (
    SELECT n.model_id, n.neuron_id, k.class_id, k.name AS class,
           c.gate_in, c.gate_out, c.in_out,
           ABS(CASE WHEN k.name = 'proportional change' THEN c.gate_out ELSE c.in_out END) AS score
    FROM models m
    JOIN neurons n ON n.model_id = m.model_id
    JOIN cosines c ON c.neuron_id = n.neuron_id
    JOIN classes q ON q.neuron_id = n.neuron_id AND q.threshold = m.threshold
    JOIN rw_classes k ON k.class_id = q.class_id
    LEFT JOIN random_regions g ON g.model_id = n.model_id AND g.layer = n.layer
                              AND g.pair = 'gate_out'
    LEFT JOIN random_regions i ON i.model_id = n.model_id AND i.layer = n.layer
                              AND i.pair = 'in_out'
    WHERE (CAST(:model AS TEXT) IS NULL OR m.name = CAST(:model AS TEXT))
      -- Implied by the next condition; so SQLite looks up the regions of these classes only.
      AND k.name IN ('strengthening', 'weakening', 'conditional strengthening',
                     'conditional weakening', 'proportional change')
      AND (k.name IN ('strengthening', 'weakening')
           OR k.name IN ('conditional strengthening', 'conditional weakening')
              AND c.gate_out BETWEEN g.low AND g.high
           OR k.name = 'proportional change' AND c.in_out BETWEEN i.low AND i.high)
), ranked AS (
    SELECT scored.*,
           ROW_NUMBER() OVER (PARTITION BY model_id, class_id
                              ORDER BY score DESC, neuron_id) AS place
    FROM scored
)
SELECT m.name AS model, r.class, n.name, r.gate_in, r.gate_out, r.in_out
FROM ranked r
JOIN models m ON m.model_id = r.model_id
JOIN named_neurons n ON n.neuron_id = r.neuron_id
WHERE r.place <= :top
ORDER BY m.name, r.class_id, r.place
