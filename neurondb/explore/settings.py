"""Datasette's settings, as `serve --setting NAME=VALUE` spells them."""

from collections.abc import Iterable
from typing import Any, Final

from neurondb.asking.spelling import did_you_mean, shown
from neurondb.errors import UsageError

_TRUTHS: Final = {"on": True, "true": True, "1": True, "off": False, "false": False, "0": False}


def read_settings(given: Iterable[str]) -> dict[str, Any]:
    """Return settings by name, each value of the type that Datasette gives it.

    Raises:
        UsageError: when there is no such setting, or it cannot have that value.
    """
    return dict(_setting(item) for item in given)


def _setting(item: str) -> tuple[str, Any]:
    from datasette.app import DEFAULT_SETTINGS

    name, equals, value = item.partition("=")
    if not equals:
        raise UsageError(f"--setting {shown(item)} is not NAME=VALUE")
    if name not in DEFAULT_SETTINGS:
        raise UsageError(f"no setting {shown(name)}{did_you_mean(name, DEFAULT_SETTINGS)}")
    return name, _read(name, value, DEFAULT_SETTINGS[name])


def _read(name: str, value: str, default: Any) -> Any:
    if isinstance(default, bool):
        if value.lower() not in _TRUTHS:
            raise UsageError(f"setting {name} is {shown(value)}; it is on or off")
        return _TRUTHS[value.lower()]
    if isinstance(default, int):
        if not (value.isascii() and value.isdigit()):
            raise UsageError(f"setting {name} is {shown(value)}; it is a whole number from 0")
        return int(value)
    return value
