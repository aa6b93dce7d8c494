"""What MkDocs does beyond showing docs/: pages of the repository around it, and the links to them.

Pages link to each other as files of the repository, so that they read well there. The site has the
README as its home and the other pages of the top under names of their own; a link to any other file
becomes a link to a copy of it.
"""

import posixpath
import re
from pathlib import Path
from typing import Final

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT: Final = Path(__file__).resolve().parent.parent
AROUND: Final = {
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
    "benchmarks/RESULTS.md": "benchmarks.md",
}
"""Page of the repository → its name in the site."""
HOME_TITLE: Final = "A database of language-model neurons"
"""What a browser's tab says of the home page, before the name of the site."""
_OF_SITE: Final = {name: page for page, name in AROUND.items()}
_BLOCKS: Final = re.compile(r"(^```.*?^```|^    .*?$|`[^`\n]+`)", re.MULTILINE | re.DOTALL)
_LINK: Final = re.compile(r"(?<=\]\()(?!\w+:)([^)#\s]+)(?=[)#])")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages around docs/, and files that a page links to."""
    for source, name in AROUND.items():
        files.append(File.generated(config, name, abs_src_path=str(ROOT / source)))
    for file in list(files.documentation_pages()):
        for target in find_targets(file.src_uri, file.content_string):
            if is_copied(target) and files.get_file_from_path(target) is None:
                files.append(File.generated(config, target, abs_src_path=str(ROOT / target)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn the links of a page, which name files of the repository, into those of the site."""
    if page.file.src_uri == "index.md":  # whose heading is the site's own name
        page.meta["title"] = HOME_TITLE
    return turn_links(markdown, page.file.src_uri)


def turn_links(markdown: str, name: str) -> str:
    """Return a page with its links as the site has them; code stays as it is.

    Args:
        markdown: What the page says.
        name: Its name in the site.
    """

    def turn(found: re.Match[str]) -> str:
        target = _place_target(_place_source(name), found[1])
        return posixpath.relpath(_place_in_site(target), posixpath.dirname(name) or ".")

    parts = _BLOCKS.split(markdown)
    parts[::2] = (_LINK.sub(turn, part) for part in parts[::2])
    return "".join(parts)


def find_targets(name: str, markdown: str) -> set[str]:
    """Return the files of the repository that a page of the site links to."""
    prose = "".join(_BLOCKS.split(markdown)[::2])
    return {_place_target(_place_source(name), found) for found in _LINK.findall(prose)}


def is_copied(target: str) -> bool:
    """Tell whether a file is in the site because a page links to it."""
    within = target.startswith(("../", "docs/")) or target in AROUND
    return not within and (ROOT / target).is_file()


def _place_source(name: str) -> str:
    return _OF_SITE.get(name, f"docs/{name}")


def _place_target(source: str, link: str) -> str:
    return posixpath.normpath(posixpath.join(posixpath.dirname(source), link))


def _place_in_site(target: str) -> str:
    return AROUND.get(target, target.removeprefix("docs/"))
