"""Models that are part of another: made by name, and saved with it."""

from __future__ import annotations

import inspect
import json
from typing import TYPE_CHECKING, Any

from pyhybrid.errors import describe
from pyhybrid.models import model_class
from pyhybrid.models.axis import ItemAxis
from pyhybrid.models.feedback_base import LearnsFromRows
from pyhybrid.models.torch_base import TorchRecommender
from pyhybrid.training.devices import has_device

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from pyhybrid.data.catalog import Catalog
    from pyhybrid.data.feedback import Feedback
    from pyhybrid.models.base import Recommender

__all__ = [
    "arrays_of_part",
    "fitted_part",
    "load_part",
    "new_part",
    "part_arrays",
    "part_params",
]

_SHARED = ("seed", "device")  # a part has the whole model's, unless it is given its own


def part_params(
    who: str, what: str, name: object, params: Mapping[str, Any] | None
) -> dict[str, Any]:
    """Check the name and hyper-parameters of a part, and return the latter.

    Raises:
        TypeError: If `params` is no mapping, or not what JSON can hold.
        ValueError: If there is no such model, or the model refuses them.
    """
    if not isinstance(name, str):
        raise TypeError(describe(who, f"{what} model", repr(name), "a model's name"))
    found = {} if params is None else params
    try:
        found = dict(json.loads(json.dumps(dict(found))))
    except (TypeError, ValueError) as error:
        what, expected = f"{what}_params", "a dict of what JSON can hold, by name"
        raise TypeError(describe(who, what, repr(params), expected)) from error
    new_part(name, found)
    return found


def new_part(name: str, params: Mapping[str, Any], whole: Recommender | None = None) -> Recommender:
    """Make an unfitted model, with the seed and the device of the whole one that it is part of."""
    kind = model_class(name)
    kind.check_params(kind.__name__, params)
    known = inspect.signature(kind).parameters
    shared = {n: getattr(whole, n) for n in _SHARED if n in known and hasattr(whole, n)}
    return kind(**{**shared, **params})


def fitted_part(
    whole: Recommender,
    name: str,
    params: Mapping[str, Any],
    rows: Feedback,
    catalog: Catalog | None,
    threads: int,
    **stops: Any,
) -> Recommender:
    """Make a model and fit it, on rows as they are labelled where it can learn from them.

    Args:
        whole: The model that it is part of.
        name: The part's.
        params: Its hyper-parameters; see `new_part`.
        rows: What to learn from, or from what was liked in them.
        catalog: The items.
        threads: 0 for all that this process may use.
        **stops: `validation` and `metric`, for a model that is trained epoch by epoch.
    """
    part: Any = new_part(name, params, whole)
    learned = rows if isinstance(part, LearnsFromRows) else rows.likes
    settings = stops if isinstance(part, TorchRecommender) else {}
    fitted: Recommender = part.fit(learned, catalog, threads=threads, **settings)
    return fitted


def part_arrays(prefix: str, part: Recommender) -> dict[str, NDArray[Any]]:
    """Return what was learned of a fitted part, named after its place, for `save`."""
    own = {**part.axis.arrays(), **part._arrays()}
    return {f"{prefix}.{name}": array for name, array in own.items()}


def load_part(
    whole: Recommender,
    prefix: str,
    name: str,
    params: Mapping[str, Any],
    arrays: Mapping[str, NDArray[Any]],
) -> Recommender:
    """Make a part again from what `part_arrays` returned."""
    part: Any = new_part(name, params, whole)
    if isinstance(part, TorchRecommender) and not has_device(part.device):  # another machine's
        part.device = None
    of_part = arrays_of_part(prefix, arrays)
    part._axis = ItemAxis.of_arrays(of_part, part._least_count)
    part._restore(of_part)
    loaded: Recommender = part
    return loaded


def arrays_of_part(prefix: str, arrays: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Return the arrays that are named after a part, by what they are called there."""
    return _Named(prefix, arrays)


class _Named(dict[str, "NDArray[Any]"]):
    """The arrays of one part; asking for one that is not there fails as it does of the whole."""

    def __init__(self, prefix: str, arrays: Mapping[str, NDArray[Any]]) -> None:
        names = (name for name in arrays if name.startswith(f"{prefix}."))
        super().__init__((name[len(prefix) + 1 :], arrays[name]) for name in names)
        self._prefix, self._arrays = prefix, arrays

    def __missing__(self, name: str) -> NDArray[Any]:
        return self._arrays[f"{self._prefix}.{name}"]
