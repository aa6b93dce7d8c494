"""A model's `config.json`, read one value at a time with the type each must have."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from neurondb.errors import CheckpointError


@dataclass(frozen=True)
class Settings:
    """The values of a `config.json`; a `null` counts as absent.

    Attributes:
        values: The parsed object.
        source: What an error message calls it, usually the file's path.
    """

    values: Mapping[str, object]
    source: str

    def integer(self, *keys: str, default: int | None = None) -> int:
        """Return the positive integer under the first of `keys` that is there, else `default`.

        Raises:
            CheckpointError: None is there and there is no default, or the value is no such number.
        """
        value = self._first(keys, default)
        if isinstance(value, bool) or not isinstance(value, int) or value <= 0:
            raise self._wrong(keys[0], value, "a positive integer")
        return value

    def integer_or_none(self, *keys: str) -> int | None:
        """Return the positive integer under the first of `keys` that is there, else None."""
        return self.integer(*keys) if any(self.has(key) for key in keys) else None

    def number(self, key: str, default: float | None = None) -> float:
        """Return the number under `key`, else `default`; CheckpointError as in `integer`."""
        value = self._first((key,), default)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self._wrong(key, value, "a number")
        return float(value)

    def text(self, key: str, default: str | None = None) -> str:
        """Return the text under `key`, else `default`; CheckpointError as in `integer`."""
        value = self._first((key,), default)
        if not isinstance(value, str):
            raise self._wrong(key, value, "a text")
        return value

    def flag(self, key: str, *, default: bool) -> bool:
        """Return the truth value under `key`, else `default`; CheckpointError as in `integer`."""
        value = self._first((key,), default)
        if not isinstance(value, bool):
            raise self._wrong(key, value, "true or false")
        return value

    def section(self, key: str) -> Settings:
        """Return the object nested under `key`; CheckpointError as in `integer`."""
        value = self._first((key,), None)
        if not isinstance(value, dict):
            raise self._wrong(key, value, "an object")
        return Settings(value, f"{self.source}: {key}")

    def has(self, key: str) -> bool:
        """Tell whether `key` is there and not null."""
        return self.values.get(key) is not None

    def _first(self, keys: tuple[str, ...], default: object) -> object:
        for key in keys:
            if self.has(key):
                return self.values[key]
        if default is None:
            names = " or ".join(f"'{key}'" for key in keys)
            raise CheckpointError(f"{self.source} lacks {names}: is the download complete?")
        return default

    def _wrong(self, key: str, value: object, expected: str) -> CheckpointError:
        return CheckpointError(f"{self.source}: '{key}' is {value!r}, but must be {expected}")
