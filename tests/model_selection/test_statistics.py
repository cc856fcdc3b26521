"""Paired tests within a data set, ranks across data sets."""

import itertools

import numpy as np
import pandas as pd
import pytest
import scikit_posthocs
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse, stats

from skattrec.model_selection import critical_difference, friedman_nemenyi, paired_tests
from skattrec.model_selection._statistics import holm, sign_flip_test

SCORES = pd.DataFrame(
    {
        "A": [0.31, 0.52, 0.23, 0.71, 0.44, 0.3],
        "B": [0.29, 0.50, 0.21, 0.66, 0.45, 0.3],
        "C": [0.20, 0.41, 0.19, 0.60, 0.30, 0.1],
        "D": [0.21, 0.45, 0.10, 0.59, 0.29, 0.2],
    },
    index=["films", "books", "songs", "games", "news", "food"],
)


def users(n=120, shift=0.05, seed=0):
    rng = np.random.default_rng(seed)
    base = rng.random(n)
    return pd.DataFrame(
        {
            "base": base,
            "better": base + rng.normal(shift, 0.1, n),
            "same": base + rng.normal(0, 0.1, n),
        }
    )


# --- within a data set -------------------------------------------------------------------


def test_sign_flips_are_enumerated_where_they_are_few():
    differences = np.array([0.3, -0.1, 0.25, 0.4, 0.0])
    sums = [np.dot(signs, differences) for signs in itertools.product([-1, 1], repeat=5)]
    expected = np.mean(np.abs(sums) >= abs(differences.sum()) - 1e-12)
    assert sign_flip_test(differences, 9999, np.random.default_rng(0)) == expected


def test_sign_flips_agree_with_scipy():
    differences = (users()["better"] - users()["base"]).to_numpy()[:40] - 0.03
    found = sign_flip_test(differences, 99_999, np.random.default_rng(0))
    peer = stats.permutation_test(
        (differences,),
        lambda x, axis: x.mean(axis=axis),
        permutation_type="samples",
        n_resamples=99_999,
        vectorized=True,
        batch=10_000,
        rng=np.random.default_rng(1),
    )
    assert 0.05 < peer.pvalue < 0.9  # a value that could disagree
    assert_allclose(found, peer.pvalue, atol=0.008)  # 3.5 standard errors


def test_equal_methods_do_not_differ():
    values = users()
    values["copy"] = values["base"]
    row = paired_tests(values, reference="base").set_index("method").loc["copy"]
    assert row["p_permutation"] == row["p_wilcoxon"] == 1
    assert row["difference"] == row["effect_size"] == row["low"] == row["effect_high"] == 0


def test_wilcoxon_ties_do_not_depend_on_the_last_digit():
    base = np.r_[np.zeros(30), np.ones(20)]
    new = np.r_[np.full(30, 1 / 3), np.full(20, 2 / 3)]
    tests = paired_tests(pd.DataFrame({"base": base, "new": new}), reference="base")
    signs = np.r_[np.ones(30), -np.ones(20)]
    assert_allclose(tests["p_wilcoxon"], stats.wilcoxon(signs, zero_method="pratt").pvalue)
    # one user with large values changes nothing for the others
    rng = np.random.default_rng(0)
    a = rng.gamma(1, 1, 200)
    b = a - 0.05 * rng.random(200)
    for outlier in (0.0, 1e6, 1e10):
        values = pd.DataFrame({"a": np.r_[a, outlier], "b": np.r_[b, outlier]})
        expected = stats.wilcoxon(np.r_[a - b, 0], zero_method="pratt").pvalue
        assert_allclose(paired_tests(values)["p_wilcoxon"], expected)
    # what is 0 but for the last digit is 0
    values = pd.DataFrame({"base": [0.1 + 0.2, 0.5, 0.6], "new": [0.3, 0.5, 0.6]})
    assert paired_tests(values)["p_wilcoxon"][0] == 1


