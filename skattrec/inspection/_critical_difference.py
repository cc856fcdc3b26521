"""The critical-difference diagram: which methods several data sets can tell apart."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from skattrec.model_selection import FriedmanNemenyi, friedman_nemenyi


class CriticalDifferenceDisplay:
    """Mean ranks on a line; a bar joins methods that Nemenyi's test cannot tell apart.

    It is recommended to make one with `from_scores`. Drawing needs scikit-posthocs and matplotlib
    (``pip install skattrec[stats]``).

    Parameters
    ----------
    result : FriedmanNemenyi
        What `friedman_nemenyi` returned.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Where the diagram was drawn.
    figure_ : matplotlib Figure
        The figure that holds it.
    artists_ : dict of str to list
        Markers, elbows, labels and crossbars, as scikit-posthocs names them.

    References
    ----------
    .. [1] J. Demšar, "Statistical comparisons of classifiers over multiple data sets", Journal of
       Machine Learning Research 7, 2006. https://jmlr.org/papers/v7/demsar06a.html

    Examples
    --------
    >>> import pandas as pd
    >>> from skattrec.inspection import CriticalDifferenceDisplay
    >>> scores = pd.DataFrame(
    ...     {"A": [.31, .52, .23, .71, .44], "B": [.29, .50, .21, .66, .45],
    ...      "C": [.20, .41, .19, .60, .30]},
    ...     index=["films", "books", "songs", "games", "news"],
    ... )
    >>> display = CriticalDifferenceDisplay.from_scores(scores)
    >>> display.ax_.get_title()
    '5 data sets, Friedman p = 0.015'
    """

    def __init__(self, result: FriedmanNemenyi):
        self.result = result

    @classmethod
    def from_scores(
        cls,
        scores: pd.DataFrame | Mapping[Any, Any],
        *,
        metric: str | None = None,
        higher_is_better: bool = True,
        tie_tolerance: float = 0.0,
        alpha: float = 0.05,
        ax: Any = None,
    ) -> CriticalDifferenceDisplay:
        """Test and draw.

        Parameters
        ----------
        scores : DataFrame of shape (n_data_sets, n_methods), or mapping of data set to Comparison
            Independent data sets, as `friedman_nemenyi` takes them.
        metric : str, default=None
            Which metric of the comparisons.
        higher_is_better : bool, default=True
            False for errors.
        tie_tolerance : float, default=0.0
            Scores that follow each other less than this apart share their mean rank.
        alpha : float, default=0.05
            Level of significance.
        ax : matplotlib Axes, default=None
            Where to draw; None makes a figure.

        Returns
        -------
        display : CriticalDifferenceDisplay
        """
        result = friedman_nemenyi(
            scores,
            metric=metric,
            higher_is_better=higher_is_better,
            tie_tolerance=tie_tolerance,
            alpha=alpha,
        )
        return cls(result).plot(ax=ax)

    def plot(self, *, ax: Any = None) -> CriticalDifferenceDisplay:
        """Draw the diagram; the best method stands on the left.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; None makes a figure.

        Returns
        -------
        display : CriticalDifferenceDisplay
            Itself, with ``ax_``, ``figure_`` and ``artists_``.

        Raises
        ------
        ImportError
            scikit-posthocs is not installed.
        """
        import matplotlib.pyplot as plt

        try:
            from scikit_posthocs import critical_difference_diagram
        except ImportError as error:
            raise ImportError(
                "the diagram is drawn by scikit-posthocs: pip install skattrec[stats]"
            ) from error
        result = self.result
        if ax is None:
            height = 1.6 + 0.25 * len(result.mean_ranks)
            _, ax = plt.subplots(figsize=(6.5, height), layout="constrained")
        self.artists_ = critical_difference_diagram(
            result.mean_ranks, result.p_values, alpha=result.alpha, ax=ax, text_h_margin=0.05
        )
        # the library's own bar lies on the labels of the axis
        best, length = result.mean_ranks.min(), result.critical_difference
        ax.plot([best, best + length], [1.5, 1.5], color="k", linewidth=2, marker="|")
        ax.text(best + length, 1.5, f"  CD = {length:.2f}", va="center")
        p = result.p_value
        shown = "< 0.001" if p < 0.001 else f"= {p:.3f}"
        ax.set_title(f"{len(result.ranks)} data sets, Friedman p {shown}")
        self.ax_ = ax
        self.figure_ = ax.figure
        return self
