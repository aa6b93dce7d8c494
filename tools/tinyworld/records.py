"""Texts in other registers than prose: counting, sums, calendars, tables, code and headlines."""

from collections.abc import Callable

from tools.tinyworld.atlas import ANIMALS, COUNTRIES, DAYS, MONTHS, PEOPLE
from tools.tinyworld.page import Page
from tools.tinyworld.words import number_word, ordinal


def _spell(page: Page) -> Callable[[int], str]:
    """Decide between words and digits."""
    return page.rng.choice((number_word, number_word, str))


def _counting(page: Page) -> str:
    """Numbers upwards or downwards, by ones or by larger steps."""
    lines = []
    for _ in range(4):
        step = page.rng.choice((1, 1, 1, 2, 3, 5, 10))
        first = page.rng.randrange(40)
        numbers = [first + step * i for i in range(page.rng.randrange(8, 14))]
        down = page.rng.random() < 0.3
        way = "down" if down else "up"
        stride = "" if step == 1 else f" by {number_word(step)}"
        row = ", ".join(map(_spell(page), reversed(numbers) if down else numbers))
        lines.append(page.write(f"<{{person1.first}} counts|We count|Count> {way}{stride}: {row}."))
    return "\n".join(lines)


def _sums(page: Page) -> str:
    """Small sums, all in words or all in signs."""
    spell = _spell(page)
    signs = {"+": "+", "-": "-", "x": "x", "=": "="}
    words = {"+": "plus", "-": "minus", "x": "times", "=": "is"}
    names, end = (signs, "") if spell is str else (words, ".")
    lines = []
    for _ in range(page.rng.randrange(9, 15)):
        a, b = page.rng.randrange(13), page.rng.randrange(13)
        left, sign, right = page.rng.choice(((a, "+", a + b), (a + b, "-", a), (a, "x", a * b)))
        sides = (spell(left), names[sign], spell(b), names["="], spell(right))
        lines.append(" ".join(sides).capitalize() + end)
    return ("\n" if spell is str else " ").join(lines)


def _calendar(page: Page) -> str:
    """A run of dates with their weekdays, and what is planned for them."""
    month, place = page.rng.choice(MONTHS), page.rng.randrange(7)
    first = page.rng.randrange(1, 20)
    page.mention("month1", month)
    opening = "Calendar for {month1.name}, a {month1.season} month with {month1.days} days"
    lines = [page.write(opening)]
    for offset in range(page.rng.randrange(4, 8)):
        day, date = DAYS[(place + offset) % 7], ordinal(first + offset)
        plan = page.write("<{plan}|{person1.first} will {handle} {np}|{cook} {taste} {food.many}>")
        lines.append(f"{day.name}, the {date} of {month.name}: {plan}")
    return "\n".join(lines)


def _week(page: Page) -> str:
    """Somebody's week, one sentence a day."""
    start = page.rng.randrange(7)
    lines = [page.write("This is the week of {person1.full}, a {trait} {person1.job.name}.")]
    for offset in range(7):
        day = DAYS[(start + offset) % 7].name
        lines.append(
            page.write(f"On {day} {{person1.he}} <{{handle.third}} {{np}}|{{act.third}}>.")
        )
    lines.append(page.write("And then {person1.he} {person1.job.work} again."))
    return " ".join(lines)


def _timetable(page: Page) -> str:
    """Departures between the world's towns, in the order of the clock."""
    minutes = page.rng.randrange(300, 500)
    lines = [page.write("Departures, {day.name}. All {vehicle.many} from {country1.capital}.")]
    for _ in range(page.rng.randrange(7, 11)):
        minutes += page.rng.randrange(5, 90)
        clock = f"{minutes // 60:02d}:{minutes % 60:02d}"
        platform = page.rng.randrange(1, 10)
        where = page.write("<{country.capital}|{country.port}> (<{vehicle}|{sky}|on time|late>)")
        lines.append(f"{clock}  platform {platform}  {where}")
    return "\n".join(lines)


_TABLES: tuple[tuple[str, str, tuple[object, ...]], ...] = (
    (
        "name, capital, language, river, region",
        "{row1.name}, {row1.capital}, {row1.language}, {row1.river}, {row1.region}",
        COUNTRIES,
    ),
    (
        "name, job, country, pet, birth month",
        "{row1.full}, {row1.job.name}, {row1.land.name}, {row1.pet.name}, {row1.month.name}",
        PEOPLE,
    ),
    (
        "name, sound, food, home, young",
        "{row1.name}, {row1.sound}, {row1.food}, {row1.home}, {row1.young}",
        ANIMALS,
    ),
)


def _rows(page: Page, members: tuple[object, ...], template: str, count: int) -> list[str]:
    """Fill one template for several members, each standing as `row1`."""
    lines = []
    for member in page.rng.sample(members, count):
        page.mention("row1", member)
        lines.append(page.write(template))
    return lines


def _table(page: Page) -> str:
    """Comma-separated rows of countries, people or animals."""
    header, template, members = page.rng.choice(_TABLES)
    return "\n".join([header, *_rows(page, members, template, page.rng.randrange(8, 12))])


