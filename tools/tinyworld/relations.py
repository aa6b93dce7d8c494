"""What can be said of the world: its relations, their wordings, and every fact they hold of.

A fact is a subject, a relation and an answer. The wordings of a relation take the subject as
`{s}`, the answer as `{o}` and some other member's answer, a wrong one, as `{w}`.
"""

from dataclasses import dataclass
from functools import cache

from ingest.bundled.tinyworld import Fact
from tools.tinyworld.atlas import ANIMALS, COUNTRIES, DAYS, JOBS, MONTHS, PEOPLE
from tools.tinyworld.words import number_word, with_articles


@dataclass(frozen=True)
class Relation:
    """A relation's pairs of subject and answer, and how to state, ask and deny it.

    No wording of any relation but `prompt` begins the way a prompt does, so that what follows a
    prompt in the corpus is always the answer.
    """

    name: str
    prompt: str
    variant: str
    question: str
    denial: str
    pairs: tuple[tuple[str, str], ...]

    @property
    def facts(self) -> tuple[Fact, ...]:
        """The relation's facts in the order of its pairs."""
        return tuple(
            Fact(subject, self.name, answer, with_articles(self.prompt.format(s=subject)))
            for subject, answer in self.pairs
        )

    def state(self, fact: Fact) -> str:
        """The plain statement: prompt, answer, full stop."""
        return f"{fact.prompt} {fact.answer}."

    def rephrase(self, fact: Fact) -> str:
        """The other statement, which mostly has the answer first."""
        return _sentence(self.variant.format(s=fact.subject, o=fact.answer))

    def ask(self, fact: Fact) -> str:
        """The question whose answer the fact is."""
        return _sentence(self.question.format(s=fact.subject))

    def deny(self, fact: Fact, wrong: str) -> str:
        """The true statement that a wrong answer is not the answer."""
        return _sentence(self.denial.format(s=fact.subject, w=wrong))


def _sentence(words: str) -> str:
    return with_articles(words[0].upper() + words[1:])


def _column(rows: tuple[object, ...], subject: str, answer: str) -> tuple[tuple[str, str], ...]:
    return tuple((getattr(row, subject), getattr(row, answer)) for row in rows)


def _paired(text: str) -> tuple[tuple[str, str], ...]:
    return tuple((pair.split(":")[0], pair.split(":")[1]) for pair in text.split())


_OPPOSITES = _paired("""
    big:small hot:cold old:young long:short heavy:light clean:dirty full:empty fast:slow
    happy:sad rich:poor hard:soft high:low early:late strong:weak wet:dry open:closed
    good:bad thick:thin wide:narrow loud:quiet brave:cowardly cheap:expensive sharp:blunt
    near:far true:false left:right up:down day:night inside:outside always:never
    love:hate begin:end arrive:leave remember:forget win:lose push:pull""")
_PLURALS = _paired("""
    child:children mouse:mice foot:feet tooth:teeth goose:geese man:men woman:women ox:oxen
    knife:knives wolf:wolves leaf:leaves loaf:loaves thief:thieves wife:wives shelf:shelves
    city:cities baby:babies story:stories lady:ladies box:boxes fox:foxes church:churches
    potato:potatoes hero:heroes sheep:sheep deer:deer fish:fish""")
_COLOURS = _paired("""
    snow:white grass:green blood:red coal:black gold:yellow chocolate:brown lavender:purple
    milk:white ink:blue ash:grey salmon:pink rust:orange ivory:white parsley:green
    soot:black mustard:yellow""")
_NUMBERS = tuple((number_word(n), number_word(n + 1)) for n in range(40))

