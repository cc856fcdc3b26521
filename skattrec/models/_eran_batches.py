"""What eRAN trains on: liked items beside partners, negatives, and their network rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from skattrec.batches import Batch, LabelledNegatives, RowWeights, TrainingSet
from skattrec.data.interactions import Codes, Interactions
from skattrec.data.negatives import NegativeSampler, PartnerSampler
from skattrec.models._eran_graphs import ItemGraph, Neighbours
from skattrec.models._eran_network import Bags
from skattrec.nn.losses import NO_CANDIDATE


class ERANTriples(TrainingSet):
    """Each liked item beside other items of its user, and items that the user did not buy.

    Parameters
    ----------
    interactions : Interactions
    rows : ndarray of bool of shape (n_interactions,)
        Which of them to train on.
    graph : ItemGraph
    n_partners, n_negatives : int
    labelled : bool
        Whether negatives are what the user rated as not liked.
    n_columns : int or None
        Columns of the adjacency to reconstruct in a step; None: all.
    decode : bool
        Whether to reconstruct at all.
    n_new : int
        How many items of the catalogue a step treats as new where it judges them.
    """

    def __init__(
        self,
        interactions: Interactions,
        rows: NDArray[np.bool_],
        graph: ItemGraph,
        *,
        n_partners: int,
        n_negatives: int,
        labelled: bool,
        n_columns: int | None,
        decode: bool,
        n_new: int = 0,
    ):
        liked = interactions.item_lists(rows & interactions.positive)
        self.users = liked.owners
        self.items = liked.items
        self.weights = RowWeights(interactions, np.flatnonzero(rows & interactions.positive))
        self.partners = PartnerSampler(liked)
        self.negatives = (
            LabelledNegatives(interactions, rows)
            if labelled
            else _trained_items(interactions, liked.items)
        )
        self.networks = graph.networks
        self.whole = Bags.whole(graph.networks)
        self.present = torch.from_numpy(graph.present)
        self.n_partners = n_partners
        self.n_negatives = n_negatives
        self.n_columns = n_columns
        self.decode = decode
        self.attribute_rows = graph.attribute_rows
        self.n_new = n_new if graph.attribute_rows else 0

    def __len__(self) -> int:
        return len(self.items)

    def batch(self, rows: Codes, rng: np.random.Generator) -> tuple[Batch, Tensor]:
        """Return users, their items, and the network rows of these."""
        users = self.users[rows]
        partners = self.partners.sample(rows, self.n_partners, rng)
        negatives = self.negatives.sample(users, self.n_negatives, rng)
        target = np.where(negatives < 0, NO_CANDIDATE, 0.0).astype(np.float32)
        chosen = np.column_stack([self.items[rows], negatives, partners])
        # where there is none to draw, any item stands in: it gets no weight
        chosen = np.maximum(chosen, 0)
        items, places = np.unique(chosen, return_inverse=True)
        places = places.reshape(chosen.shape)
        # few items are cut out of the networks; of many, the whole networks cost less
        if 2 * len(items) > self.networks.n_columns:
            items, places = np.arange(self.networks.n_columns), chosen
            neighbours, bags = self.networks, self.whole
        else:
            neighbours = self.networks.take(items)
            bags = Bags.of(neighbours)
        weights = (partners >= 0).astype(np.float32)
        weights /= np.maximum(weights.sum(1, keepdims=True), 1)
        tensors: dict[str, Any] = {
            "items": torch.from_numpy(items),
            "present": self.present[torch.from_numpy(items)],
        }
        if self.n_new:
            places = places.copy()
            judged = places[:, : 1 + self.n_negatives]
            tensors |= self._as_new(chosen[:, : judged.shape[1]], judged, items, rng)
        tensors |= bags.named() | {
            "users": torch.from_numpy(users),
            "places": torch.from_numpy(places),
            "partners": torch.from_numpy(weights),
        }
        if self.decode:
            tensors |= self._adjacency(neighbours, rng)
        batch = Batch(len(rows), row_weights=self.weights.take(rows), **tensors)
        return batch, torch.from_numpy(target)

    def _as_new(
        self, judged: Codes, places: Codes, items: Codes, rng: np.random.Generator
    ) -> dict[str, Tensor]:
        """Draw items to treat as new, point their places at them, and return their rows."""
        assert self.attribute_rows is not None  # there are no new items without attributes
        n_items = self.networks.n_columns
        drawn = rng.choice(n_items, min(self.n_new, n_items), replace=False)
        new = drawn[np.isin(drawn, judged)]
        n_neighbours = np.cumsum(self.attribute_rows.most_neighbours[new])
        new = np.sort(new[n_neighbours <= _MOST_NEW_NEIGHBOURS])
        place = np.full(n_items, -1)
        place[new] = len(items) + np.arange(len(new))
        chosen = place[judged] >= 0
        places[chosen] = place[judged[chosen]]
        rows = self.attribute_rows.rows(new)
        known = torch.from_numpy(rows.degrees.T > 0)
        codes = np.concatenate([items, np.full(len(new), n_items)])
        return Bags.of(rows, self.attribute_rows.weights).named("new_") | {
            "items": torch.from_numpy(codes),
            "present": torch.cat([self.present[torch.from_numpy(items)], known]),
        }

    def _adjacency(self, rows: Neighbours, rng: np.random.Generator) -> dict[str, Tensor]:
        """Return what to reconstruct: all columns of the rows, or some drawn ones."""
        n_items = self.networks.n_columns
        if self.n_columns is None or self.n_columns >= n_items:
            return {"adjacency": torch.from_numpy(rows.among(np.arange(n_items)))}
        columns = np.sort(rng.choice(n_items, self.n_columns, replace=False))
        return {
            "adjacency": torch.from_numpy(rows.among(columns)),
            "columns": torch.from_numpy(columns),
        }


# of all items that a step treats as new together: it holds their rows and the transpose of these
_MOST_NEW_NEIGHBOURS = 2**24


def _trained_items(interactions: Interactions, items: Codes) -> NegativeSampler:
    """Draw all items with a training row alike: an item without one is no negative."""
    counts = np.bincount(items, minlength=interactions.n_items)
    return NegativeSampler(
        interactions.keys, interactions.n_users, interactions.n_items, weights=counts > 0
    )
