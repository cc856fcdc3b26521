"""Which items are alike: nearest neighbours by a model's own vectors or similarities."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from skattrec.candidates import as_rows, frame_kind
from skattrec.checks import check_choice, check_count
from skattrec.data.id_lists import read_id_list
from skattrec.data.ids import shown
from skattrec.data.interactions import Codes
from skattrec.queries import check_kind
from skattrec.questions import Questions
from skattrec.topk import row_blocks, top_k

# a row of similarities, its masked copy, and the negated copy that finding the best takes
_BYTES_PER_SIMILARITY = 24


def _tells_items_apart(model: Any) -> bool:
    """Whether a class says what its items are; raise AttributeError, with the reason, if not."""
    own, base = type(model), SimilarItems
    if (
        own._embed_items is not base._embed_items
        or own._similarities_of is not base._similarities_of
    ):
        return True
    raise AttributeError(
        f"{own.__name__} has no similar_items: the model has neither vectors of items nor "
        "similarities between them"
    )


class SimilarItems(Questions):
    """A recommender that knows which items are alike.

    A subclass implements one of

    - ``_embed_items(codes)``: vectors of items, which are compared by their cosine;
    - ``_similarities_of(codes)``: how similar each of these items is to each item of `fit`.

    A class with neither has no method `similar_items`.
    """

    # whose frame `fit` was given, such as "pandas"; None: an array or a list
    _frame_kind: str | None

    def _embed_items(self, codes: Codes) -> NDArray[Any]:
        """Return vectors of shape (n_items_asked, dim)."""
        raise NotImplementedError

    def _similarities_of(self, codes: Codes) -> NDArray[Any]:
        """Return similarities of shape (n_items_asked, n_items), in the order of item_ids_."""
        raise NotImplementedError

    def _with_items(self, item_attributes: Any) -> Self:
        raise NotImplementedError

    @available_if(_tells_items_apart)
    def similar_items(
        self,
        items: ArrayLike,
        *,
        n: int = 10,
        item_attributes: Any = None,
        output: str = "arrays",
    ) -> Any:
        """Find the items of `fit` that are most similar to each of these.

        What similar means is the model's own. Models of item-to-item similarities (ItemKNN,
        TransitionKNN, RP3beta, EASE, SLIM) tell for which items the given one votes most: what
        they recommend to a user who liked nothing else. So does REDA, by its relations. ERAN
        compares items by its squared distance, with a minus. All others compare by the cosine of
        their vectors of items; the user guide says which these are.

        Parameters
        ----------
        items : array-like of shape (n_items_asked,)
            Item ids; items that only attributes know where the model represents items by them.
        n : int, default=10
            Neighbours per item.
        item_attributes : AttributeTable, frame or dict, default=None
            Attributes of further items, which `items` may then name, see `recommend`.
        output : {"arrays", "frame"}, default="arrays"
            Two arrays, or one frame with a row for each neighbour.

        Returns
        -------
        ids : ndarray of shape (n_items_asked, n)
            Items of `fit`, most similar first, without the item itself. Of equal similarities
            the one that stands first in ``item_ids_``.
        similarities : ndarray of shape (n_items_asked, n)
            A cosine, or the similarity of the model. 0 between items of which the model does not
            know anything in common.

        With ``output="frame"`` instead

        neighbours : frame with the columns item, rank, similar_item, similarity
            Ranks begin at 1. The frame is a pandas, polars or pyarrow one as that of `fit` was.

        Raises
        ------
        ValueError
            An item that neither fit nor attributes know, whatever ``unknown_item``: an average
            item has no neighbours. `n` is larger than the number of other items.
        AttributeError
            The model has neither vectors of items nor similarities: Popularity, Random,
            BiasRating, FromRegressor and FromClassifier do not have this method.

        Examples
        --------
        >>> from skattrec import ItemKNN
        >>> log = [[u, i] for u, seen in {"ann": "abc", "bob": "abd", "cid": "xa"}.items()
        ...        for i in seen]
        >>> ids, similarities = ItemKNN().fit(log).similar_items(["b"], n=2)
        >>> print(ids, similarities.round(2))
        [['a' 'c']] [[0.82 0.71]]
        """
        check_is_fitted(self)
        check_count(n, "n")
        check_choice(output, "output", ("arrays", "frame"))
        if item_attributes is not None:
            return self._with_items(item_attributes).similar_items(items, n=n, output=output)
        ids = read_id_list(items, name="items", role="item")
        codes = self._codes_to_compare(ids)
        n_items = len(self._items)
        left = n_items - (codes < n_items)
        if (left < n).any():
            row = int(np.argmin(left))
            raise ValueError(
                f"n={n}, but fit saw only {left[row]} item(s) other than {shown(ids[row])}; ask "
                "for fewer"
            )
        columns, similarities = self._nearest(codes, n)
        if output == "frame":
            kind = frame_kind(items) or self._frame_kind or "pandas"
            found = ("similar_item", self.item_ids_)
            return as_rows(kind, ("item", ids), found, columns, similarities, value="similarity")
        return self.item_ids_[columns], similarities

    def _codes_to_compare(self, ids: NDArray[Any]) -> Codes:
        """Return item codes; raise ValueError if an item is unknown."""
        codes = self._known_items(ids)
        unknown = codes < 0
        if unknown.any():
            check_kind(ids[unknown], self.item_ids_, "item ids in items", "in fit")
            row = int(np.flatnonzero(unknown)[0])
            raise ValueError(
                f"item {shown(ids[row])} (row {row} of items; {int(unknown.sum())} such row(s)) "
                "was not seen in fit: nothing is known that others could be similar to; leave it "
                "out, or give its attributes in item_attributes= if the model uses them"
            )
        return codes

    def _nearest(self, codes: Codes, n: int) -> tuple[Codes, NDArray[Any]]:
        """Return codes and similarities of the nearest items of `fit`, both (n_asked, n)."""
        n_items = len(self._items)
        similarities_of: Callable[[Codes], NDArray[Any]] = self._similarities_of
        if type(self)._embed_items is not SimilarItems._embed_items:
            similarities_of = self._cosines()
        columns, values = [np.empty((0, n), dtype=np.int64)], [np.empty((0, n))]
        for block in row_blocks(len(codes), _BYTES_PER_SIMILARITY * n_items):
            table = np.array(similarities_of(codes[block]))
            own = np.flatnonzero(codes[block] < n_items)
            table[own, codes[block][own]] = -np.inf
            best, found = top_k(table, n)
            columns.append(best)
            values.append(found)
        return np.concatenate(columns), np.concatenate(values)

    def _cosines(self) -> Callable[[Codes], NDArray[Any]]:
        """Return a function from codes to their cosines with all items of `fit`."""
        catalogue = self._embed_items(np.arange(len(self._items)))
        lengths = _lengths(catalogue)

        def cosines(codes: Codes) -> NDArray[Any]:
            vectors = self._embed_items(codes)
            unit = vectors / _lengths(vectors)[:, None]
            return np.clip(unit @ catalogue.T / lengths, -1, 1)

        return cosines


def _lengths(vectors: NDArray[Any]) -> NDArray[Any]:
    """Return the lengths of vectors, 1 of a zero one: its cosines are 0."""
    lengths = np.linalg.norm(vectors, axis=1)
    return np.where(lengths > 0, lengths, 1)
