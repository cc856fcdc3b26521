"""Signs that a table does not say what its owner thinks: warnings, and ids held against X.

The rules are written out below, since a warning that comes without need is soon not read.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from skattrec.data.ids import shown
from skattrec.data.interactions import ItemLists, Vocabulary
from skattrec.data.notices import warn

if TYPE_CHECKING:
    from skattrec.data.attributes import AttributeTable

_SEPARATORS = "|;,"
# cells with the separator: at least so many, and this share of all
_MIN_CELLS = 5
_MIN_SHARE = 0.1
# parts that several distinct cells hold: at least this share of all parts
_MIN_REPEATED = 0.1
# repeated parts that stand at different places in different cells, for commas
_MIN_MOBILE = 1 / 3
# a month has so many days
_MAX_INTEGERS = 31
_MIN_IDS = 20
_NEARLY_ALL = 0.9


def warn_of_signs(
    values: Mapping[str, NDArray[Any]],
    lists: Mapping[str, ItemLists],
    name: str,
    *,
    scalar: Collection[str],
    whole: Collection[str],
    flags: Collection[str],
) -> None:
    """Warn once for each kind of field that looks misread.

    Parameters
    ----------
    values : mapping of str to ndarray
        Distinct values by field.
    lists : mapping of str to ItemLists
        The codes of each id's values by field.
    name : str
        What messages call the table.
    scalar : collection of str
        Fields whose cells hold one value each, as they came.
    whole : collection of str
        Fields whose cells are declared to be whole, or were split.
    flags : collection of str
        Fields in which a 0 was taken for no value.
    """
    separated = {
        field: mark
        for field in values
        if field in scalar and field not in whole
        if (mark := separator_of(values[field], lists[field])) is not None
    }
    numbers = [
        field
        for field in values
        if field in scalar and field not in flags and _is_number(values[field])
    ]
    alone = [
        field
        for field in values
        if field not in separated and field not in numbers and _is_alone(lists[field])
    ]
    if separated:
        field, mark = next(iter(separated.items()))
        cell = min((value for value in values[field] if mark in value), key=len)
        warn(
            f"{name} has cells such as {cell!r} in {_fields(separated)}, each of which is a "
            f"value of its own. Split them: AttributeTable(..., separators={separated!r}); a "
            "separator of None keeps cells whole and ends this warning"
        )
    if flags:
        warn(
            f"{name} has 0 and 1 in {_fields(flags)}: a 0 is read as no value. Make one-hot "
            "columns one field with several values: AttributeTable(..., one_hot={'genre': "
            f"{list(flags)[:2]}}}). Where a 0 says something, give words in the place of 0 and 1"
        )
    if numbers:
        n = max(len(values[field]) for field in numbers)
        warn(
            f"{name} has up to {n} different integers in {_fields(numbers)}, each a category "
            "that has nothing to do with the next number. Cut numbers: AttributeTable(..., "
            f"bins={{{numbers[0]!r}: 5}}); give codes as strings, astype(str)"
        )
    if alone:
        warn(
            f"{name} has (nearly) as many values as ids in {_fields(alone)}: no two ids share "
            "any, so that there is nothing to learn from. Leave titles and the like out"
        )


def _fields(fields: Iterable[str]) -> str:
    """Return "the field 'a'", or "the fields 'a', 'b' and 3 more"."""
    names = [repr(field) for field in fields]
    more = f" and {len(names) - 4} more" if len(names) > 4 else ""
    return f"the field{'s' if len(names) > 1 else ''} {', '.join(names[:4])}{more}"


def separator_of(values: NDArray[Any], lists: ItemLists) -> str | None:
    """Return what seems to separate several values in the cells of a field, if anything.

    At least 5 cells and a tenth of them have the separator, and at least a tenth of the parts
    are parts of several distinct cells. Commas stand in titles and names, too ("Matrix, The",
    "Mann, Michael"): there a third of these parts must stand at different places in different
    cells, as genres do and surnames do not.
    """
    if not len(values) or not all(isinstance(value, str) for value in values):
        return None
    n_cells = np.bincount(lists.items, minlength=len(values))
    cells = pd.Series(values, dtype=object)
    for mark in _SEPARATORS:
        n_marked = n_cells[cells.str.contains(mark, regex=False).to_numpy(dtype=bool)].sum()
        if n_marked < max(_MIN_CELLS, _MIN_SHARE * n_cells.sum()):
            continue
        parts = cells.str.split(mark, regex=False).explode().str.strip()
        parts = parts[(parts != "").to_numpy(dtype=bool)]
        places = pd.DataFrame({"cell": parts.index, "place": parts.groupby(level=0).cumcount()})
        distinct = places.groupby(parts.to_numpy(), sort=False).nunique()
        repeated = distinct[distinct["cell"] > 1]
        if len(repeated) < max(1, _MIN_REPEATED * len(distinct)):
            continue
        if mark != "," or (repeated["place"] > 1).mean() >= _MIN_MOBILE:
            return mark
    return None


def _is_number(values: NDArray[Any]) -> bool:
    """Whether there are more integers than a month has days: years or ages, hardly categories."""
    return values.dtype.kind in "iu" and len(values) > _MAX_INTEGERS


def _is_alone(lists: ItemLists) -> bool:
    """Whether nearly all ids have values, and none that another id has."""
    has_values = np.count_nonzero(lists.lengths)
    if has_values < max(_MIN_IDS, len(lists) / 2):
        return False
    n_ids = np.bincount(lists.items)
    sharing = np.unique(lists.owners[n_ids[lists.items] > 1])
    return bool(len(sharing) <= (1 - _NEARLY_ALL) * has_values)


# --- ids against X -----------------------------------------------------------------------------


def check_ids(
    table: AttributeTable, name: str, ids: NDArray[Any], others: NDArray[Any], *, takes_other: bool
) -> None:
    """Raise ValueError unless a table describes the ids of X that it was given for.

    Parameters
    ----------
    table : AttributeTable
    name : {"item_attributes", "user_attributes"}
        The parameter that it was given as.
    ids : ndarray of shape (n_ids,)
        The ids of X on this side.
    others : ndarray of shape (n_others,)
        Those on the other side.
    takes_other : bool
        Whether the estimator has a parameter for attributes of the other side.

    Raises
    ------
    ValueError
        The ids of X stand in a column of the table, whose own ids are a frame's unnamed index;
        the table describes none of the ids; it fits the other side clearly better.
    """
    role, other = ("item", "user") if name == "item_attributes" else ("user", "item")
    known, covered = _fit(table.ids, ids)
    if table._origin.unnamed_index:
        column = _id_column(table, ids, covered)
        if column is not None:
            raise ValueError(
                f"{name} takes its ids from the unnamed index of the frame, "
                f"{shown(table.ids[0])} and so on, but the ids of the {role}s in X stand in its "
                f"column {column!r}; give the frame with set_index({column!r}), or name the index "
                f"if it is right, rename_axis({role!r})"
            )
    other_known, other_covered = _fit(table.ids, others)
    way_out = f"; give it as {other}_attributes"
    if not takes_other:
        way_out = f"; this estimator takes no attributes of {other}s"
    if not covered:
        raise ValueError(
            f"{name} describes none of the {role}s in X: it has ids such as "
            f"{shown(table.ids[0])}, X has ids such as {shown(ids[0])}"
            + (f". Its ids are {other}s of X{way_out}" if other_covered >= 0.5 else "")
        )
    # Integers from 1 on are ids of both sides: only a table that is nearly the other side's
    # list of ids, and clearly not this side's, was given for the wrong one. The catalogue of
    # cold items may be long, but then it hardly has as many rows as there are users.
    fits_other = other_known >= 0.8 and other_covered >= 0.95
    if table._origin.role != role and fits_other and min(known, covered) <= 0.75:
        raise ValueError(
            f"{name} seems to describe {other}s: {other_known:.0%} of its {len(table.ids)} ids "
            f"are {other}s of X and {known:.0%} are {role}s, and it has {other_covered:.0%} of "
            f"the {other}s and {covered:.0%} of the {role}s{way_out}. If it does describe "
            f"{role}s, name its ids so: a column, or the index by rename_axis({role!r})"
        )


def _fit(ids: NDArray[Any], others: NDArray[Any]) -> tuple[float, float]:
    """Return the share of ids that are among the others, and the share of those among these."""
    common = np.count_nonzero(Vocabulary(others).encode(ids) >= 0)
    return common / len(ids), common / len(others)


def _id_column(table: AttributeTable, ids: NDArray[Any], covered: float) -> str | None:
    """Return the field that holds ids of X, in place of the index, if there is one.

    It holds more of them than the index, or as many where the index may be row numbers. Its
    values are all different, or there are at least 20: a few small integers are ids of any X
    that counts from 0.
    """
    encoded = table.encode(table.ids)
    may_count_rows = table.ids.dtype.kind in "iu"
    for field, values, codes in zip(table.fields, encoded.values, encoded.indices, strict=True):
        kinds = set(map(type, values.tolist()))
        if not kinds <= {str, int} or len(values) < min(len(table.ids), _MIN_IDS):
            continue
        _, share = _fit(values, ids)
        if share > covered or (may_count_rows and share == covered > 0):
            if len(codes) == len(table.ids) and values[codes].tolist() == table.ids.tolist():
                continue  # the index once more
            return field
    return None
