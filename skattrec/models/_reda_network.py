"""The network of REDA: relations of item pairs, eqs. 2 to 8 of the paper, and their training."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from skattrec.nn import Linear


class REDAModule(nn.Module):
    """The network of REDA: a relation for each pair of items.

    With memory attention a relation is ``r = c @ M``, where M holds the memory's slices and c is
    a distribution over them. Everything here works with *codes*: c, of width ``n_memory``, with
    memory attention; r itself, of width ``embedding_dim``, without. A product of two relations
    is then ``c @ gram @ c'``.

    Parameters
    ----------
    n_items : int
        Number of trained items.
    n_memory, attention_units : int or None
        None: no memory; no attention over products.
    """

    def __init__(
        self,
        n_items: int,
        *,
        embedding_dim: int,
        n_aspects: int,
        n_memory: int | None,
        attention_units: int | None,
        init_scale: float,
        generator: torch.Generator,
    ):
        super().__init__()
        self.n_items = n_items
        self.n_aspects = n_aspects
        self.n_memory = n_memory or 0

        def drawn(*shape: int) -> nn.Parameter:
            uniform = torch.rand(shape, generator=generator)
            return nn.Parameter((2 * uniform - 1) * init_scale)

        # n_aspects vectors a item, side by side
        self.aspects = drawn(n_items, n_aspects * embedding_dim)
        if n_memory:
            self.keys = drawn(n_memory, embedding_dim)
            self.slices = drawn(n_memory, embedding_dim)
        # a single product has all the weight
        self.attention: Linear | None = None
        if attention_units is not None and n_aspects > 1:
            self.attention = Linear(embedding_dim, attention_units, generator)
            self.attention_output = drawn(attention_units)

    @property
    def width(self) -> int:
        """Width of a code."""
        return self.n_memory or self.aspects.shape[1] // self.n_aspects

    def gram(self) -> Tensor:
        """Return the products of the memory's slices, the identity without memory."""
        if self.n_memory:
            return self.slices @ self.slices.T
        return torch.eye(self.width, dtype=self.aspects.dtype, device=self.aspects.device)

    def embed(self, vectors: Tensor) -> Tensor:
        """Turn codes (..., width) into relation vectors (..., embedding_dim)."""
        return vectors @ self.slices if self.n_memory else vectors

    def take(self, items: Tensor) -> Tensor:
        """Return the vectors (..., n_aspects, embedding_dim) of items."""
        rows = nn.functional.embedding(items, self.aspects)
        return rows.unflatten(-1, (self.n_aspects, -1))

    def projections(self) -> Tensor:
        """Return what eqs. 3 and 6 multiply a product by, (n_memory + attention_units, dim)."""
        parts: list[Tensor] = [self.keys] if self.n_memory else []
        if self.attention is not None:
            parts.append(self.attention.weight.T)
        return torch.cat(parts) if parts else self.aspects.new_zeros(0, self.width)

    def codes(self, left: Tensor, right: Tensor) -> Tensor:
        """Return the codes (..., width) of pairs, from vectors (..., n_aspects, dim)."""
        products = left[..., :, None, :] * right[..., None, :, :]  # eq. 2
        products = products.flatten(-3, -2)  # (..., n_aspects^2, dim)
        projections = self.projections()
        logits = products @ projections.T if len(projections) else None
        return self.pool(logits, products)

    def pool(self, logits: Tensor | None, products: Tensor | None) -> Tensor:
        """Pool the products of vectors, eqs. 4 to 8; codes (..., width).

        Parameters
        ----------
        logits : Tensor of shape (..., n_aspects^2, n_memory + attention_units) or None
            Products times `projections`; None where neither attention is used.
        products : Tensor of shape (..., n_aspects^2, embedding_dim) or None
            What is pooled without memory attention.
        """
        weights = None
        if self.attention is not None:
            assert logits is not None
            hidden = torch.relu(logits[..., self.n_memory :] + self.attention.offset)
            weights = (hidden @ self.attention_output).softmax(-1)  # eqs. 6 and 7
        if self.n_memory:
            assert logits is not None
            parts = logits[..., : self.n_memory].softmax(-1)  # eqs. 3 and 4
        else:
            assert products is not None
            parts = products
        if weights is None:
            return parts.mean(-2)
        return (weights[..., None] * parts).sum(-2)  # eq. 8

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        """Return how much closer to the context a negative relation is than the positive one.

        Parameters
        ----------
        left : Tensor of shape (batch, 2 + n_negatives)
            One item of each pair: of the context, of the positive, of the negatives.
        right : Tensor of shape (batch, 1) or of the shape of `left`
            The other item; one column where all pairs share it.

        Returns
        -------
        differences : Tensor of shape (batch, n_negatives)
            ``r_c . r_n - r_c . r_t`` of eq. 10.
        """
        # one look-up, for its gradient is as large as the catalogue
        both = self.take(torch.cat([left, right], dim=1))
        codes = self.codes(*both.split([left.shape[1], right.shape[1]], dim=1))
        others = codes[:, 1:]
        context = codes[:, :1]
        if self.n_memory:
            context = context @ self.gram()
        closeness = (others * context).sum(-1)
        return closeness[:, 1:] - closeness[:, :1]
