"""The kinds of columns that the tables are made of; each documents itself (`comment=`)."""

from typing import Any

from sqlalchemy import Boolean, Column, Double, ForeignKey, Integer, SmallInteger, String


def identity(name: str, comment: str) -> Column[int]:
    """Return an integer primary key of its own."""
    return Column(name, Integer, primary_key=True, comment=comment)


def key(name: str, target: str, comment: str) -> Column[int]:
    """Return a part of the primary key that refers to another table."""
    return Column(name, ForeignKey(target), primary_key=True, comment=comment)


def code(name: str, target: str, comment: str) -> Column[int]:
    """Return a part of the primary key that stands for a word."""
    return Column(name, SmallInteger, ForeignKey(target), primary_key=True, comment=comment)


def reference(name: str, target: str, comment: str, *, nullable: bool = False) -> Column[int]:
    """Return a reference to another table."""
    return Column(name, ForeignKey(target), nullable=nullable, comment=comment)


def real(name: str, comment: str, *, nullable: bool = True) -> Column[float]:
    """Return a real number."""
    return Column(name, Double, nullable=nullable, comment=comment)


def integer(name: str, comment: str, *, nullable: bool = False) -> Column[int]:
    """Return an integer."""
    return Column(name, Integer, nullable=nullable, comment=comment)


def word(name: str, comment: str, *, nullable: bool = False, **more: Any) -> Column[str]:
    """Return a short text."""
    return Column(name, String, nullable=nullable, comment=comment, **more)


def flag(name: str, comment: str, *, nullable: bool = True) -> Column[bool]:
    """Return a truth value."""
    return Column(name, Boolean, nullable=nullable, comment=comment)


def moments(quantity: str, of: str) -> list[Column[float]]:
    """Return the four moments of a quantity, as four columns."""
    return [
        real(f"{quantity}_mean", f"mean of {of}"),
        real(f"{quantity}_variance", f"population variance of {of}"),
        real(f"{quantity}_skewness", f"skewness of {of}"),
        real(f"{quantity}_kurtosis", f"Pearson kurtosis of {of} (a Gaussian has 3)"),
    ]