def test_wilcoxon_is_right_with_many_zeros():
    # scipy's exact p-value for Pratt's zeros is not: 2e-133 where nothing differs
    def p_value(*differences):
        values = np.r_[np.zeros(45), differences]
        tests = paired_tests(pd.DataFrame({"base": np.zeros(len(values)), "new": values}))
        return tests["p_wilcoxon"][0]

    assert_allclose(p_value(0.1, 0.1, 0.1, -0.1, -0.1, -0.1), 1)
    # of the 64 combinations of signs two are as extreme
    assert_allclose(p_value(0.1, 0.2, 0.3, 0.4, 0.5, 0.6), 2 / 64, atol=0.02)


def test_the_tests_by_hand_and_by_scipy():
    values = users()
    tests = paired_tests(values, reference="base").set_index("method")
    assert list(tests.index) == ["better", "same"]
    for method, row in tests.iterrows():
        differences = values[method] - values["base"]
        assert_allclose(row["difference"], differences.mean())
        assert_allclose(row["effect_size"], differences.mean() / differences.std(ddof=1))
        assert_allclose(row["p_wilcoxon"], stats.wilcoxon(differences, zero_method="pratt").pvalue)
        # bootstrap and normal interval of a mean of 120 are alike
        half = 1.96 * differences.std(ddof=1) / np.sqrt(120)
        assert_allclose([row["low"], row["high"]], differences.mean() + half * np.array([-1, 1]),
                        atol=half / 8)  # fmt: skip
        assert row["effect_low"] < row["effect_size"] < row["effect_high"]
    assert tests.loc["better", "p_permutation_holm"] < 0.001
    assert tests.loc["better", "low"] > 0
    assert tests.loc["same", "p_permutation"] > 0.05


def test_the_level_of_the_permutation_test_is_kept():
    rng = np.random.default_rng(0)
    # sparse differences, as of hit rates: mostly 0
    p = [
        sign_flip_test(rng.choice([-1.0, 0, 1], 60, p=[0.1, 0.8, 0.1]), 199, rng)
        for _ in range(600)
    ]
    assert np.mean(np.array(p) <= 0.05) < 0.05 + 3.5 * np.sqrt(0.05 * 0.95 / 600)


def test_all_pairs_are_corrected_together():
    tests = paired_tests(users(), n_resamples=999)
    assert list(zip(tests["method"], tests["reference"], strict=True)) == [
        ("better", "base"),
        ("same", "base"),
        ("same", "better"),
    ]
    assert_allclose(tests["p_permutation_holm"], holm(tests["p_permutation"]))


def test_holm_by_hand():
    # sorted .01 .02 .03 .04: times 4, 3, 2, 1, then never falling
    assert_allclose(holm([0.03, 0.01, 0.04, 0.02]), [0.06, 0.04, 0.06, 0.06])
    assert_allclose(holm([0.9, 0.6]), [1, 1])


def test_users_that_only_one_method_judges_are_left_out():
    values = users().astype(float)
    values.loc[:9, "better"] = np.nan
    tests = paired_tests(values, reference="base").set_index("method")
    assert_array_equal(tests["n_users"], [110, 120])
    alone = paired_tests(values[10:], reference="base").set_index("method")
    assert_allclose(
        tests.loc["better"].drop("reference").astype(float).drop(["p_permutation_holm",
        "p_wilcoxon_holm"]),
        alone.loc["better"].drop("reference").astype(float).drop(["p_permutation_holm",
        "p_wilcoxon_holm"]),
    )  # fmt: skip


def test_constant_differences_have_an_infinite_effect():
    values = pd.DataFrame({"a": [1.0, 2, 4], "b": [1.5, 2.5, 4.5]})
    row = paired_tests(values, reference="a").iloc[0]
    assert row["effect_size"] == row["effect_low"] == np.inf
    assert row["low"] == row["high"] == 0.5


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"reference": "other"}, "reference='other' is none of the methods"),
        ({"n_resamples": 10}, "n_resamples must be an int of 99 or more"),
        ({"confidence_level": 95}, "confidence_level must lie between 0 and 1"),
    ],
)
def test_wrong_parameters_of_paired_tests(options, message):
    with pytest.raises(ValueError, match=message):
        paired_tests(users(), **options)


