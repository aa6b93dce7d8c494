"""What a visitor chose to see, read from the part of the address behind the `?`."""

from collections.abc import Mapping
from dataclasses import dataclass

from neurondb.explore.parameters import read_choice
from neurondb.reading.activations import Activations
from neurondb.reading.models import Model
from neurondb.schema import codes

UNGATED_QUANTITIES = ("hook_post", "hook_pre")


@dataclass(frozen=True)
class Choices:
    """What of a neuron is shown.

    Attributes:
        sign_case: the sign case whose examples are shown; None without activations.
        quantity: the quantity by which the examples were chosen.
        basis: the basis of the token lists.
        dataset: name of the dataset; None where none is stored.
    """

    sign_case: str | None
    quantity: str
    basis: str
    dataset: str | None


def read_basis(query: Mapping[str, str]) -> str:
    """Return the basis asked for.

    Raises:
        UsageError: when there is no such basis.
    """
    return read_choice("basis", query.get("basis"), codes.BASES)


def read_choices(
    query: Mapping[str, str], model: Model, activations: Activations | None, dataset: str | None
) -> Choices:
    """Return what the address asks for, and the defaults for what it does not mention.

    Raises:
        UsageError: when something asked for is not there; the message says what is.
    """
    basis = read_basis(query)
    of_model = codes.QUANTITIES if model.gated else UNGATED_QUANTITIES
    quantity = read_choice("quantity", query.get("quantity"), of_model)
    if activations is None:
        return Choices(None, quantity, basis, dataset)
    cases = list_sign_cases(model)
    first = activations.strongest or cases[0]
    case = read_choice(
        "case", query.get("case"), (first, *(name for name in cases if name != first))
    )
    if "case" not in query and quantity not in list_quantities(case):
        case = next(name for name in cases if quantity in list_quantities(name))
    if quantity not in list_quantities(case):
        quantity = codes.QUANTITIES[0]  # coming from another case, where there is that list
    return Choices(case, quantity, basis, dataset)


def list_sign_cases(model: Model) -> tuple[str, ...]:
    """Return the sign cases of a model's neurons."""
    of_model = codes.GATED_CASES if model.gated else codes.UNGATED_CASES
    return tuple(codes.SIGN_CASES[code] for code in of_model)


def list_quantities(sign_case: str) -> tuple[str, ...]:
    """Return the quantities that a case has a list of (METHODS §5)."""
    if not sign_case.startswith("gate"):
        return UNGATED_QUANTITIES
    return codes.QUANTITIES if sign_case.startswith("gate-") else codes.QUANTITIES[:3]