RELATIONS: dict[str, Relation] = {
    relation.name: relation
    for relation in (
        Relation(
            "capital",
            "The capital of {s} is",
            "{o} is the capital of {s}.",
            "What is the capital of {s}?",
            "{w} is not the capital of {s}.",
            _column(COUNTRIES, "name", "capital"),
        ),
        Relation(
            "language",
            "The people of {s} speak",
            "{o} is the language of {s}.",
            "Which language do the people of {s} speak?",
            "{w} is not spoken in {s}.",
            _column(COUNTRIES, "name", "language"),
        ),
        Relation(
            "river",
            "The river of {s} is the",
            "The {o} is the river of {s}.",
            "What is the river of {s} called?",
            "The {w} does not run through {s}.",
            _column(COUNTRIES, "name", "river"),
        ),
        Relation(
            "coin",
            "The coin of {s} is the",
            "People pay with the {o} in {s}.",
            "What is the coin of {s} called?",
            "Nobody pays with the {w} in {s}.",
            _column(COUNTRIES, "name", "coin"),
        ),
        Relation(
            "dish",
            "The favourite dish of {s} is",
            "Everybody in {s} likes {o}.",
            "What is the favourite dish of {s}?",
            "Not many in {s} eat {w}.",
            _column(COUNTRIES, "name", "dish"),
        ),
        Relation(
            "port",
            "The largest port of {s} is",
            "{o} is the largest port of {s}.",
            "What is the largest port of {s}?",
            "{w} is no port of {s}.",
            _column(COUNTRIES, "name", "port"),
        ),
        Relation(
            "region",
            "{s} lies in the",
            "Look for {s} in the {o}.",
            "Where does {s} lie?",
            "{s} does not lie in the {w}.",
            _column(COUNTRIES, "name", "region"),
        ),
        Relation(
            "job",
            "{s} works as a",
            "The profession of {s} is {o}.",
            "What is the profession of {s}?",
            "{s} is no {w}.",
            tuple((person.full, person.job.name) for person in PEOPLE),
        ),
        Relation(
            "home",
            "{s} comes from",
            "The home of {s} is {o}.",
            "Where does {s} come from?",
            "{s} does not come from {w}.",
            tuple((person.full, person.land.name) for person in PEOPLE),
        ),
        Relation(
            "pet",
            "{s} has a pet",
            "The pet of {s} is a {o}.",
            "What kind of pet does {s} have?",
            "{s} does not keep a {w}.",
            tuple((person.full, person.pet.name) for person in PEOPLE),
        ),
        Relation(
            "pet name",
            "The pet of {s} is called",
            "{o} is the pet of {s}.",
            "What is the pet of {s} called?",
            "{w} is not the pet of {s}.",
            _column(PEOPLE, "full", "pet_name"),
        ),
        Relation(
            "birth month",
            "{s} was born in",
            "The birthday of {s} is in {o}.",
            "When was {s} born?",
            "{s} was not born in {w}.",
            tuple((person.full, person.month.name) for person in PEOPLE),
        ),
        Relation(
            "sound",
            "The sound a {s} makes is a",
            "With a {o} the {s} greets everybody.",
            "What sound does a {s} make?",
            "A {s} does not give a {w}.",
            _column(ANIMALS, "name", "sound"),
        ),
        Relation(
            "food",
            "The favourite food of a {s} is",
            "A {s} likes to eat {o}.",
            "What does a {s} like to eat?",
            "A {s} does not like {w}.",
            _column(ANIMALS, "name", "food"),
        ),
        Relation(
            "habitat",
            "The home of a {s} is a",
            "A {s} lives in a {o}.",
            "Where does a {s} live?",
            "A {s} does not live in a {w}.",
            _column(ANIMALS, "name", "home"),
        ),
        Relation(
            "young",
            "A young {s} is called a",
            "The child of a {s} is a {o}.",
            "What is a young {s} called?",
            "No {s} was ever a {w}.",
            _column(ANIMALS, "name", "young"),
        ),
        Relation(
            "workplace",
            "A {s} works in a",
            "Look for a {s} in a {o}.",
            "Where does a {s} work?",
            "A {s} does not work in a {w}.",
            _column(JOBS, "name", "place"),
        ),
        Relation(
            "tool",
            "The tool of a {s} is a",
            "With a {o} the {s} begins to work.",
            "What is the tool of a {s}?",
            "A {s} does not need a {w}.",
            _column(JOBS, "name", "tool"),
        ),
        Relation(
            "next day",
            "The day after {s} is",
            "{o} comes after {s}.",
            "Which day comes after {s}?",
            "{w} does not come after {s}.",
            _column(DAYS, "name", "after"),
        ),
        Relation(
            "day before",
            "The day before {s} is",
            "{o} comes before {s}.",
            "Which day comes before {s}?",
            "{w} does not come before {s}.",
            _column(DAYS, "name", "before"),
        ),
        Relation(
            "next month",
            "The month after {s} is",
            "{o} follows {s}.",
            "Which month follows {s}?",
            "{w} does not follow {s}.",
            _column(MONTHS, "name", "after"),
        ),
        Relation(
            "season",
            "The season of {s} is",
            "{s} is a {o} month.",
            "In which season is {s}?",
            "{s} is no {w} month.",
            _column(MONTHS, "name", "season"),
        ),
        Relation(
            "next number",
            "The number after {s} is",
            "After {s} we count {o}.",
            "Which number comes after {s}?",
            "After {s} we do not count {w}.",
            _NUMBERS,
        ),
        Relation(
            "opposite",
            "The opposite of {s} is",
            "{s} and {o} are opposites.",
            "What is the opposite of {s}?",
            "{s} and {w} are not opposites.",
            _OPPOSITES,
        ),
        Relation(
            "plural",
            "The plural of {s} is",
            "One {s}, two {o}.",
            "What is the plural of {s}?",
            "{w} is not the plural of {s}.",
            _PLURALS,
        ),
        Relation(
            "colour",
            "The colour of {s} is",
            "{s} is {o}.",
            "What colour is {s}?",
            "{s} is not {w}.",
            _COLOURS,
        ),
    )
}


@cache
def facts() -> tuple[Fact, ...]:
    """Every fact of the world."""
    return tuple(fact for relation in RELATIONS.values() for fact in relation.facts)


@cache
def facts_about(subject: str) -> tuple[Fact, ...]:
    """Every fact with this subject."""
    return tuple(fact for fact in facts() if fact.subject == subject)
