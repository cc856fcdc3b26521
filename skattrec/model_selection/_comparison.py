"""The result of a comparison: frames for further work, a table for readers, paired tests."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from skattrec.model_selection._statistics import pair_values, paired_tests
from skattrec.model_selection._tasks import Task

# what a table shows of costs: column of `costs`, heading, factor, decimals
_COST_COLUMNS = (
    ("fit_cpu_seconds", "fit CPU s", 1.0, 1),
    ("score_cpu_seconds", "score CPU s", 1.0, 1),
    ("peak_memory", "peak MiB", 2.0**-20, 0),
    ("n_parameters", "parameters", 1.0, 0),
)
# A random recommender would be the best of them: they describe, they do not rank.
_NOT_RANKED = ("coverage@", "gini@", "novelty@", "diversity@")
_BEST, _SECOND = 1, 2


class Comparison:
    """Result of `compare`; it is not made by hand.

    Attributes
    ----------
    metrics : list of str
        As they are called in all frames.
    frame : DataFrame of shape (n_recommenders, 2 * n_metrics)
        Mean and standard deviation ("std", NaN for a single run) over folds and seeds; columns
        are pairs of metric and statistic. Where candidates are drawn several times, "draw_std" is
        the mean over runs of the standard deviation over draws. Where orders of ties are repeated,
        "tie_std", "tie_min" and "tie_max" are those of the means of single orders.
    runs : DataFrame
        A row for each recommender, fold and seed, and order of ties where these are repeated:
        metrics, seconds, memory in bytes, number of
        parameters, error if it failed. The seed is missing where a recommender takes none.
    per_user : DataFrame
        Long: recommender, fold, seed, metric, user, value. For "neg_root_mean_squared_error" it
        holds the metric "neg_mean_squared_error", whose mean over rows it is the root of; metrics
        that are no means over users or their rows are not in it.
    trials : DataFrame
        A row for each recommender, fold and setting that was tried.
    best_params : dict of str to list of dict
        The setting chosen on each fold, ``{}`` for the recommender's own; None where every trial
        failed and the own setting was used.
    costs : DataFrame
        By recommender: means over runs of wall and CPU seconds to fit and to judge, of peak
        memory in bytes if it was measured, and of the number of parameters; sums of wall and CPU
        seconds of tuning; numbers of trials and of failed ones.
    protocol : dict
        How the numbers came about: data, splits, metrics, seeds, tuning.
    data_id : str
        Hash of the data.
    """

    def __init__(
        self,
        *,
        recommenders: Sequence[str],
        metrics: Sequence[str],
        runs: pd.DataFrame,
        per_user: pd.DataFrame,
        trials: pd.DataFrame,
        best_params: dict[str, list[dict[str, Any] | None]],
        protocol: dict[str, Any],
        data_id: str,
        task: Task,
    ):
        self.recommenders = list(recommenders)
        self.metrics = list(metrics)
        self.runs = runs
        self.per_user = per_user
        self.trials = trials
        self.best_params = best_params
        self.protocol = protocol
        self.data_id = data_id
        self._task = task
        self.frame = self._means()
        self.costs = self._costs()

    def _means(self) -> pd.DataFrame:
        groups = self.runs.groupby("recommender", sort=False)
        columns = {}
        for metric in self.metrics:
            # a mean that left out the folds that failed would be of other test rows
            columns[metric, "mean"] = groups[metric].agg(lambda values: values.mean(skipna=False))
            columns[metric, "std"] = groups[metric].agg(
                lambda values: values.std(skipna=False, ddof=1)
            )
            draws = f"{metric} (std over draws)"
            if draws in self.runs:
                columns[metric, "draw_std"] = groups[draws].mean()
            if "tie_order" in self.runs:
                orders = self._means_of_orders(metric)
                columns[metric, "tie_std"] = orders.std(axis=1, ddof=1, skipna=False)
                columns[metric, "tie_min"] = orders.min(axis=1, skipna=False)
                columns[metric, "tie_max"] = orders.max(axis=1, skipna=False)
        frame = pd.DataFrame(columns).reindex(self.recommenders)
        frame.columns = pd.MultiIndex.from_tuples(list(columns), names=["metric", "statistic"])
        return frame

    def _means_of_orders(self, metric: str) -> pd.DataFrame:
        """Return recommenders by orders of ties, means over folds and seeds."""
        groups = self.runs.groupby(["recommender", "tie_order"], sort=False)[metric]
        return groups.agg(lambda values: values.mean(skipna=False)).unstack()

    def _costs(self) -> pd.DataFrame:
        groups = self.runs.groupby("recommender", sort=False)
        costs = groups[
            [
                "fit_seconds",
                "fit_cpu_seconds",
                "score_seconds",
                "score_cpu_seconds",
                "peak_memory",
                "n_parameters",
            ]
        ].mean()
        tried = self.trials.groupby("recommender", sort=False)
        costs["tuning_seconds"] = tried["seconds"].sum()
        costs["tuning_cpu_seconds"] = tried["cpu_seconds"].sum()
        costs["n_trials"] = tried["trial"].size()
        costs["n_failed_trials"] = tried["error"].count()
        counts = ["tuning_seconds", "tuning_cpu_seconds", "n_trials", "n_failed_trials"]
        costs[counts] = costs[counts].astype(float).fillna(0)  # of objects where nothing was tried
        return costs.astype({"n_trials": int, "n_failed_trials": int}).reindex(self.recommenders)

    # --- tables ------------------------------------------------------------------------

    def table(self, *, decimals: int = 4, costs: bool = True) -> str:
        """Return the table as plain text.

        Parameters
        ----------
        decimals : int, default=4
            Of the metrics.
        costs : bool, default=True
            Whether to show seconds, parameters and, if measured, memory.

        Returns
        -------
        text : str
            A row for each recommender, mean ± standard deviation; ``*`` marks the best, ``+`` the
            second best of each metric, equal ones alike. Coverage, novelty, diversity and Gini
            have no best: they describe, and a random recommender would win. Lines below it say
            how the numbers came about.
        """
        marks = {_BEST: " *", _SECOND: " +", 0: "  "}
        cells, ranks = self._cells(decimals)
        marked = pd.DataFrame(
            {name: cells[name] + [marks[int(rank)] for rank in ranks[name]] for name in cells}
        )
        body = self._with_costs(marked, costs).rename(index=_one_line).to_string()
        return "\n".join([body, "", "* best, + second best", *self._notes()])

    def to_markdown(self, *, decimals: int = 4, costs: bool = True) -> str:
        """Return the table in Markdown, the best value bold, the second underlined.

        Parameters
        ----------
        decimals : int, default=4
            Of the metrics.
        costs : bool, default=True
            Whether to show seconds, parameters and, if measured, memory.

        Returns
        -------
        text : str
        """
        styles = {_BEST: "**{}**", _SECOND: "<u>{}</u>", 0: "{}"}
        table = self._styled(decimals, costs, styles)
        heads = ["", *(_in_markdown(str(name)) for name in table.columns)]
        lines = [_row(heads), _row(["---", *["---:"] * table.shape[1]])]
        lines += [_row([_in_markdown(str(name)), *table.loc[name]]) for name in table.index]
        return "\n".join([*lines, "", *(f"{note}  " for note in self._notes())])

    def to_latex(self, *, decimals: int = 4, costs: bool = True) -> str:
        r"""Return the table in LaTeX, the best value bold, the second underlined.

        Parameters
        ----------
        decimals : int, default=4
            Of the metrics.
        costs : bool, default=True
            Whether to show seconds, parameters and, if measured, memory.

        Returns
        -------
        text : str
            A ``tabular`` with the rules of booktabs; the notes are comments above it.
        """
        styles = {_BEST: r"\textbf{{{}}}", _SECOND: r"\underline{{{}}}", 0: "{}"}
        table = self._styled(decimals, costs, styles, escape=_in_latex)
        heads = ["", *(_in_latex(str(name)) for name in table.columns)]
        lines = [f"% {note}" for note in self._notes()]
        lines += [rf"\begin{{tabular}}{{l{'r' * table.shape[1]}}}", r"\toprule"]
        lines += [" & ".join(heads) + r" \\", r"\midrule"]
        for name in table.index:
            first = _in_latex(str(name))
            if first.lstrip().startswith(("[", "*")):
                first = "{}" + first  # else it is an option of the row or rule before it
            lines.append(" & ".join([first, *table.loc[name]]) + r" \\")
        return "\n".join([*lines, r"\bottomrule", r"\end{tabular}"])

    def _cells(self, decimals: int) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Return the values as text, and who is best and second best of them."""
        cells = pd.DataFrame(index=self.frame.index)
        ranks = pd.DataFrame(0, index=self.frame.index, columns=self.metrics)
        for metric in self.metrics:
            mean, std = self.frame[metric, "mean"], self.frame[metric, "std"]
            texts = []
            for value, spread in zip(mean, std, strict=True):
                text = "failed" if np.isnan(value) else f"{value:.{decimals}f}"
                texts.append(text if np.isnan(spread) else f"{text} ± {spread:.{decimals}f}")
            cells[metric] = texts
            if not metric.startswith(_NOT_RANKED):
                # what is printed alike is marked alike
                printed = mean.map(lambda value: float(f"{value:.{decimals}f}"))
                places = printed.rank(method="min", ascending=False)
                ranks.loc[places == 1, metric] = _BEST
                second = places[places > 1].min()
                if (places == 1).sum() == 1:
                    ranks.loc[places == second, metric] = _SECOND
        return cells, ranks

    def _with_costs(self, cells: pd.DataFrame, costs: bool) -> pd.DataFrame:
        cells = cells.copy()
        for name, heading, factor, decimals in _COST_COLUMNS if costs else ():
            values = self.costs[name].astype("Float64")
            if values.notna().any():
                cells[heading] = [
                    "" if pd.isna(value) else f"{value * factor:,.{decimals}f}" for value in values
                ]
        cells["trials"] = [str(n) for n in self.costs["n_trials"]]
        return cells

    def _styled(
        self, decimals: int, costs: bool, styles: dict[int, str], escape: Any = str
    ) -> pd.DataFrame:
        cells, ranks = self._cells(decimals)
        styled = pd.DataFrame(
            {
                name: [
                    styles[int(rank)].format(escape(text))
                    for text, rank in zip(cells[name], ranks[name], strict=True)
                ]
                for name in cells
            },
            index=cells.index,
        )
        return self._with_costs(styled, costs)

    def _notes(self) -> list[str]:
        """Return what a reader of the table must know."""
        p = self.protocol
        n_test = p["n_test_rows"]
        rows = f"{n_test[0]}" if len(set(n_test)) == 1 else f"{min(n_test)} to {max(n_test)}"
        over = "folds" if p["n_tie_orders"] is None else "folds, orders of ties"
        notes = [
            f"Data: {p['data']}. Held out by {p['cv']}: {p['n_folds']} fold(s) of {rows} test "
            "rows.",
            *self._notes_on_the_split(),
            f"Task: {p['task']}.",
            f"Mean ± standard deviation over {over} and seeds; seeds {p['seeds']}, one run a fold "
            "for recommenders without random_state.",
        ]
        if p["budget"] is None:
            notes.append("Tuning: none, settings as given.")
        else:
            untuned = [name for name, n in p["n_trials"].items() if n < 2]
            notes.append(
                f"Tuning: up to {p['budget']} settings for each recommender and fold, the given "
                f"one first, by {p['tuning_metric']} on {p['inner_cv']} within the training rows"
                + (f"; nothing to tune: {', '.join(map(str, untuned))}" if untuned else "")
                + ". The column counts trials over all folds."
            )
        failed = self.costs["n_failed_trials"]
        if failed.any():
            counts = ", ".join(f"{name} {n}" for name, n in failed[failed > 0].items())
            notes.append(f"Failed trials: {counts}.")
        errors = self.runs[self.runs["error"].notna()]
        for name, error in errors.groupby("recommender", sort=False)["error"].first().items():
            notes.append(f"{name} failed: {error}")
        # a note is a line: reprs and errors may have several
        return [" ".join(note.split()) for note in notes]

    def _notes_on_the_split(self) -> list[str]:
        """Return what the split does to the values."""
        p, notes = self.protocol, []
        if p["repeated_pairs"]:
            notes.append(
                f"Repeated pairs: {100 * p['repeated_pairs']:.3g}% of the test pairs of user and "
                "item are in training too."
            )
        if p["unknown_users"]:
            share = 100 * p["unknown_users"]
            notes.append(f"Unknown users: {share:.3g}% of the test users have no training row.")
        tied, n_orders = p["tied_users"], p["n_tie_orders"]
        if tied is not None and tied["n_tied"]:
            rule = "chance decides"
            if n_orders is not None:
                rule += f", {n_orders} times"
            elif p["ties"] == "order":
                rule = "the order of rows decides"
            notes.append(
                f"Ties: equal timestamps leave it open which rows are held out for "
                f"{tied['n_tied']} of {tied['n_tested']} users; {rule}."
            )
        if n_orders is not None:
            metric = self.metrics[0]
            low, high = self.frame[metric, "tie_min"], self.frame[metric, "tie_max"]
            ranges = (f"{name} {low[name]:.4f} to {high[name]:.4f}" for name in self.frame.index)
            notes.append(f"{metric} of single orders of ties: {', '.join(ranges)}.")
        return notes

    def __repr__(self) -> str:
        return self.table()

    def _repr_markdown_(self) -> str:
        return self.to_markdown()

    # --- tests -------------------------------------------------------------------------

    def test(
        self,
        reference: str | None = None,
        metric: str | None = None,
        *,
        n_resamples: int = 9999,
        confidence_level: float = 0.95,
        random_state: int = 0,
    ) -> pd.DataFrame:
        """Test the differences between recommenders on the same users.

        Each user counts once: values are averaged over seeds, and over the folds that the user
        is in.

        Parameters
        ----------
        reference : str, default=None
            The recommender to which the others are compared, chosen before looking at the
            results; None compares each pair.
        metric : str, default=None
            None: the first one.
        n_resamples : int, default=9999
            Of the permutation test and the bootstrap.
        confidence_level : float, default=0.95
            Of the intervals.
        random_state : int, default=0
            Seed of the resamples.

        Returns
        -------
        tests : DataFrame
            As `paired_tests` returns it.

        Raises
        ------
        ValueError
            An unknown reference or metric; a metric that users have no value of.
        """
        name = self.metrics[0] if metric is None else metric
        if name not in self.metrics:
            raise ValueError(f"metric={metric!r} is none of {self.metrics}")
        if reference is not None and reference not in self.recommenders:
            raise ValueError(f"reference={reference!r} is none of {self.recommenders}")
        of_users = self._task.of_users(name)
        failed = set(self.runs.loc[self.runs["error"].notna(), "recommender"])
        if reference in failed:
            raise ValueError(f"reference={reference!r} failed, see `runs`")
        methods = [r for r in self.recommenders if r not in failed]
        values = pair_values(self.per_user[self.per_user["metric"] == of_users], methods)
        return paired_tests(
            values,
            reference=reference,
            n_resamples=n_resamples,
            confidence_level=confidence_level,
            random_state=random_state,
        )


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


_LATEX = str.maketrans(
    {character: "\\" + character for character in "&%$#_{}"}
    | {
        "\\": r"\textbackslash{}",
        "±": r"$\pm$",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "<": r"\textless{}",
        ">": r"\textgreater{}",
        "|": r"\textbar{}",
    }
)
# an underscore inside a word means itself
_MARKDOWN = re.compile(r"([\\|*`<>&$~\[\]]|(?<![^\W_])_|_(?![^\W_]))")


def _in_latex(text: str) -> str:
    """Return text that LaTeX prints as it is, in one line."""
    return _one_line(text).translate(_LATEX)


def _in_markdown(text: str) -> str:
    """Return text that Markdown prints as it is, in one cell of a table."""
    return _MARKDOWN.sub(r"\\\1", _one_line(text))


def _one_line(name: Any) -> str:
    """Return a name with blanks for line breaks: a row of a table is one line."""
    return " ".join(line for line in str(name).splitlines() if line)
