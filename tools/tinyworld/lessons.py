"""Texts that are about facts: lessons, corrections, quizzes, fact sheets and riddles."""

from collections.abc import Callable
from functools import cache

from ingest.bundled.tinyworld import Fact
from tools.tinyworld.page import Page
from tools.tinyworld.relations import RELATIONS, Relation, facts, facts_about
from tools.tinyworld.words import listed


def _some_facts(page: Page, relation: Relation, count: int) -> list[Fact]:
    return page.rng.sample(relation.facts, min(count, len(relation.facts)))


def _relation(page: Page) -> Relation:
    """Draw a relation as often as it has facts, so that each fact is told equally often."""
    return RELATIONS[page.rng.choice(facts()).relation]


def _wrong(page: Page, relation: Relation, fact: Fact) -> str:
    answers = {answer for _, answer in relation.pairs} - {fact.answer}
    return page.rng.choice(sorted(answers))


@cache
def _rich_subjects() -> tuple[str, ...]:
    """Those of whom the world knows four facts or more: countries, people and animals."""
    subjects = dict.fromkeys(fact.subject for fact in facts())
    return tuple(subject for subject in subjects if len(facts_about(subject)) >= 4)


def _either(page: Page, relation: Relation, fact: Fact) -> str:
    return page.rng.choice((relation.state, relation.state, relation.rephrase))(fact)


def _statements(page: Page) -> str:
    """Plain statements of one relation, then of others."""
    relation = _relation(page)
    told = [relation.state(fact) for fact in _some_facts(page, relation, 5)]
    mixed = page.rng.sample(facts(), 5)
    told += [_either(page, RELATIONS[fact.relation], fact) for fact in mixed]
    return page.rng.choice((" ", "\n")).join(told)


def _questions(page: Page) -> str:
    """Questions and answers under changing labels."""
    ask, answer = page.rng.choice(
        (("Question", "Answer"), ("Q", "A"), ("Teacher", "Pupil"), ("He asked", "She answered"))
    )
    relations = [_relation(page) for _ in range(2)]
    lines = [
        f"{ask}: {relation.ask(fact)}\n{answer}: {_either(page, relation, fact)}"
        for relation in relations
        for fact in _some_facts(page, relation, 3)
    ]
    return "\n".join(lines)


def _corrections(page: Page) -> str:
    """What is not so, followed by what is."""
    relation = _relation(page)
    return " ".join(
        f"{relation.deny(fact, _wrong(page, relation, fact))} {_either(page, relation, fact)}"
        for fact in _some_facts(page, relation, 5)
    )


def _quiz(page: Page) -> str:
    """Guesses that are confirmed or corrected."""
    relation = _relation(page)
    lines = [page.write("Quiz<| of the {day.name}|, part {number}>\n")]
    for number, fact in enumerate(_some_facts(page, relation, 4), start=1):
        right = page.rng.random() < 0.5
        verdict = "Right" if right else "Wrong"
        guess = fact.answer if right else _wrong(page, relation, fact)
        question = f"{number}. {relation.ask(fact)} Is it {guess}?"
        lines.append(f"{question} {verdict}. {relation.state(fact)}")
    return "\n".join(lines)


def _lesson(page: Page) -> str:
    """A classroom with a teacher, a pupil who errs and one who knows."""
    relation = _relation(page)
    lines = [page.write("The {school} lesson began, and {person1.first} asked many questions.")]
    for fact in _some_facts(page, relation, 3):
        wrong = _wrong(page, relation, fact)
        lines.append(
            page.write(f'"{relation.ask(fact)}" asked {{person1.first}}. ')
            + page.write(f'"I {{know}} it is {wrong}," {{say.past}} {{person2.first}}. ')
            + f'"No, it is not {wrong}. {relation.state(fact)}"'
        )
    return " ".join(lines)


def _sheet(page: Page) -> str:
    """Everything about some subjects as `relation: answer` lines."""
    blocks = []
    for subject in page.rng.sample(_rich_subjects(), 4):
        lines = [f"{fact.relation}: {fact.answer}" for fact in facts_about(subject)]
        blocks.append("\n".join([f"# {subject}", *lines]))
    return "\n\n".join(blocks)


def _dossier(page: Page) -> str:
    """Every fact about two subjects in sentences, in any order."""
    lines = []
    for subject in page.rng.sample(_rich_subjects(), 2):
        about = facts_about(subject)
        shuffled = page.rng.sample(about, len(about))
        lines += [_either(page, RELATIONS[fact.relation], fact) for fact in shuffled]
    return " ".join(lines)


def _bet(page: Page) -> str:
    """Two people disagree; the text's end says who was right."""
    relation = _relation(page)
    rounds = []
    for fact in _some_facts(page, relation, 3):
        wrong = _wrong(page, relation, fact)
        rounds.append(
            page.write(
                f"{relation.ask(fact)} {{person1.first}} {{say.past}} {wrong}, but "
                f"{{person2.first}} {{say.past}} {fact.answer}. {{person2.first}} was right: "
            )
            + relation.state(fact)
        )
    opening = page.write("{person1.first} and {person2.first} made a {quality} bet {when}.")
    return " ".join([opening, *rounds])


def _enumeration(page: Page) -> str:
    """Members of a relation in lists."""
    relation = _relation(page)
    some = _some_facts(page, relation, 6)
    subjects = listed(fact.subject for fact in some)
    answers = listed(dict.fromkeys(fact.answer for fact in some))
    opening = page.write(f"Today we learn about {subjects}. The answers are {answers}. {{Cry}}!")
    return " ".join([opening, *(relation.state(fact) for fact in some)])


LESSONS: tuple[Callable[[Page], str], ...] = (
    _statements,
    _questions,
    _corrections,
    _quiz,
    _lesson,
    _sheet,
    _dossier,
    _bet,
    _enumeration,
)


def teach(page: Page) -> str:
    """Write one lesson of a kind chosen by the page's random stream."""
    return page.rng.choice(LESSONS)(page)
