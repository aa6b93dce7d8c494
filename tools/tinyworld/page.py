"""Templates to text: a small grammar whose slots remember who and what a text is about.

A template holds three things besides its words:

    <big|small|>            one of the alternatives, which may nest and may be empty
    {thing}                 a word of the class `thing`; a text likes to repeat its words
    {person1.land.capital}  the text's first person, always the same one, and an attribute of it

A number after the class is what makes the text remember; two numbers of a class never name the
same member. A capital in the last part of a slot capitalises, {Mood} or {person1.He}; all
capitals give all capitals. A drawn value that is a template itself is filled in turn, so classes
of templates form a grammar.
"""

import re
from collections.abc import Mapping
from functools import reduce
from random import Random

from tools.tinyworld.words import with_articles

_CHOICE = re.compile(r"<([^<>]*)>")
_SLOT = re.compile(r"\{([A-Za-z]+)(\d*)((?:\.[A-Za-z_]+)*)\}")

_REPETITION = 0.4
"""Share of a class's words that are taken from those already in the text: texts keep a topic."""


class Page:
    """One text in the making: its random stream and what it has mentioned so far."""

    def __init__(self, rng: Random, classes: Mapping[str, tuple[object, ...]]) -> None:
        self.rng = rng
        self._classes = classes
        self._mentioned: dict[str, object] = {}
        self._used: dict[str, list[object]] = {}

    def write(self, template: str) -> str:
        """Fill one template; what it mentions stays known to the next one."""
        while _CHOICE.search(template):
            template = _CHOICE.sub(lambda match: self.rng.choice(match[1].split("|")), template)
        return with_articles(_SLOT.sub(self._fill, template))

    def mention(self, slot: str, value: object) -> None:
        """Decide beforehand what a numbered slot such as `person1` stands for."""
        self._mentioned[slot] = value

    def _fill(self, slot: re.Match[str]) -> str:
        name, number, attributes = slot[1], slot[2], slot[3].split(".")[1:]
        text = str(reduce(getattr, map(str.lower, attributes), self._value(name.lower(), number)))
        if "{" in text or "<" in text:
            text = self.write(text)
        last = attributes[-1] if attributes else name
        if last.isupper():
            return text.upper()
        return text[0].upper() + text[1:] if last[0].isupper() else text

    def _value(self, name: str, number: str) -> object:
        if not number:
            return self._draw(name)
        slot = name + number
        if slot not in self._mentioned:
            self._mentioned[slot] = self._draw_unmentioned(name)
        return self._mentioned[slot]

    def _draw_unmentioned(self, name: str) -> object:
        while (value := self._draw(name)) in self._mentioned.values():
            pass
        return value

    def _draw(self, name: str) -> object:
        """Draw templates and the world's rows evenly, words by falling frequency or once more."""
        members = self._classes[name]
        if not isinstance(members[0], str) or "{" in members[0]:
            return self.rng.choice(members)
        used = self._used.setdefault(name, [])
        if not used or self.rng.random() > _REPETITION:
            draw = self.rng.random()
            used.append(members[int(len(members) * draw * draw)])
            return used[-1]
        return self.rng.choice(used)
