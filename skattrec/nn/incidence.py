"""Sums over who met what: products with a binary sparse matrix, both ways."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from skattrec.data.interactions import Codes, ItemLists


class Incidence(nn.Module):
    """A binary matrix, such as which user rated which item, that sums rows of tables.

    Kept by row and by column: the gradient of a sum over the one is a sum over the other, so
    that no scattered addition is needed.

    Parameters
    ----------
    rows, columns : ndarray of int64 of shape (n_entries,)
        Where the ones stand; no entry twice.
    n_rows, n_columns : int

    Attributes
    ----------
    row_counts : Tensor of shape (n_rows,)
        Number of ones in each row.
    column_counts : Tensor of shape (n_columns,)
        Number of ones in each column.
    """

    row_counts: Tensor
    column_counts: Tensor
    _columns: Tensor
    _row_starts: Tensor
    _rows: Tensor
    _column_starts: Tensor

    def __init__(self, rows: Codes, columns: Codes, n_rows: int, n_columns: int):
        super().__init__()
        by_row, by_column = (np.argsort(codes, kind="stable") for codes in (rows, columns))
        row_counts = np.bincount(rows, minlength=n_rows)
        column_counts = np.bincount(columns, minlength=n_columns)
        tables = {
            "row_counts": row_counts,
            "column_counts": column_counts,
            "_columns": columns[by_row],
            "_row_starts": np.cumsum(row_counts) - row_counts,
            "_rows": rows[by_column],
            "_column_starts": np.cumsum(column_counts) - column_counts,
        }
        # fixed once built; not parameters, but they follow the module to its device
        for name, table in tables.items():
            self.register_buffer(name, torch.from_numpy(table), persistent=False)

    def lists(self) -> ItemLists:
        """Return the columns that each row meets."""
        starts, columns = self._row_starts.cpu().numpy(), self._columns.cpu().numpy()
        return ItemLists(np.append(starts, len(columns)), columns)

    def row_sums(self, table: Tensor) -> Tensor:
        """Sum the rows of a (n_columns, dim) table that each row meets; to (n_rows, dim)."""
        return _Sums.apply(table, self._columns, self._row_starts, self._rows, self._column_starts)

    def column_sums(self, table: Tensor) -> Tensor:
        """Sum the rows of a (n_rows, dim) table that each column meets; to (n_columns, dim)."""
        return _Sums.apply(table, self._rows, self._column_starts, self._columns, self._row_starts)


def history_scale(counts: Tensor, dtype: torch.dtype) -> Tensor:
    """Return 1 / sqrt(n) for histories of n entries, as a column; 1 for empty ones."""
    return counts.clamp(min=1).to(dtype).rsqrt()[:, None]


class _Sums(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, table: Tensor, met: Tensor, starts: Tensor, meets: Tensor, back: Tensor
    ) -> Tensor:
        ctx.save_for_backward(meets, back)
        return nn.functional.embedding_bag(met, table, starts, mode="sum")

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        meets, back = ctx.saved_tensors
        summed = nn.functional.embedding_bag(meets, grads[0].contiguous(), back, mode="sum")
        return summed, None, None, None, None
