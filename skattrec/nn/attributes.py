"""Mean embedding of an item's attribute values, field by field."""

from __future__ import annotations

from copy import copy

import numpy as np
import torch
from torch import Tensor, nn

from skattrec.data.attributes import EncodedAttributes


class AttributeMean(nn.Module):
    """One vector per (field, entity): the mean embedding of the entity's values.

    Parameters
    ----------
    attributes : EncodedAttributes
        The entities' values, per field.
    dim : int
        Width of the embeddings.
    generator : torch.Generator
        Where the initial weights come from.
    missing : {"unknown", "zero"}, default="unknown"
        What stands for an entity without a value in a field: one learnable vector per
        field, or zeros.

    Attributes
    ----------
    table : Parameter of shape (n_values [+ n_fields], dim)
        Value embeddings, field after field, then the unknown vectors.
    present : Tensor of bool of shape (n_fields, n_entities)
        Which entities have a value in which field.
    """

    present: Tensor
    _values: Tensor
    _starts: Tensor
    _lengths: Tensor

    def __init__(
        self,
        attributes: EncodedAttributes,
        dim: int,
        generator: torch.Generator,
        *,
        missing: str = "unknown",
    ):
        super().__init__()
        self.n_entities = attributes.n_ids
        self.n_fields = len(attributes.fields)
        self.offsets = np.concatenate([[0], np.cumsum(attributes.n_values)]).astype(np.int64)
        n_rows = int(self.offsets[-1]) + (self.n_fields if missing == "unknown" else 0)
        self.table = nn.Parameter(torch.randn(n_rows, dim, generator=generator) * 0.1)
        self.missing = missing
        self._index(attributes)

    def _index(self, attributes: EncodedAttributes) -> None:
        """Lay out the bags of the entities."""
        values, lengths, present = self._bags(attributes, self.missing)
        starts = np.cumsum(lengths) - lengths
        # Fixed once built; not parameters, but they follow the module to its device.
        self.register_buffer("present", torch.from_numpy(present), persistent=False)
        self.register_buffer("_values", torch.from_numpy(values), persistent=False)
        self.register_buffer("_starts", torch.from_numpy(starts), persistent=False)
        self.register_buffer("_lengths", torch.from_numpy(lengths), persistent=False)

    def _bags(
        self, attributes: EncodedAttributes, missing: str
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return table rows, bag lengths and presence, for bags ordered by (field, entity)."""
        values, lengths, present = [], [], []
        for field in range(self.n_fields):
            length = np.diff(attributes.indptr[field])
            rows = attributes.indices[field] + self.offsets[field]
            present.append(length > 0)
            if missing == "unknown":
                empty = np.flatnonzero(length == 0)
                rows = np.insert(rows, attributes.indptr[field][empty], self.offsets[-1] + field)
                length = np.maximum(length, 1)
            values.append(rows)
            lengths.append(length)
        if not values:
            empty_row = np.zeros(0, dtype=np.int64)
            return empty_row, empty_row, np.zeros((0, self.n_entities), dtype=bool)
        return (
            np.concatenate(values).astype(np.int64),
            np.concatenate(lengths).astype(np.int64),
            np.stack(present),
        )

    def over(self, attributes: EncodedAttributes) -> AttributeMean:
        """Return the same embeddings over other entities with the same fields and values."""
        other = copy(self)
        other._buffers = dict(self._buffers)
        other.n_entities = attributes.n_ids
        other._index(attributes)
        return other.to(self.table.device)

    def forward(self, entities: Tensor | None = None) -> Tensor:
        """Return the means (n_fields, n, dim) of these entities, or of all."""
        if entities is None:
            n, values, starts = self.n_entities, self._values, self._starts
        else:
            n = len(entities)
            values, starts = self._select(entities)
        bags = nn.functional.embedding_bag(values, self.table, starts, mode="mean")
        return bags.view(self.n_fields, n, -1)

    def _select(self, entities: Tensor) -> tuple[Tensor, Tensor]:
        """Return values and starts of the bags of these entities."""
        fields = torch.arange(self.n_fields, device=entities.device)[:, None]
        bags = (fields * self.n_entities + entities).flatten()
        lengths = self._lengths[bags]
        starts = lengths.cumsum(0) - lengths
        steps = torch.arange(int(lengths.sum()), device=entities.device)
        values = self._values[
            steps + torch.repeat_interleave(self._starts[bags] - starts, lengths)
        ]
        return values, starts
