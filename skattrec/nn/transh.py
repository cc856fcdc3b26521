"""TransH: knowledge-graph triples as translations on a hyperplane of their relation."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class TransH(nn.Module):
    """Squared distance of triples (head, relation, tail) after projection.

    ``|| h_perp + d_r - t_perp ||^2`` with ``x_perp = x - (w_r . x) w_r`` and unit normals w_r.

    Parameters
    ----------
    n_relations, dim : int
        Number of relations, and width of the embeddings.
    generator : torch.Generator
        Where the initial weights come from.

    References
    ----------
    .. [1] Wang, Zhang, Feng and Chen. "Knowledge Graph Embedding by Translating on
       Hyperplanes." AAAI 2014. https://doi.org/10.1609/aaai.v28i1.8870
    """

    def __init__(self, n_relations: int, dim: int, generator: torch.Generator):
        super().__init__()
        self.normals = nn.Parameter(torch.randn(n_relations, dim, generator=generator))
        self.translations = nn.Parameter(torch.randn(n_relations, dim, generator=generator) * 0.1)

    def forward(self, heads: Tensor, relations: Tensor, tails: Tensor) -> Tensor:
        """Map heads (n, dim), relations (n,) and tails (n, dim) to distances (n,)."""
        # normalised here, in the forward pass: otherwise the projection is none
        normals = nn.functional.normalize(self.normals, dim=1, eps=1e-8)[relations]
        difference = heads - tails  # the projection is linear: project once
        along = (difference * normals).sum(1, keepdim=True)
        return (difference - along * normals + self.translations[relations]).square().sum(1)
