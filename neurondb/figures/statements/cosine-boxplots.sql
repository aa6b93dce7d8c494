-- title: Quantiles of the cosines in every layer
-- description: By linear interpolation, at 5, 25, 50, 75 and 95%; of |cos(gate, in)| and
--   |cos(gate, out)|, or with absolute=no of the cosines themselves. The region of random pairs is
--   a row of `random_regions`.
-- param model: model
-- param absolute = "yes": choice(yes, no)
WITH cosines AS (
    SELECT layer, 'in_out' AS pair, in_out AS value
    FROM neuron_overview
    WHERE model = CAST(:model AS TEXT)
    UNION ALL
    SELECT layer, 'gate_out', CASE CAST(:absolute AS TEXT) WHEN 'no' THEN gate_out
                              ELSE ABS(gate_out) END
    FROM neuron_overview
    WHERE model = CAST(:model AS TEXT)
    UNION ALL
    SELECT layer, 'gate_in', CASE CAST(:absolute AS TEXT) WHEN 'no' THEN gate_in
                             ELSE ABS(gate_in) END
    FROM neuron_overview
    WHERE model = CAST(:model AS TEXT)
), ranked AS (
    SELECT layer, pair, value,
           ROW_NUMBER() OVER (PARTITION BY layer, pair ORDER BY value) - 1 AS i,
           COUNT(*) OVER (PARTITION BY layer, pair) - 1 AS last
    FROM cosines
    WHERE value IS NOT NULL
), percents AS (
    SELECT 5 AS percent UNION ALL SELECT 25 UNION ALL SELECT 50 UNION ALL SELECT 75
    UNION ALL SELECT 95
), quantiles AS (
    -- The quantile stands percent·last/100 places from the start, between two values where the
    -- remainder is not 0.
    SELECT layer, pair, percent,
           SUM(value * CASE WHEN i = percent * last / 100 THEN 1 - percent * last % 100 / 100.0
                            ELSE percent * last % 100 / 100.0 END) AS value
    FROM ranked
    JOIN percents ON i IN (percent * last / 100, percent * last / 100 + 1)
    GROUP BY layer, pair, percent
)
SELECT layer, pair, SUM(CASE percent WHEN 5 THEN value END) AS q05,
       SUM(CASE percent WHEN 25 THEN value END) AS q25,
       SUM(CASE percent WHEN 50 THEN value END) AS median,
       SUM(CASE percent WHEN 75 THEN value END) AS q75,
       SUM(CASE percent WHEN 95 THEN value END) AS q95
FROM quantiles
GROUP BY layer, pair
ORDER BY layer, pair
