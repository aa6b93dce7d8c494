"""What a visitor chose to see: the part of the address behind the `?`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from neurondb.errors import UsageError
from neurondb.reading.activations import Activations
from neurondb.reading.models import Model
from neurondb.schema import codes


@dataclass(frozen=True)
class Choices:
    """What of a neuron is shown.

    Attributes:
        sign_case: whose examples; None without activations.
        quantity: of the examples' lists.
        basis: of the token lists.
        dataset: name; None where none is stored.
    """

    sign_case: str | None
    quantity: str
    basis: str
    dataset: str | None


def basis_of(query: Mapping[str, str]) -> str:
    """Return the basis asked for.

    Raises:
        UsageError: when there is no such basis.
    """
    return _one(query, "basis", codes.BASES)


def choices(
    query: Mapping[str, str], model: Model, activations: Activations | None, dataset: str | None
) -> Choices:
    """Return what was asked for, and for the rest what a visitor sees first.

    Raises:
        UsageError: when something asked for is not there: says what is.
    """
    basis = basis_of(query)
    quantity = _one(query, "quantity", codes.QUANTITIES if model.gated else UNGATED_QUANTITIES)
    if activations is None:
        return Choices(None, quantity, basis, dataset)
    cases = sign_cases(model)
    first = activations.strongest or cases[0]
    case = _one(query, "case", (first, *(one for one in cases if one != first)))
    if "case" not in query and quantity not in quantities(case):
        case = next(one for one in cases if quantity in quantities(one))
    if quantity not in quantities(case):
        quantity = codes.QUANTITIES[0]  # coming from another case, where there is that list
    return Choices(case, quantity, basis, dataset)


UNGATED_QUANTITIES = ("hook_post", "hook_pre")


def sign_cases(model: Model) -> tuple[str, ...]:
    """Return the sign cases of a model's neurons."""
    of_model = codes.GATED_CASES if model.gated else codes.UNGATED_CASES
    return tuple(codes.SIGN_CASES[code] for code in of_model)


def quantities(sign_case: str) -> tuple[str, ...]:
    """Return the quantities that a case has a list of (METHODS §5)."""
    if not sign_case.startswith("gate"):
        return UNGATED_QUANTITIES
    return codes.QUANTITIES if sign_case.startswith("gate-") else codes.QUANTITIES[:3]


def _one(query: Mapping[str, str], name: str, known: Sequence[str]) -> str:
    chosen = query.get(name) or known[0]
    if chosen not in known:
        raise UsageError(f"no {name} {chosen[:80]!r}; there is: {', '.join(known)}")
    return chosen
