-- title: Cosines of a neuron of each class
-- description: Of the neurons named, or else of the one that shows each typical class most clearly:
--   that with the strongest cosine that defines it, |cos(in, out)| or for proportional change
--   |cos(gate, out)|, among those whose other cosine, if it ought to be 0, is within the random
--   region (weakening-neurons, app. F.2); of orthogonal output that with the smallest sum of the
--   squares of both.
-- param model: model
-- param neurons = null: text, as 29.808,3.7; by default one of each class
WITH known AS (
    SELECT n.model_id, n.layer, n.neuron, n.name, k.class_id,
           k.name AS class, c.gate_in, c.gate_out, c.in_out
    FROM models m
    JOIN named_neurons n ON n.model_id = m.model_id
    JOIN cosines c ON c.neuron_id = n.neuron_id
    JOIN classes q ON q.neuron_id = n.neuron_id AND q.threshold = m.threshold
    JOIN rw_classes k ON k.class_id = q.class_id
    WHERE m.name = CAST(:model AS TEXT)
), ranked AS (
    SELECT s.*,
           ROW_NUMBER() OVER (PARTITION BY s.class_id ORDER BY
               CASE s.class WHEN 'proportional change' THEN ABS(s.gate_out)
                            WHEN 'orthogonal output'
                            THEN -s.in_out * s.in_out - COALESCE(s.gate_out * s.gate_out, 0)
                            ELSE ABS(s.in_out) END DESC, s.layer, s.neuron) AS place
    FROM known s
    LEFT JOIN random_regions g ON g.model_id = s.model_id AND g.layer = s.layer
                              AND g.pair = 'gate_out'
    LEFT JOIN random_regions i ON i.model_id = s.model_id AND i.layer = s.layer
                              AND i.pair = 'in_out'
    WHERE CAST(:neurons AS TEXT) IS NULL AND s.in_out IS NOT NULL
      AND (s.class IN ('strengthening', 'weakening', 'orthogonal output')
           OR s.class IN ('conditional strengthening', 'conditional weakening')
              AND s.gate_out BETWEEN g.low AND g.high
           OR s.class = 'proportional change' AND s.in_out BETWEEN i.low AND i.high)
), shown AS (
    SELECT layer, neuron, name, class_id, class, gate_in, gate_out, in_out
    FROM ranked
    WHERE place = 1
    UNION ALL
    SELECT layer, neuron, name, class_id, class, gate_in, gate_out, in_out
    FROM known
    WHERE ',' || CAST(:neurons AS TEXT) || ',' LIKE '%,' || name || ',%'
)
SELECT name, class, gate_in, gate_out, in_out
FROM shown
ORDER BY class_id, layer, neuron
