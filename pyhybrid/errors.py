"""The one wording of every error: who, what, its value, what was expected, the way out."""

from __future__ import annotations

__all__ = ["NotFittedError", "describe"]


class NotFittedError(RuntimeError, AttributeError):
    """A model was asked for something that only a fitted model has.

    Also an AttributeError, so that ``hasattr(model, "item_ids")`` tells whether it is fitted.
    """


def describe(who: str, what: str, value: object, expected: str, way_out: str | None = None) -> str:
    """Word an error the way all of pyhybrid words its errors.

    >>> describe("ESLER", "l2", -3.0, "a positive number")
    'ESLER: l2 is -3.0; expected a positive number'
    >>> describe("read", "column 'user_id'", "missing", "one of: uid, iid", "name it with user=")
    "read: column 'user_id' is missing; expected one of: uid, iid; name it with user="
    """
    message = f"{who}: {what} is {value}; expected {expected}"
    return f"{message}; {way_out}" if way_out else message
