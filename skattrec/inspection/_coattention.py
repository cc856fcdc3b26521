"""A figure of which attribute of the history meets which attribute of the candidate."""

from __future__ import annotations

from typing import Any

import pandas as pd


class CoAttentionDisplay:
    """Heat map of a co-attention map.

    It is recommended to make one with `from_estimator`.

    Parameters
    ----------
    weights : DataFrame of shape (n_fields, n_fields)
        Row: field of the user, column: field of the item; as ``ACAM.coattention`` returns it.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Where the map was drawn.
    figure_ : matplotlib Figure
        The figure that holds it.
    im_ : matplotlib AxesImage
        The map.

    References
    ----------
    .. [1] Yang, Song, Xue and Xiao. "A Knowledge-Enhanced Recommendation Model with
       Attribute-Level Co-Attention." SIGIR 2020, fig. 1.
       https://doi.org/10.1145/3397271.3401313

    Examples
    --------
    >>> import pandas as pd
    >>> from skattrec.inspection import CoAttentionDisplay
    >>> weights = pd.DataFrame([[0.8, 0.3], [0.2, 0.7]], ["item", "genre"], ["item", "genre"])
    >>> display = CoAttentionDisplay(weights).plot()
    >>> display.ax_.get_xlabel()
    "item's field"
    """

    def __init__(self, weights: pd.DataFrame):
        self.weights = weights

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        *,
        histories: Any = None,
        ax: Any = None,
        values_format: str = ".2f",
        cmap: str = "Blues",
        colorbar: bool = True,
    ) -> CoAttentionDisplay:
        """Draw the mean map of a set of pairs.

        Parameters
        ----------
        estimator : fitted recommender with a ``coattention`` method
        X : frame or array-like of shape (n_pairs, at least 2)
            Users and items.
        histories : frame or array-like of (user, item[, timestamp]) rows, default=None
            As in ``recommend``.
        ax : matplotlib Axes, default=None
            Where to draw; None makes a figure.
        values_format : str, default=".2f"
            Format of the numbers in the cells.
        cmap : str, default="Blues"
            Colour map.
        colorbar : bool, default=True
            Whether to draw one.

        Returns
        -------
        display : CoAttentionDisplay

        Raises
        ------
        TypeError
            The model has no co-attention.
        """
        if not hasattr(estimator, "coattention"):
            raise TypeError(
                f"{type(estimator).__name__} has no coattention, the maps to be drawn; ACAM, for "
                "one, has it"
            )
        weights = estimator.coattention(X, histories=histories)
        return cls(weights).plot(ax=ax, values_format=values_format, cmap=cmap, colorbar=colorbar)

    def plot(
        self,
        *,
        ax: Any = None,
        values_format: str = ".2f",
        cmap: str = "Blues",
        colorbar: bool = True,
    ) -> CoAttentionDisplay:
        """Draw the map.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; None makes a figure.
        values_format : str, default=".2f"
            Format of the numbers in the cells.
        cmap : str, default="Blues"
            Colour map.
        colorbar : bool, default=True
            Whether to draw one.

        Returns
        -------
        display : CoAttentionDisplay
            Itself, with ``ax_``, ``figure_`` and ``im_``.
        """
        import matplotlib.pyplot as plt

        if ax is None:
            _, ax = plt.subplots(layout="constrained")
        values = self.weights.to_numpy()
        self.im_ = ax.imshow(values, cmap=cmap)
        middle = (values.min() + values.max()) / 2
        for row, column in ((r, c) for r in range(len(values)) for c in range(values.shape[1])):
            value = values[row, column]
            colour = self.im_.cmap(1.0 if value < middle else 0.0)
            text = format(value, values_format)
            ax.text(column, row, text, ha="center", va="center", color=colour)
        ax.set_xticks(range(values.shape[1]), self.weights.columns, rotation=45, ha="right")
        ax.set_yticks(range(len(values)), self.weights.index)
        ax.set_xlabel("item's field")
        ax.set_ylabel("user's field")
        if colorbar:
            ax.figure.colorbar(self.im_, ax=ax, label="weight")
        self.ax_ = ax
        self.figure_ = ax.figure
        return self
