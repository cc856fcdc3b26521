"""Metrics beyond accuracy: what is recommended, whether or not it was found by anyone.

They are functions of lists, not of where the positives stand. Inside, a list holds the
catalogue's codes, one row a user, filled up with -1 where a user has fewer candidates.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from skattrec.checks import check_switch
from skattrec.data.attributes import AttributeTable, EncodedAttributes
from skattrec.data.columns import read_columns, read_id_column
from skattrec.data.id_lists import read_id_list
from skattrec.data.ids import shown
from skattrec.data.interactions import Vocabulary
from skattrec.metrics._profile import Floats, Ints

LIST_METRICS = ("coverage", "gini", "novelty", "diversity")
# one value for each list; the others are of all lists together
_PER_USER = ("novelty", "diversity")


def catalogue_coverage(recommended: ArrayLike, catalogue: ArrayLike) -> float:
    r"""Share of the catalogue that is recommended to anybody.

    .. math:: \mathrm{Coverage@}k = \Big| \bigcup_u L_u \Big| \Big/ |I|

    for the lists :math:`L_u` of k items and the catalogue I.

    Parameters
    ----------
    recommended : array-like of shape (n_users, k)
        Item ids, as ``recommend`` returns them.
    catalogue : array-like of shape (n_items,)
        The ids of all items that could have been recommended, such as ``item_ids_``.

    Returns
    -------
    coverage : float
        From 0 to 1. It grows with the number of users: compare on the same users only.

    Raises
    ------
    ValueError
        A recommended item is not in the catalogue.

    References
    ----------
    .. [1] M. Ge, C. Delgado-Battenfeld and D. Jannach, "Beyond accuracy: evaluating recommender
       systems by coverage and serendipity", RecSys 2010. https://doi.org/10.1145/1864708.1864761

    Examples
    --------
    >>> from skattrec.metrics import catalogue_coverage
    >>> catalogue_coverage([["a", "b"], ["b", "a"]], ["a", "b", "c", "d"])
    0.5
    """
    lists, items = _encode(recommended, catalogue, "catalogue")
    return _coverage(lists, len(items))


def exposure_gini(recommended: ArrayLike, catalogue: ArrayLike) -> float:
    r"""Gini index of how often each item is recommended: the popularity bias of the lists.

    .. math:: \mathrm{Gini@}k = \frac{\sum_{j=1}^{n} (2 j - n - 1) \, c_j}{n \sum_j c_j}

    where :math:`c_1 \le \dots \le c_n` are the numbers of lists in which the n items of the
    catalogue are, those in no list included.

    Parameters
    ----------
    recommended : array-like of shape (n_users, k)
        Item ids, as ``recommend`` returns them.
    catalogue : array-like of shape (n_items,)
        The ids of all items that could have been recommended, such as ``item_ids_``.

    Returns
    -------
    gini : float
        0 where all items are recommended equally often, ``1 - k / n_items`` where everybody gets
        the same k items.

    Raises
    ------
    ValueError
        A recommended item is not in the catalogue.

    Examples
    --------
    >>> from skattrec.metrics import exposure_gini
    >>> exposure_gini([["a"], ["b"]], ["a", "b"]), exposure_gini([["a"], ["a"]], ["a", "b"])
    (0.0, 0.5)
    """
    lists, items = _encode(recommended, catalogue, "catalogue")
    return _gini(lists, len(items))


def novelty(recommended: ArrayLike, interactions: Any, *, average: bool = True) -> float | Floats:
    r"""How little known what is recommended is, in bits.

    .. math:: \mathrm{Novelty@}k = \frac{1}{|L_u|} \sum_{i \in L_u} -\log_2 \frac{n_i}{n}

    where :math:`n_i` of the n users in the log met item i: its mean self-information [1]_.

    Parameters
    ----------
    recommended : array-like of shape (n_users, k)
        Item ids, as ``recommend`` returns them.
    interactions : frame or array-like of shape (n_rows, at least 2)
        The log that says how well items are known: the training rows.
    average : bool, default=True
        Whether to return the mean over users instead of a value for each.

    Returns
    -------
    novelty : float or ndarray of shape (n_users,)
        0 for items that every user met, 1 for items that half of them did.

    Raises
    ------
    ValueError
        A recommended item has no interaction.

    References
    ----------
    .. [1] T. Zhou et al., "Solving the apparent diversity-accuracy dilemma of recommender
       systems", PNAS 107(10), 2010. https://doi.org/10.1073/pnas.1000488107

    Examples
    --------
    >>> from skattrec.metrics import novelty
    >>> log = [["u", "a"], ["v", "a"], ["w", "a"], ["x", "a"], ["u", "b"], ["v", "c"], ["w", "c"]]
    >>> novelty([["b", "c"], ["a", "c"]], log, average=False)
    array([1.5, 0.5])
    """
    check_switch(average, "average")
    columns = read_columns(interactions, name="interactions")
    catalogue, _ = Vocabulary.from_values(columns.items)
    lists, _ = _encode(recommended, catalogue.ids, "interactions")
    values = _novelty(lists, self_information(*item_popularity(columns, catalogue)), catalogue)
    return float(values.mean()) if average else values


def intra_list_diversity(
    recommended: ArrayLike, item_attributes: Any, *, average: bool = True
) -> float | Floats:
    r"""How different the attributes of items in one list are.

    .. math:: \mathrm{Diversity@}k = \frac{1}{|P_u|} \sum_{(i, j) \in P_u}
              1 - \frac{|A_i \cap A_j|}{|A_i \cup A_j|}

    the mean Jaccard distance [1]_ over the pairs of items in a list, where :math:`A_i` is the set
    of an item's attributes, (field, value) pairs. Pairs with an item without any attribute are
    left out: what is not known is neither alike nor different.

    Parameters
    ----------
    recommended : array-like of shape (n_users, k)
        Item ids, as ``recommend`` returns them.
    item_attributes : AttributeTable, frame or dict
        What the items are. Select the fields that should count, as in ``table[["genre"]]``.
    average : bool, default=True
        Whether to return the mean over users instead of a value for each.

    Returns
    -------
    diversity : float or ndarray of shape (n_users,)
        From 0, all alike, to 1, nothing in common; NaN for a list without two described items,
        which is left out of the mean.

    Raises
    ------
    ValueError
        No list has two described items.

    References
    ----------
    .. [1] C.-N. Ziegler, S. McNee, J. Konstan and G. Lausen, "Improving recommendation lists
       through topic diversification", WWW 2005, which sums similarities over the pairs.
       https://doi.org/10.1145/1060745.1060754

    Examples
    --------
    >>> import pandas as pd
    >>> from skattrec.metrics import intra_list_diversity
    >>> films = pd.DataFrame(
    ...     {"genre": ["crime", "crime", "war"], "country": ["US", "UK", "FR"]}, index=[1, 2, 3]
    ... )
    >>> intra_list_diversity([[1, 2], [1, 3]], films, average=False)
    array([0.66666667, 1.        ])
    """
    table = AttributeTable.read(item_attributes, "item_attributes")
    check_switch(average, "average")
    ids = _read_lists(recommended)
    items = read_id_column(ids.ravel(), name="recommended", role="item")
    catalogue, codes = Vocabulary.from_values(items)
    lists = codes.reshape(ids.shape)
    values = _diversity(lists, attribute_matrix(table.encode(catalogue.ids)))
    if np.isnan(values).all():
        raise ValueError(
            "no list has two items that item_attributes describes: it has ids such as "
            f"{shown(table.ids[0])}, recommended are such as {shown(catalogue.ids[0])}"
        )
    return float(np.nanmean(values)) if average else values


def _encode(recommended: ArrayLike, catalogue: ArrayLike, name: str) -> tuple[Ints, Vocabulary]:
    ids = _read_lists(recommended)
    items, _ = Vocabulary.from_values(read_id_list(catalogue, name=name, role="item"))
    codes = items.encode(ids.ravel())
    if (codes < 0).any():
        raise ValueError(f"{name} lacks the recommended item {shown(ids.ravel()[codes < 0][0])}")
    return codes.reshape(ids.shape), items


def _read_lists(recommended: Any) -> NDArray[Any]:
    """Return lists of item ids as an array of shape (n_users, k), neither of them 0."""
    try:
        ids = np.asarray(recommended)
    except ValueError as error:
        raise ValueError(
            f"recommended must hold lists of equal length, one for each user: {error}"
        ) from error
    if ids.ndim != 2 or not ids.size:
        raise ValueError(f"recommended must have shape (n_users, k), got {ids.shape}")
    return ids


@dataclass(frozen=True)
class ListMetric:
    """A metric of the lists of the k best candidates, known by its name."""

    name: str
    k: int

    def __post_init__(self) -> None:
        if self.k < 1:
            raise ValueError(f"k must be an integer of 1 or more, got {self.k!r} for {self.name}")

    def __str__(self) -> str:
        return f"{self.name}@{self.k}"

    @property
    def per_user(self) -> bool:
        """Whether each list has a value, or only all of them together."""
        return self.name in _PER_USER

    def __call__(self, lists: RecommendedLists) -> Any:
        """Return the value of each user, or the one value of all lists."""
        compute: dict[str, Callable[[], Any]] = {
            "coverage": lambda: _coverage(lists.items[self.k], len(lists.catalogue)),
            "gini": lambda: _gini(lists.items[self.k], len(lists.catalogue)),
            "novelty": lambda: _novelty(
                lists.items[self.k], lists.self_information, lists.catalogue
            ),
            "diversity": lambda: _diversity(lists.items[self.k], lists.attributes),
        }
        return compute[self.name]()


@dataclass(frozen=True, eq=False)
class RecommendedLists:
    """The best candidates of each user, by list length, and what is known of the catalogue."""

    items: dict[int, Ints]  # k: (n_users, k)
    catalogue: Vocabulary
    self_information: Floats | None = None  # (n_items,)
    attributes: sparse.csr_array | None = None  # (n_items, n_values)


def best_candidates(
    scores: NDArray[Any], excluded: NDArray[np.bool_], k: int, rngs: list[np.random.Generator]
) -> Ints:
    """Return the columns of the k best candidates of each row, in no order.

    Which of several candidates with one score complete a list is drawn at random, by the
    row's own generator: the order of the columns says nothing about the items, and would
    make a model that does not decide look like one that recommends the same to everybody.
    """
    k = min(k, scores.shape[1])
    lists = np.full((len(scores), k), -1, dtype=np.int64)
    for row, rng in enumerate(rngs):
        columns = np.flatnonzero(~excluded[row])
        if len(columns) > k:
            values = scores[row, columns]
            least = np.partition(values, len(values) - k)[len(values) - k]
            sure, tied = columns[values > least], columns[values == least]
            columns = np.concatenate([sure, rng.choice(tied, k - len(sure), replace=False)])
        lists[row, : len(columns)] = columns
    return lists


def item_popularity(columns: Any, catalogue: Vocabulary) -> tuple[Ints, int]:
    """Return how many users of the log met each item of the catalogue, and how many there are."""
    users, user_codes = Vocabulary.from_values(columns.users)
    items = catalogue.encode(columns.items)
    pairs = np.unique(user_codes[items >= 0] * len(catalogue) + items[items >= 0])
    return np.bincount(pairs % len(catalogue), minlength=len(catalogue)), len(users)


def self_information(counts: Ints, n_users: int) -> Floats:
    """Return the bits of each item, NaN for an item that nobody met."""
    shares = np.where(counts > 0, counts / n_users, np.nan)
    return -np.log2(shares) + 0.0  # no negative zero


def attribute_matrix(encoded: EncodedAttributes) -> sparse.csr_array:
    """Return which item has which (field, value) pair."""
    rows, fields, values = encoded.triples(np.arange(encoded.n_ids))
    first = np.concatenate([[0], np.cumsum(encoded.n_values)])
    matrix = sparse.csr_array(
        (np.ones(len(rows)), (rows, first[fields] + values)), shape=(encoded.n_ids, first[-1])
    )
    matrix.data[:] = 1  # a value that a cell lists twice counts once
    return matrix


def _coverage(lists: Ints, n_items: int) -> float:
    return len(np.unique(lists[lists >= 0])) / n_items


def _gini(lists: Ints, n_items: int) -> float:
    counts = np.sort(np.bincount(lists[lists >= 0], minlength=n_items))
    weights = 2 * np.arange(1, n_items + 1) - n_items - 1
    return float(weights @ counts / (n_items * counts.sum()))


def _novelty(lists: Ints, information: Floats | None, catalogue: Vocabulary) -> Floats:
    assert information is not None
    filled = lists >= 0
    bits = np.where(filled, information[lists], 0.0)
    if np.isnan(bits).any():
        raise ValueError(
            f"novelty is not defined for item {shown(catalogue.ids[lists[np.isnan(bits)][0]])}, "
            "which the interactions do not mention; give the scorer the log that was fitted"
        )
    return bits.sum(axis=1) / filled.sum(axis=1)


def _diversity(lists: Ints, attributes: sparse.csr_array | None) -> Floats:
    assert attributes is not None
    sizes = np.asarray(attributes.sum(axis=1)).ravel()
    described = (lists >= 0) & (sizes[lists] > 0)
    total, n_pairs = np.zeros(len(lists)), np.zeros(len(lists))
    for a, b in combinations(range(lists.shape[1]), 2):
        both = np.flatnonzero(described[:, a] & described[:, b])
        first, second = lists[both, a], lists[both, b]
        common = np.asarray((attributes[first] * attributes[second]).sum(axis=1)).ravel()
        total[both] += 1 - common / (sizes[first] + sizes[second] - common)
        n_pairs[both] += 1
    return np.divide(total, n_pairs, out=np.full(len(lists), np.nan), where=n_pairs > 0)
