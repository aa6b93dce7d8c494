-- title: Universal in a sign case
-- description: The neurons that are universal in one of their sign cases, in the newest run of each
--   model that compared these (METHODS §8, by case): hook_post of the neuron and of those of other
--   models where the case holds, 0 elsewhere. The row has the excess there and over all tokens, the
--   best match in the case in the model of the largest correlation, and that over all tokens. A
--   neuron that is in a case at few tokens may agree with another there by chance.
-- needs: universality
-- param model = null: model, only this model
-- param case = null: choice(gate+_in+, gate+_in-, gate-_in+, gate-_in-, in+, in-), only this case
-- param excess = 0.5: number, more than this in the case
-- param at_most = null: number, and no more than this over all tokens
-- param tokens = 20: natural, tokens in the case at least
-- param limit = 100: natural, rows at most
WITH shown AS (
    SELECT r.run_id
    FROM universality_runs r
    WHERE r.run_id = (SELECT MAX(x.run_id) FROM universality_runs x
                      WHERE x.model_id = r.model_id)
      AND (CAST(:model AS TEXT) IS NULL
           OR r.model_id = (SELECT m.model_id FROM models m WHERE m.name = CAST(:model AS TEXT)))
), excesses AS (
    SELECT c.run_id, c.neuron_id, c.case_id, AVG(c.correlation) - AVG(c.baseline) AS excess,
           MAX(c.correlation) AS highest, MAX(c.n_tokens) AS n_tokens,
           (SELECT AVG(u.correlation) - AVG(u.baseline) FROM universality u
            WHERE u.neuron_id = c.neuron_id AND u.run_id = c.run_id) AS excess_all
    FROM shown s
    JOIN universality_cases c ON c.run_id = s.run_id
    WHERE CAST(:case AS TEXT) IS NULL
       OR c.case_id = (SELECT s.sign_case_id FROM sign_case_names s
                       WHERE s.sign_case = CAST(:case AS TEXT))
    GROUP BY c.run_id, c.neuron_id, c.case_id
    HAVING AVG(c.correlation) - AVG(c.baseline) > :excess AND MAX(c.n_tokens) >= :tokens
)
SELECT m.name AS model,
       n.name, k.name AS class, w.sign_case,
       e.n_tokens, e.excess, e.excess_all, o.name AS other_model,
       b.name AS best_name, e.highest AS correlation, c.baseline,
       (SELECT v.name FROM universality u
        JOIN named_neurons v ON v.neuron_id = u.best_id
        WHERE u.neuron_id = e.neuron_id AND u.run_id = e.run_id AND u.place = c.place)
       AS best_name_all
FROM excesses e
JOIN named_neurons n ON n.neuron_id = e.neuron_id
JOIN models m ON m.model_id = n.model_id
JOIN sign_case_names w ON w.sign_case_id = e.case_id
JOIN universality_cases c ON c.neuron_id = e.neuron_id AND c.run_id = e.run_id
                         AND c.case_id = e.case_id
                         AND c.place = (SELECT MIN(x.place) FROM universality_cases x
                                        WHERE x.neuron_id = e.neuron_id AND x.run_id = e.run_id
                                          AND x.case_id = e.case_id
                                          AND x.correlation = e.highest)
JOIN universality_models p ON p.run_id = c.run_id AND p.place = c.place
JOIN models o ON o.model_id = p.other_id
JOIN named_neurons b ON b.neuron_id = c.best_id
LEFT JOIN classes d ON d.neuron_id = n.neuron_id AND d.threshold = m.threshold
LEFT JOIN rw_classes k ON k.class_id = d.class_id
WHERE CAST(:at_most AS DOUBLE PRECISION) IS NULL OR e.excess_all <= :at_most
ORDER BY e.excess DESC, m.name, n.layer, n.neuron, w.sign_case
LIMIT :limit