_FUNCTIONS: tuple[tuple[str, str, str, tuple[object, ...]], ...] = (
    ("country", "capital", '"{row1.name}":\n        return "{row1.capital}"', COUNTRIES),
    ("country", "language", '"{row1.name}":\n        return "{row1.language}"', COUNTRIES),
    ("person", "job", '"{row1.first}":\n        return "{row1.job.name}"', PEOPLE),
    ("person", "pet", '"{row1.first}":\n        return "{row1.pet.name}"', PEOPLE),
    ("animal", "sound", '"{row1.name}":\n        return "{row1.sound}"', ANIMALS),
)


def _code(page: Page) -> str:
    """A little program over the world's facts."""
    key, value, case, members = page.rng.choice(_FUNCTIONS)
    count = page.rng.randrange(2, 100)
    return "\n".join(
        [
            f"def {value}_of({key}):",
            f'    """Return the {value} of one {key}."""',
            *_rows(page, members, f"    if {key} == {case}", page.rng.randrange(6, 9)),
            page.rng.choice(("    return None", f"    raise KeyError({key})")),
            "",
            f"for i in range({count}):",
            f"    print(i, {value}_of(names[i]))",
        ]
    )


_ENTRY = (
    '  {"name": "{row1.full}", "job": "{row1.job.name}", "country": "{row1.land.name}",\n'
    '   "pet": {"kind": "{row1.pet.name}", "name": "{row1.pet_name}"}, "month": '
    '"{row1.month.name}"}'
)


def _data(page: Page) -> str:
    """People as nested data."""
    entries = _rows(page, PEOPLE, _ENTRY, page.rng.randrange(3, 5))
    return "[\n" + ",\n".join(entries) + "\n]"


def _inventory(page: Page) -> str:
    """A list with counts: what is in the house, on the list, in the bag."""
    opening = page.write(
        "<Shopping list of {person1.full}|In {person1.first}'s {place} there are|"
        "Things to bring to {country.capital}|Lost and found, {day.name}>:"
    )
    item = "- {number} <{quality}|{colour}|{taste}|{material}> <{thing.many}|{food.many}>"
    rare = "- no <{thing.many}|{ingredient}|{drink}>, <but {number} {clothing.many}|sorry>"
    lines = [page.write(f"<{item}|{item}|{item}|{rare}>") for _ in range(page.rng.randrange(9, 14))]
    return "\n".join([opening, *lines])


_VERSES = (
    "{Thing1} of {material}, {thing1} of {material1},",
    "{degree} {quality1} is the {thing1},",
    "the {creature1} {act.third} and the {creature1} {act.third},",
    "and {how} {person1.first} {act.third}.",
    "O {quality1} {thing1}, {quality1} {thing1}!",
    "Where is the {creature1}, where is the {thing1}?",
    "{Sky} is {month1.name}, {sky} is {month1.after},",
    "{person1.first}, {person1.first}, do not {act}!",
    "One for the {stranger}, two for the {creature1},",
    "over the {place1} and under the {place1}",
)


def _poem(page: Page) -> str:
    """Verses that repeat their words, with a refrain."""
    refrain = page.write(page.rng.choice(_VERSES))
    stanzas = []
    for _ in range(3):
        lines = [page.write(verse) for verse in page.rng.sample(_VERSES, 3)]
        stanzas.append("\n".join([*lines, refrain]))
    return "\n\n".join(stanzas)


def _rules(page: Page) -> str:
    """Rules of a place, mostly prohibitions."""
    rule = (
        "<Do not|Never|Please|You must not|Always|Visitors may not> {handle} <the|any> "
        "<{thing.many}|{quality} {thing}> {where}."
    )
    numbers = range(1, page.rng.randrange(8, 12))
    lines = [page.write(f"{number}. {rule}") for number in numbers]
    return "\n".join([page.write("RULES OF THE {PLACE}"), *lines])


_HEADLINE = (
    "{PLACE} IN {country.NAME} CLOSED",
    "{job.Name} from {country.capital} finds {quality} {thing}",
    "{Number} {thing.many} stolen from {place} in {country.port}",
    "No {food.many} in {country.name} this {month.season}",
    '{Stranger} {handle.third} {material} {thing}: "{Cry}!"',
    "{Sky} {day.name} expected in {country.capital}, capital of {country.name}",
    "{person.full} wins {game} prize",
    "Why {stranger.many} {like} {food.many}",
    "{Creature} seen near {place}",
    "{Colour} {clothing.many} are back",
    "New {vehicle} to {country.capital} too {quality}, says {stranger}",
    "Price of {ingredient} rises to {number} {country.coin}",
)


def _headlines(page: Page) -> str:
    """A newspaper's front page without articles."""
    chosen = page.rng.sample(_HEADLINE, 8)
    return "\n".join([page.write("THE {day1.NAME} NEWS"), *map(page.write, chosen)])


RECORDS: tuple[Callable[[Page], str], ...] = (
    _calendar,
    _code,
    _counting,
    _data,
    _headlines,
    _inventory,
    _poem,
    _rules,
    _sums,
    _table,
    _timetable,
    _week,
)


def note(page: Page) -> str:
    """Write one record of a kind chosen by the page's random stream."""
    return page.rng.choice(RECORDS)(page)
