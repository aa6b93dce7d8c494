"""axe-core, which looks at a page in a browser for what people with disabilities run into.

`.ci/axe` installs it from npm, outside the repository; NEURONDB_AXE may name another axe.min.js.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.support.absent import absent

VARIABLE: Final = "NEURONDB_AXE"
_INSTALLED: Final = Path("neurondb", "axe", "node_modules", "axe-core", "axe.min.js")
"""In the user's cache, where `.ci/axe` puts it."""
TAGS: Final = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice")
"""What is looked for: WCAG 2.2 to level AA, and what axe recommends beyond it."""


@dataclass(frozen=True)
class Finding:
    """One rule that elements of a page break.

    Attributes:
        rule: axe's name of it.
        impact: minor, moderate, serious or critical.
        elements: a selector of each element, and what is wrong with it.
    """

    rule: str
    impact: str
    elements: tuple[str, ...]

    def __str__(self) -> str:
        return "\n  ".join((f"{self.rule} ({self.impact}):", *self.elements))


def script() -> str:
    """Return axe-core; skips where it is not installed, or fails with NEURONDB_REQUIRE_ALL=1.

    A module whose tests all need it calls this at its top, and is skipped as one.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    path = Path(os.environ.get(VARIABLE) or cache / _INSTALLED)
    if not path.is_file():
        absent(f"no axe-core at {path}: `.ci/axe` installs it from npm")
    return path.read_text(encoding="utf-8")


def findings(tab: Any, axe: str, *rules: str) -> list[Finding]:
    """Return what axe finds wrong with the page of a tab as it is at the moment.

    Args:
        tab: Playwright's, of a context with `bypass_csp=True`: the script is put into the page.
        axe: from `script`.
        rules: to be looked at alone; all of TAGS by default.
    """
    if not tab.evaluate("'axe' in window"):
        tab.evaluate(f"() => {{ {axe} }}")
    only = {"type": "rule", "values": rules} if rules else {"type": "tag", "values": TAGS}
    found = tab.evaluate(
        """(only) => axe.run({runOnly: only, resultTypes: ["violations"]}).then((all) =>
          all.violations.map((one) => [one.id, one.impact, one.nodes.map((node) =>
            `${node.target.join(" ")}: ${node.failureSummary.replaceAll("\\n", " ")}`)]))""",
        only,
    )
    return [Finding(rule, impact, tuple(elements)) for rule, impact, elements in found]
