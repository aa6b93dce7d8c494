"""Scripts and stylesheets of the pages."""

from neurondb.figures.palette import THEMES, choose_class_colours
from tests.neurondb.explore.site_client import Site


def test_files_of_a_page_are_kept_until_they_change(site: Site) -> None:
    tags = site.get("/").page.tags
    files = [
        str(given.get("href") or given.get("src"))
        for tag, given in tags
        if tag in ("link", "script")
    ]

    assert len(files) == 4
    for file in files:
        answer = site.get(file)
        assert answer.status == 200
        assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert "immutable" not in site.get(file.partition("?")[0]).headers.get("cache-control", "")
    for name in ("../site.py", "none.css", "vega", "neurondb.css.map"):
        assert site.get(f"/-/neurondb/{name}").status == 404


def test_classes_have_the_colours_of_the_figures(site: Site) -> None:
    css = site.get("/-/neurondb/classes.css").text

    for theme in THEMES:
        for name, colour in choose_class_colours(theme).items():
            assert f".class-{name.replace(' ', '-')} {{ --class: {colour}; }}" in css
    assert css.index("prefers-color-scheme: dark") > css.index(
        choose_class_colours("light")["weakening"]
    )
