"""From the ids of a question to codes, and back: users, items, histories, candidates."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from skattrec.candidates import Candidates, CommonCandidates, OwnCandidates
from skattrec.data.attributes import EncodedAttributes
from skattrec.data.columns import read_columns
from skattrec.data.id_lists import is_table, read_id_list
from skattrec.data.ids import shown
from skattrec.data.interactions import Codes, ItemLists, Vocabulary, joined
from skattrec.data.notices import warn
from skattrec.queries import Queries, check_kind, has_rows
from skattrec.topk import row_blocks


class Questions:
    """What `BaseRecommender` knows of the ids that it is asked with.

    It reads what `fit` has set: vocabularies of users and items (``_users``, ``_items``), of those
    that only attributes know (``_cold_users``, ``_cold``), and what each user met and liked
    (``_seen``, ``_liked``).
    """

    _users: Vocabulary
    _items: Vocabulary
    _cold: Vocabulary
    _cold_users: Vocabulary
    _seen: ItemLists
    _liked: ItemLists
    _encoded: EncodedAttributes | None
    user_ids_: NDArray[Any]
    item_ids_: NDArray[Any]
    unknown_user: str
    unknown_item: str
    # whether what is recommended depends on the user at all
    _tells_users_apart: ClassVar[bool] = True

    @abstractmethod
    def _score_items(self, queries: Queries, items: Codes) -> NDArray[Any]:
        """Return scores of shape (n_queries, n_items)."""

    @abstractmethod
    def _score_pairs(self, queries: Queries, items: Codes) -> NDArray[Any]:
        """Return the scores of each query with the item of the same row."""

    def _shared_with(self, past: Codes, item: int) -> dict[Any, dict[str, tuple[Any, ...]]]:
        """Return the attribute values that an item has in common with each past item, by id."""
        return {
            name: self._shared_values(int(code), item)
            for name, code in zip(self._item_names(past), past, strict=True)
        }

    def _shared_values(self, code: int, item: int) -> dict[str, tuple[Any, ...]]:
        """Return the attribute values that two items have in common, by field."""
        if self._encoded is None:
            return {}
        common = {
            name: tuple(self._encoded.shared(f, code, item))
            for f, name in enumerate(self._encoded.fields)
        }
        return {name: values for name, values in common.items() if values}

    def _known_fields(self, item: int) -> tuple[str, ...]:
        """Return the fields in which an item has values."""
        if self._encoded is None:
            return ()
        cells = [self._encoded.cell(f, item) for f in range(len(self._encoded.fields))]
        return tuple(n for n, cell in zip(self._encoded.fields, cells, strict=True) if len(cell))

    @property
    def _n_codes(self) -> int:
        """Number of item codes: trained, known by attributes, and one for any other."""
        return len(self._items) + len(self._cold) + 1

    def _encode_items(
        self, ids: NDArray[Any], *, name: str = "X", used: NDArray[np.bool_] | None = None
    ) -> Codes:
        """Return item codes, by the policy where an item of a used row is unknown."""
        codes = self._known_items(ids)
        unknown = codes < 0
        check_kind(ids[unknown], self.item_ids_, f"item ids in {name}", "in fit")
        refused = unknown if used is None else unknown & used
        if refused.any() and self.unknown_item == "error":
            row = int(np.flatnonzero(refused)[0])
            raise ValueError(
                f"item {shown(ids[row])} (row {row} of {name}; {int(refused.sum())} such row(s)) "
                "was not seen in fit; leave it out, give it attributes if the model uses them, or "
                "set unknown_item='average'"
            )
        return np.where(unknown, self._n_codes - 1, codes)

    def _known_items(self, ids: NDArray[Any]) -> Codes:
        codes = self._items.encode(ids)
        if len(self._cold):
            cold = self._cold.encode(ids)
            codes = np.where((codes < 0) & (cold >= 0), cold + len(self._items), codes)
        return codes

    def _queries(
        self,
        ids: NDArray[Any],
        histories: Any = None,
        *,
        warn_of_unknown: bool = False,
        name: str = "X",
    ) -> Queries:
        """Return the users with what they liked: in fit, or in fresh histories.

        Error messages call the argument that names the users `name`.
        """
        codes = self._user_codes(ids)
        lists = self._liked.take(np.where(codes < len(self._users), codes, -1))
        served = codes >= 0
        if has_rows(histories):
            fresh, given = self._read_histories(ids, histories)
            both = ItemLists(
                np.concatenate([lists.indptr, lists.indptr[-1] + fresh.indptr[1:]]),
                np.concatenate([lists.items, fresh.items]),
            )
            rows = np.arange(len(ids))
            lists = both.take(np.where(given, rows + len(ids), rows))
            if self._represents_users_by_histories:
                served |= given
        self._check_served(ids, served, name)
        if warn_of_unknown and self._tells_users_apart and not served.all():
            self._warn_of_unknown(ids[~served], len(ids))
        return Queries(codes, lists)

    def _warn_of_unknown(self, unknown: NDArray[Any], n_asked: int) -> None:
        """Say how many users get a list that is not made for them."""
        by_histories = self._represents_users_by_histories
        warn(
            f"{len(unknown)} of {n_asked} user(s), such as {shown(unknown[0])}, were not seen in "
            "fit: their lists are those of a user of whom nothing is known. "
            + ("Give histories=, or set" if by_histories else "Set")
            + " unknown_user='error' to refuse them",
            UserWarning,
        )

    @property
    def _represents_users_by_histories(self) -> bool:
        """Whether a user whom fit never saw can be scored from a history."""
        return True

    def _pair_blocks(self, n_pairs: int) -> Iterator[slice]:
        """Cut pairs into blocks: each has its user's history, and those of all may not fit."""
        longest = int(self._liked.lengths.max(initial=1))
        return row_blocks(n_pairs, 64 * (longest + 4))

    def _user_codes(self, ids: NDArray[Any]) -> Codes:
        """Return user codes: trained, known by attributes alone, -1 for any other."""
        codes = self._users.encode(ids)
        if len(self._cold_users):
            cold = self._cold_users.encode(ids)
            codes = np.where((codes < 0) & (cold >= 0), cold + len(self._users), codes)
        return codes

    def _check_served(self, ids: NDArray[Any], served: NDArray[np.bool_], name: str = "X") -> None:
        """Raise, by the policy, where a user can not be served."""
        check_kind(ids[~served], self.user_ids_, f"user ids in {name}", "in fit")
        if self.unknown_user == "error" and not served.all():
            row = int(np.flatnonzero(~served)[0])
            by_histories = self._represents_users_by_histories
            way_out = "give a history in histories=, or " if by_histories else ""
            raise ValueError(
                f"user {shown(ids[row])} (row {row} of {name}; {int((~served).sum())} such "
                f"row(s)) was not seen in fit; {way_out}set unknown_user='average'"
            )

    def _read_histories(
        self, ids: NDArray[Any], histories: Any
    ) -> tuple[ItemLists, NDArray[np.bool_]]:
        """Return fresh histories of these users, and which users have one."""
        columns = read_columns(histories, name="histories")
        users, row_users = Vocabulary.from_values(columns.users)
        rows = users.encode(ids)
        if not (rows >= 0).any():
            check_kind(columns.users, ids, "user ids in histories", "in X")
        times = np.zeros(len(row_users)) if columns.timestamps is None else columns.timestamps
        order = np.lexsort((times, row_users))
        used = np.isin(row_users, rows)
        items = self._encode_items(columns.items, name="histories", used=used)
        # an item that comes twice counts once, at its last place, as in fit
        keys = pd.Series(row_users[order] * self._n_codes + items[order])
        known = items[order] < self._n_codes - 1
        order = order[~(keys.duplicated(keep="last").to_numpy() & known)]
        lists = ItemLists.from_codes(row_users[order], items[order], len(users))
        return lists.take(rows), rows >= 0

    def _read_candidates(
        self,
        candidates: Any,
        ids: NDArray[Any],
        excluded: ItemLists,
        unknown: str,
    ) -> Candidates:
        """Return what each of these users may be recommended."""
        if candidates is None:
            everything = np.arange(len(self._items))
            return CommonCandidates(everything, self._n_codes, excluded, self._score_items)
        if not is_table(candidates):
            named = read_id_list(candidates, name="candidates", role="item")
            codes = self._candidate_codes(named, unknown)
            codes = np.unique(codes[codes >= 0])
            return CommonCandidates(codes, self._n_codes, excluded, self._score_items)
        columns = read_columns(candidates, name="candidates", times=False)
        users, row_users = Vocabulary.from_values(columns.users)
        rows = users.encode(ids)
        if (rows < 0).any():
            check_kind(columns.users, ids, "user ids in candidates", "in X")
            raise ValueError(
                f"candidates name no items for {int((rows < 0).sum())} of {len(ids)} users, such "
                f"as {shown(ids[rows < 0][0])}; add rows for them, or leave these users out of X"
            )
        codes = self._candidate_codes(columns.items, unknown)
        known = codes >= 0
        lists = ItemLists.from_codes(row_users[known], codes[known], len(users))
        return OwnCandidates(lists.take(rows), excluded, self._score_pairs, self._pair_blocks)

    def _candidate_codes(self, ids: NDArray[Any], unknown: str) -> Codes:
        """Return the codes of candidates; -1 for an unknown one if that is to be ignored."""
        codes = self._known_items(ids)
        if (codes < 0).any() and unknown == "raise":
            bad = ids[codes < 0]
            check_kind(bad, self.item_ids_, "item ids in candidates", "in fit")
            raise ValueError(
                f"candidates name {len(pd.unique(bad))} item(s) that do not exist, such as "
                f"{shown(bad[0])}: neither seen in fit nor scorable by attributes; leave them "
                "out, or set unknown_candidates='ignore'"
            )
        return codes

    def _ids_of(self, codes: Codes) -> NDArray[Any]:
        """Return the ids of distinct, ascending codes of items that can be scored."""
        trained = codes < len(self._items)
        if trained.all():
            return self.item_ids_ if len(codes) == len(self._items) else self.item_ids_[codes]
        cold = self._cold.ids[codes[~trained] - len(self._items)]
        return joined(self.item_ids_[codes[trained]], cold) if trained.any() else cold

    def _excluded(
        self,
        ids: NDArray[Any],
        queries: Queries,
        *,
        seen: bool,
        interactions: Any,
        items: Any,
        histories: Any,
    ) -> ItemLists:
        """Return the item codes that each user must not get, each once."""
        rows, codes = [], []
        if seen:
            parts = [self._seen.take(self._users.encode(ids))]
            if has_rows(histories):
                parts.append(queries.histories)
            rows += [part.owners for part in parts]
            codes += [part.items for part in parts]
        if has_rows(interactions):
            columns = read_columns(interactions, name="exclude_interactions", times=False)
            users, row_users = Vocabulary.from_values(columns.users)
            met = self._known_items(columns.items)
            known = met >= 0
            if not known.any():
                what = "item ids in exclude_interactions"
                check_kind(columns.items, self.item_ids_, what, "in fit")
            asked = users.encode(ids)
            if not (asked >= 0).any():
                check_kind(columns.users, ids, "user ids in exclude_interactions", "in X")
            lists = ItemLists.from_codes(row_users[known], met[known], len(users)).take(asked)
            rows.append(lists.owners)
            codes.append(lists.items)
        if has_rows(items):
            denied = read_id_list(items, name="exclude_items", role="item")
            met = self._known_items(denied)
            if (met < 0).all():
                check_kind(denied, self.item_ids_, "item ids in exclude_items", "in fit")
            met = np.unique(met[met >= 0])
            rows.append(np.repeat(np.arange(len(ids)), len(met)))
            codes.append(np.tile(met, len(ids)))
        if not rows:
            return ItemLists.empty(len(ids))
        if seen and len(rows) == 1:  # what fit saw, as it is: each pair is in it once
            return parts[0]
        lists = ItemLists.from_codes(np.concatenate(rows), np.concatenate(codes), len(ids))
        return lists.distinct()

    def _item_names(self, codes: Codes) -> NDArray[Any]:
        """Return the ids of item codes, None for the code of any other item."""
        n = len(self._items)
        names = np.full(len(codes), None, dtype=object)
        warm, cold = codes < n, (codes >= n) & (codes < n + len(self._cold))
        names[warm] = self.item_ids_[codes[warm]]
        names[cold] = self._cold.ids[codes[cold] - n]
        return names