def test_what_cannot_be_paired():
    with pytest.raises(ValueError, match="two methods or more"):
        paired_tests(users()[["base"]])
    apart = pd.DataFrame({"a": [1, np.nan, 2], "b": [np.nan, 1, 3]})
    with pytest.raises(ValueError, match=r"b and a have 1 user\(s\) in common"):
        paired_tests(apart)


# --- across data sets --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("k", "alpha", "q"),  # Demsar 2006, table 5
    [(2, 0.05, 1.960), (3, 0.05, 2.343), (5, 0.05, 2.728), (10, 0.05, 3.164), (3, 0.10, 2.052)],
)
def test_critical_difference_by_the_published_table(k, alpha, q):
    expected = q * np.sqrt(k * (k + 1) / (6 * 14))
    assert_allclose(critical_difference(k, 14, alpha), expected, rtol=4e-4)


def test_friedman_and_nemenyi_agree_with_scikit_posthocs_and_scipy():
    result = friedman_nemenyi(SCORES)
    peer = stats.friedmanchisquare(*SCORES.to_numpy().T)
    assert_allclose([result.statistic, result.p_value], peer)
    expected = scikit_posthocs.posthoc_nemenyi_friedman(SCORES.to_numpy())
    assert_allclose(result.p_values, expected, atol=1e-6)
    assert_array_equal(result.ranks.loc["food"], [1.5, 1.5, 4, 3])
    assert_array_equal(result.ranks.loc["news"], [2, 1, 3, 4])
    assert_allclose(result.mean_ranks, result.ranks.mean())
    # two methods at the critical difference have p = alpha
    apart = np.abs(result.mean_ranks.to_numpy()[:, None] - result.mean_ranks.to_numpy())
    assert_array_equal(result.p_values < 0.05, apart > result.critical_difference)


def test_iman_davenport_by_the_example_of_demsar():
    # 14 data sets, four methods with mean ranks 3.143, 2.000, 2.893, 1.964: chi-square 9.28,
    # F 3.69; reproduced on ranks with these statistics only by formula
    from skattrec.model_selection._statistics import _iman_davenport

    f, p = _iman_davenport(9.28, 14, 4)
    assert_allclose(f, 3.69, atol=0.01)
    assert 0.01 < p < 0.05
    assert _iman_davenport(8.0, 4, 3) == (np.inf, 0.0)


def test_errors_are_better_when_lower():
    assert friedman_nemenyi(-SCORES, higher_is_better=False).ranks.equals(
        friedman_nemenyi(SCORES).ranks
    )


def test_close_scores_tie_on_request():
    result = friedman_nemenyi(SCORES, tie_tolerance=0.025)
    assert_array_equal(result.ranks.loc["films"], [1.5, 1.5, 3.5, 3.5])
    # a chain: .23 .21 .19 are one group though its ends are .04 apart
    assert_array_equal(result.ranks.loc["songs"], [2, 2, 2, 4])
    assert_array_equal(friedman_nemenyi(SCORES).ranks.loc["films"], [1, 2, 4, 3])


def test_everything_tied_is_no_evidence():
    result = friedman_nemenyi(SCORES * 0)
    assert (result.statistic, result.p_value) == (0, 1)
    assert (result.p_values.to_numpy() == 1).all()


