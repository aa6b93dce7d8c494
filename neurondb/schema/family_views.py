"""The view of what explains neurons: the best test of each family of tests (METHODS §9)."""

from typing import Final

_FAMILIES = """
SELECT f.neuron_id, r.dataset_id, COALESCE(s.sign_case, 'all') AS sign_case, f.rank, t.family,
       t.name AS test, f.score,
       CASE WHEN f.inside_mean >= f.outside_mean THEN 1 ELSE -1 END AS sign, t.share,
       f.inside_mean, f.outside_mean, t.description, f.run_id
FROM neuron_families f
JOIN family_runs r ON r.run_id = f.run_id
JOIN token_tests t ON t.run_id = f.run_id AND t.test = f.test
LEFT JOIN sign_case_names s ON s.sign_case_id = f.case_id
"""

FAMILY_VIEWS: Final = (
    (
        "families",
        _FAMILIES,
        "How much of the variance of a neuron's hook_post a test of tokens explains: the best test "
        "of each family, the best family first (rank 0); sign_case: all tokens, or hook_post "
        "restricted to a sign case and 0 elsewhere; sign: 1 where hook_post is larger where the "
        "test holds.",
    ),
)
"""Name, SELECT and comment."""
