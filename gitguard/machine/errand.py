"""Errands: what the Git account alone may look at or change, whichever account asks for it.

Where another account keeps the store (`[agent] account`) it cannot open the Git account's repositories, hooks
and key file, nor see the environment of its processes. A function marked `@errand` runs in that account's
helper there (agent/helper.py), and here everywhere else. MUST: its arguments and what it returns are plain
values that its annotations describe, since they cross from one account to the other; what comes back is the
Git account's word, so it is believed about that account's own files and processes alone. Plain dialect: gate
and hook load this file.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, ParamSpec, TypeVar

    P = ParamSpec("P")
    R = TypeVar("R")
    Carrier = Callable[[str, tuple[Any, ...], dict[str, Any]], Any]

ERRANDS: "dict[str, Callable[..., Any]]" = {}  # by module and name
_carriers: "list[Carrier]" = []


def errand(function: "Callable[P, R]") -> "Callable[P, R]":
    """`function`, as the Git account: there by way of the carrier, where there is one; else right here."""
    name = f"{function.__module__}.{function.__qualname__}"
    ERRANDS[name] = function

    def run(*values: "P.args", **named: "P.kwargs") -> "R":
        if not _carriers:
            return function(*values, **named)
        return _carriers[-1](name, values, named)  # type: ignore[no-any-return]

    run.__doc__, run.__name__, run.__module__ = function.__doc__, function.__name__, function.__module__
    run.__wrapped__ = function  # type: ignore[attr-defined]
    return run


def carry_by(carrier: "Carrier | None") -> None:
    """From now on errands of this process are done by `carrier`; None: by itself, as the Git account is."""
    _carriers[:] = [carrier] if carrier is not None else []


def carrier() -> "Carrier | None":
    """Who does errands for this process, None for itself."""
    return _carriers[-1] if _carriers else None


def is_carried() -> bool:
    """Whether somebody does errands for this process."""
    return bool(_carriers)