def test_metrics_are_no_data_sets():
    # AANMF, table 4: four rows, two data sets
    table = pd.DataFrame(
        [[0.7282, 0.7216, 0.7012], [0.9186, 0.9176, 0.8979], [0.7045, 0.6980, 0.6473],
         [0.8875, 0.8792, 0.8322]],
        index=["ML-100K MAE", "ML-100K RMSE", "ML-1M MAE", "ML-1M RMSE"],
        columns=["ACMF", "AESR", "AANMF+P"],
    )  # fmt: skip
    with pytest.raises(
        ValueError, match=r"row 'ML-100K MAE' .* named after a metric, fold or seed \('MAE'\)"
    ):
        friedman_nemenyi(table, higher_is_better=False)
    levels = table.set_axis(
        pd.MultiIndex.from_product([["ML-100K", "ML-1M"], ["first", "second"]])
    )
    with pytest.raises(ValueError, match="an index of 2 levels"):
        friedman_nemenyi(levels, higher_is_better=False)
    twice = table.set_axis(["ML-100K", "ML-100K", "ML-1M", "ML-1M"])
    with pytest.raises(ValueError, match="several rows named 'ML-100K'"):
        friedman_nemenyi(twice, higher_is_better=False)


@pytest.mark.parametrize(
    ("first", "second"),
    [("HR10", "NDCG10"), ("P@10", "R@10"), ("fold 1", "fold 2"), ("seed_0", "seed_1"),
     ("A, hit rate", "A, mrr"), ("split0", "split1")],
)  # fmt: skip
def test_names_give_metrics_folds_and_seeds_away(first, second):
    scores = SCORES.iloc[:2, :3].set_axis([first, second])
    with pytest.raises(ValueError, match="named after a metric, fold or seed"):
        friedman_nemenyi(scores)


def test_names_of_data_sets_are_none():
    scores = SCORES.iloc[:3, :3].set_axis(["Hit songs", "ML-100K", "Map of Split 2"])
    with pytest.raises(ValueError, match="'Map'"):
        friedman_nemenyi(scores)
    with pytest.warns(UserWarning, match="differ by"):
        friedman_nemenyi(scores.iloc[:2])


def test_too_few_data_sets_are_said_to_be():
    with pytest.warns(UserWarning, match=r"differ by 2 at most, .* difference is 2\.344"):
        result = friedman_nemenyi(SCORES.iloc[:2, :3])
    assert result.critical_difference > 2


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        (SCORES[["A", "B"]], "needed are two and three"),
        (SCORES[:1], "needed are two and three"),
        (SCORES.replace(0.52, np.nan), "scores are missing"),
        (SCORES.set_axis(["A", "A", "B", "C"], axis=1), "must be distinct names of methods"),
    ],
)
def test_scores_that_cannot_be_ranked(scores, message):
    with pytest.raises(ValueError, match=message):
        friedman_nemenyi(scores)


def test_wrong_parameters_of_friedman_nemenyi():
    with pytest.raises(ValueError, match="tie_tolerance must be a number of 0 or more"):
        friedman_nemenyi(SCORES, tie_tolerance=-1)
    with pytest.raises(ValueError, match="alpha must lie between 0 and 1"):
        friedman_nemenyi(SCORES, alpha=5)
    with pytest.raises(ValueError, match="metric selects from comparisons"):
        friedman_nemenyi(SCORES, metric="ndcg@10")
    with pytest.raises(TypeError, match="got a ndarray"):
        friedman_nemenyi(SCORES.to_numpy())
    with pytest.raises(TypeError, match="give results of compare"):
        friedman_nemenyi({"films": [1, 2, 3]})


@pytest.mark.parametrize("value", [0, 1, "", None, np.array([True])])
def test_higher_is_better_is_a_switch(value):
    scores = pd.DataFrame(np.arange(12.0).reshape(4, 3) % 5, columns=list("abc"))
    with pytest.raises(ValueError, match=r"^higher_is_better="):
        friedman_nemenyi(scores, higher_is_better=value)


@pytest.mark.parametrize(
    "reference", [sparse.eye(3), np.array(["a", "b"]), pd.Series(["a"]), ["a"]]
)
def test_a_reference_is_the_name_of_a_method(reference):
    values = pd.DataFrame(np.arange(12.0).reshape(4, 3) % 5, columns=list("abc"))
    with pytest.raises(ValueError, match=r"^reference="):
        paired_tests(values, reference=reference, n_resamples=99)
