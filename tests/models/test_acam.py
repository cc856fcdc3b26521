import pickle
import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal

from skattrec import ACAM
from skattrec.data.attributes import AttributeTable
from skattrec.data.columns import read_columns
from skattrec.data.interactions import Interactions, ItemLists
from skattrec.datasets import make_preferences
from skattrec.models.acam import ACAMModule, ACAMScorer
from skattrec.nn import BinaryLoss, SoftmaxLoss
from skattrec.queries import Queries

pytestmark = pytest.mark.usefixtures("one_thread")


# --- the network, alone ------------------------------------------------------------------

N_ITEMS, N_COLD, LENGTH, DIM = 9, 2, 4, 5
UNKNOWN = N_ITEMS + N_COLD  # the code of any other item
CELLS = {  # several values, one value, none; items 9 and 10 are known by attributes alone
    "genre": {0: ["x", "y"], 1: "z", 2: "x", 4: ["y", "z"], 5: "x", 8: "z", 9: ["x", "z"]},
    "maker": {0: "m", 1: "m", 3: "n", 5: ["m", "n"], 6: "n", 10: "m"},
}
DEFAULTS = {
    "history_attention": "ffn",
    "co_attention": "both",
    "slot_pooling": "sum",
    "missing": "unknown",
    "position_weights": False,
}
# every value of every switch, alone and with those it may meet badly
COMBINATIONS = [
    {},
    {"history_attention": "dot"},
    {"history_attention": "mean"},
    {"co_attention": "user"},
    {"co_attention": "item"},
    {"co_attention": "none"},
    {"slot_pooling": "mean"},
    {"slot_pooling": "max"},
    {"slot_pooling": "min"},
    {"missing": "zero"},
    {"missing": "mask"},
    {"position_weights": True},
    {"missing": "mask", "history_attention": "mean"},
    {"missing": "mask", "history_attention": "mean", "position_weights": True},
    {"missing": "mask", "history_attention": "dot", "slot_pooling": "mean"},
    {"missing": "mask", "slot_pooling": "max", "co_attention": "item"},
    {"missing": "mask", "slot_pooling": "min", "co_attention": "user"},
    {"missing": "mask", "slot_pooling": "mean", "co_attention": "both"},
    {"missing": "mask", "co_attention": "none", "position_weights": True},
    {"missing": "zero", "history_attention": "mean", "slot_pooling": "max"},
    {"history_attention": "dot", "co_attention": "item", "position_weights": True},
    {"history_attention": "mean", "co_attention": "user", "position_weights": True},
]
in_all_combinations = pytest.mark.parametrize(
    "switches", COMBINATIONS, ids=lambda c: "-".join(map(str, c.values())) or "paper"
)


def encoded_cells(table=CELLS):
    encoded = AttributeTable(table).encode(np.arange(N_ITEMS + N_COLD))
    return encoded.restrict(N_ITEMS).append_empty_row()


def network(*, attributes=True, kge_weight=0.1, seed=0, **switches):
    """A network in float64 whose weights, biases too, are large enough to matter."""
    generator = torch.Generator().manual_seed(seed)
    module = ACAMModule(
        encoded_cells() if attributes else None,
        N_ITEMS,
        embedding_dim=DIM,
        history_length=LENGTH,
        attention_units=6,
        mlp_hidden=(7, 3),
        kge_weight=kge_weight,
        generator=generator,
        **DEFAULTS | switches,
    ).double()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.6)
    return module.eval()


def some_pairs(n_users=6, n_candidates=None, *, cold=True):
    """Histories of length 0 to 4 and every item as candidate, those in the history too."""
    rng = np.random.default_rng(0)
    n_codes = UNKNOWN + 1 if cold else N_ITEMS
    history = np.stack([rng.permutation(n_codes)[:LENGTH] for _ in range(n_users)])
    mask = np.arange(LENGTH) < np.array([0, 1, 2, 4, 4, 4])[:n_users, None]
    candidates = np.tile(np.arange(n_codes), (n_users, 1))[:, :n_candidates]
    return torch.from_numpy(history), torch.from_numpy(mask), torch.from_numpy(candidates)


class ByHand:
    """Equations 1 to 5, one user, candidate, slot and past item at a time."""

    def __init__(self, module, encoded):
        self.w = {k: v.detach().double().numpy() for k, v in module.state_dict().items()}
        self.switches = {name: getattr(module, name) for name in DEFAULTS if hasattr(module, name)}
        self.encoded = encoded
        self.n_items = module.n_items
        self.fields = range(len(encoded.fields)) if encoded else []

    def value_row(self, field, code):
        return sum(self.encoded.n_values[:field]) + code

    def slots(self, item):
        """Return the item's slot vectors, None where one is missing and masked."""
        entity = self.w["entity"]
        vectors = [entity[item] if item < self.n_items else entity.mean(axis=0)]
        for f in self.fields:
            start, end = self.encoded.indptr[f][item : item + 2]
            codes = self.encoded.indices[f][start:end]
            table = self.w["attributes.table"]
            if len(codes):
                vectors.append(sum(table[self.value_row(f, c)] for c in codes) / len(codes))
            elif self.switches["missing"] == "unknown":
                vectors.append(table[self.value_row(len(self.fields), f)])
            else:
                masked = self.switches["missing"] == "mask"
                vectors.append(None if masked else np.zeros(table.shape[1]))
        return vectors

    def weight(self, past, candidate):
        if self.switches["history_attention"] == "mean":
            return 1.0
        if candidate is None:
            candidate = np.zeros_like(past)
        if self.switches["history_attention"] == "dot":
            return past @ candidate
        both = np.concatenate([past, candidate])
        first = np.concatenate([self.w["ffn_history.weight"], self.w["ffn_candidate.weight"]])
        hidden = np.maximum(both @ first + self.w["ffn_candidate.bias"], 0)
        return hidden @ self.w["ffn_output"] + self.w["ffn_bias"]

    def user_slots(self, history, candidate):
        """Eq. 1; `history` is (lag, item) pairs. None where no past item has the slot."""
        now = self.slots(candidate)
        past = [(lag, self.slots(item)) for lag, item in history if item != candidate]
        user = []
        for s in range(len(now)):
            total, count = np.zeros(len(self.w["entity"][0])), 0
            for lag, vectors in past:
                if vectors[s] is None:
                    continue
                weight = self.weight(vectors[s], now[s])
                if "positions" in self.w:
                    weight = weight * self.w["positions"][s, lag]
                total = total + weight * vectors[s]
                count += 1
            if self.switches["history_attention"] == "mean" and count:
                total = total / count
            absent = self.switches["missing"] == "mask" and s > 0 and not count
            user.append(None if absent else total)
        return user

    def logit(self, history, candidate, dropped=None):
        now, user = self.slots(candidate), self.user_slots(history, candidate)
        if dropped is not None:
            now[dropped] = user[dropped] = None
        E_u = [v for v in user if v is not None]
        E_v = [v for v in now if v is not None]
        parts = []
        if self.switches["co_attention"] != "none":
            K_u = [np.tanh(e @ self.w["user_key.weight"] + self.w["user_key.bias"]) for e in E_u]
            K_v = [np.tanh(e @ self.w["item_key.weight"] + self.w["item_key.bias"]) for e in E_v]
            e_S = np.exp([[ku @ kv for kv in K_v] for ku in K_u])
            U = [
                sum(e_S[i, j] / e_S[:, j].sum() * K_u[i] for i in range(len(K_u)))
                for j in range(len(K_v))
            ]
            V = [
                sum(e_S[i, j] / e_S[i].sum() * K_v[j] for j in range(len(K_v)))
                for i in range(len(K_u))
            ]
            pool = getattr(np, self.switches["slot_pooling"])
            if self.switches["co_attention"] in ("both", "user"):
                parts.append(pool(U, axis=0))
            if self.switches["co_attention"] in ("both", "item"):
                parts.append(pool(V, axis=0))
        x = np.concatenate([*parts, np.mean(E_u, axis=0), np.mean(E_v, axis=0)])
        layers = sorted(
            k.rpartition(".")[0] for k in self.w if k.startswith("mlp") and "bias" in k
        )
        for depth, name in enumerate(layers):  # "mlp.first", "mlp.rest.0", ...
            x = np.maximum(x, 0) if depth else x
            x = x @ self.w[f"{name}.weight"] + self.w[f"{name}.bias"]
        return x[0]

    def logits(self, history, mask, candidates, dropped=None):
        rows = []
        for items, real, now in zip(
            *(t.tolist() for t in (history, mask, candidates)), strict=True
        ):
            past = [(lag, item) for lag, item in enumerate(items) if real[lag]]
            rows.append([self.logit(past, c, dropped) for c in now])
        return np.array(rows)

    def transh(self, head, relation, tail):
        normal = self.w["transh.normals"][relation]
        normal = normal / np.sqrt(normal @ normal)
        head, tail = self.w["entity"][head], self.w["attributes.table"][tail]
        head, tail = (v - (normal @ v) * normal for v in (head, tail))
        off = head + self.w["transh.translations"][relation] - tail
        return off @ off


@in_all_combinations
def test_the_forward_pass_is_equations_1_to_4(switches):
    module, pairs = network(**switches), some_pairs()
    by_hand = ByHand(module, encoded_cells()).logits(*pairs)
    with torch.no_grad():
        assert_allclose(module(*pairs), by_hand, rtol=0, atol=1e-12)
    assert by_hand.std() > 0.01


@in_all_combinations
def test_training_sees_the_same_equations(switches):
    module, pairs = network(**switches).train(), some_pairs(cold=False)
    by_hand = ByHand(module, encoded_cells()).logits(*pairs)
    assert_allclose(module(*pairs).detach(), by_hand, rtol=0, atol=1e-12)


def test_the_forward_pass_without_attributes():
    module, pairs = network(attributes=False), some_pairs()
    by_hand = ByHand(module, None).logits(*pairs)
    with torch.no_grad():
        assert_allclose(module(*pairs), by_hand, rtol=0, atol=1e-12)


@pytest.mark.parametrize("position_weights", [False, True])
@pytest.mark.parametrize("missing", ["unknown", "mask"])
def test_the_forward_pass_has_finite_gradients_everywhere(missing, position_weights):
    module = network(missing=missing, position_weights=position_weights).train()
    module(*some_pairs(cold=False)).sum().backward()
    gradients = {n: p.grad for n, p in module.named_parameters() if not n.startswith("transh")}
    assert all(torch.isfinite(g).all() and (g != 0).any() for g in gradients.values())


# --- the loss, eq. 5 ---------------------------------------------------------------------


def facts_of(items):
    heads, relations, values = encoded_cells().triples(np.array(items))
    offsets = np.array([0, encoded_cells().n_values[0]])
    tails = values + offsets[relations]
    return {"heads": heads, "relations": relations, "tails": tails}


@pytest.mark.parametrize("margin", [False, True])
def test_the_loss_of_a_batch_is_equation_5(margin):
    module = network(kge_weight=0.3).train()
    history, mask, candidates = some_pairs(n_candidates=4, cold=False)
    facts = facts_of([0, 1, 3, 5])
    if margin:
        facts["corrupted"] = np.where(facts["relations"] == 0, 1, 4)
    target = torch.tensor([[1.0, 0, 0, 0]] * 6).double()
    loss = BinaryLoss()(module(history, mask, candidates), target)
    loss = loss + module.penalty(**{k: torch.from_numpy(v) for k, v in facts.items()})

    slow = ByHand(module, encoded_cells())
    probability = 1 / (1 + np.exp(-slow.logits(history, mask, candidates)))
    entropy = -np.log(np.where(target == 1, probability, 1 - probability)).mean()
    triples = list(zip(facts["heads"], facts["relations"], facts["tails"], strict=True))
    distances = [slow.transh(*triple) for triple in triples]
    if margin:
        wrong = [
            slow.transh(h, r, t) for (h, r, _), t in zip(triples, facts["corrupted"], strict=True)
        ]
        distances = [max(0, 1 + d - w) for d, w in zip(distances, wrong, strict=True)]
        assert 0 < np.count_nonzero(distances) < len(distances)
    assert float(loss.detach()) == pytest.approx(entropy + 0.3 * np.mean(distances), rel=1e-12)


def test_there_is_no_penalty_without_facts():
    module = network()
    nothing = {name: torch.zeros(0, dtype=torch.int64) for name in ("heads", "relations", "tails")}
    assert module.penalty(**nothing) == 0
    assert module.penalty() == 0


@pytest.mark.parametrize("kge_weight", [0, 0.0])
def test_kge_weight_0_has_no_transh(kge_weight):
    assert not hasattr(network(kge_weight=kge_weight), "transh")
    assert hasattr(network(kge_weight=1e-3), "transh")
    assert not hasattr(network(attributes=False), "transh")


# --- acceptance facts --------------------------------------------------------------------


@in_all_combinations
def test_masked_padding_leaves_the_score_unchanged(switches):
    module = network(**switches)
    history, mask, candidates = some_pairs()
    with torch.no_grad():
        expected = module(history, mask, candidates)
        # whatever stands in a masked place, an item code or not
        rubbish = history.masked_fill(~mask, 10**6)
        torch.testing.assert_close(module(rubbish, mask, candidates), expected)
        if module.positions is not None:
            return  # the number of places is a size of this model
        for n_more in (1, 30):
            padded = torch.cat([history, torch.full((6, n_more), 3)], dim=1)
            longer = torch.cat([mask, torch.zeros(6, n_more, dtype=torch.bool)], dim=1)
            torch.testing.assert_close(module(padded, longer, candidates), expected)


@pytest.mark.parametrize("history_attention", ["ffn", "dot", "mean"])
@pytest.mark.parametrize("position_weights", [False, True])
def test_the_order_of_the_history_counts_with_position_weights_only(
    position_weights, history_attention
):
    module = network(position_weights=position_weights, history_attention=history_attention)
    history, mask, candidates = (t[3:] for t in some_pairs())  # whole histories
    order = [2, 0, 3, 1]
    with torch.no_grad():
        change = module(history, mask, candidates) - module(history[:, order], mask, candidates)
    if position_weights:
        assert (change.abs().amax(1) > 1e-3).all()
    else:
        assert_allclose(change, 0, atol=1e-13)


def user_matrices(module, history, mask, candidates):
    """E_u of each pair, (slots, users, candidates, dim)."""
    with torch.no_grad():
        attended = module.attend(history, mask, candidates)[1]
        return attended.history_weights @ attended.table[:, attended.history]


@pytest.mark.parametrize("history_attention", ["ffn", "dot", "mean"])
def test_only_mean_attention_makes_the_user_independent_of_the_candidate(history_attention):
    module = network(history_attention=history_attention)
    history, mask, candidates = some_pairs()
    users = user_matrices(module, history, mask, candidates)
    for row in range(1, 6):
        fresh = ~torch.isin(candidates[row], history[row][mask[row]])
        matrix = users[:, row, fresh]
        spread = float((matrix - matrix[:, :1]).abs().max())
        assert spread < 1e-14 if history_attention == "mean" else spread > 1e-2


@in_all_combinations
def test_a_candidate_is_no_part_of_its_own_history(switches):
    module = network(**switches)
    history, mask, _ = some_pairs()
    for row in range(1, 6):
        target = history[row, 0]
        without = mask[row : row + 1].clone()
        without[0, 0] = False
        candidate = target.view(1, 1)
        with torch.no_grad():
            torch.testing.assert_close(
                module(history[row : row + 1], mask[row : row + 1], candidate),
                module(history[row : row + 1], without, candidate),
                rtol=0,
                atol=1e-13,
            )


def test_an_empty_history_has_the_keys_of_nothing():
    history, mask, candidates = some_pairs()
    users = user_matrices(network(), history, mask, candidates)
    assert (users[:, 0] == 0).all()


# --- scoring a catalogue -----------------------------------------------------------------


@in_all_combinations
def test_factorised_scores_are_those_of_the_forward_pass(switches):
    module = network(**switches)
    scorer = ACAMScorer(module, LENGTH)
    scorer._n_users, scorer._n_candidates = 4, 7  # 12 candidates and 6 users: ragged blocks
    history, mask, candidates = some_pairs()
    oldest_first = [h[m].flip(0).numpy() for h, m in zip(history, mask, strict=True)]
    indptr = np.cumsum([0, *map(len, oldest_first)])
    queries = Queries(np.arange(6), ItemLists(indptr, np.concatenate(oldest_first)))
    with torch.inference_mode():
        scores = scorer.score_items(queries, candidates[0].numpy())
        plain = module(history, mask, candidates).numpy()
        warm_only = scorer.score_items(queries, np.array([4, 0, 8]))
        rows = np.repeat(np.arange(6), UNKNOWN + 1)
        pairs = scorer.score_pairs(queries.take(rows), np.tile(np.arange(UNKNOWN + 1), 6))
    assert scores.dtype == np.float64
    assert_allclose(scores, plain, rtol=0, atol=1e-10)
    assert_allclose(warm_only, plain[:, [4, 0, 8]], rtol=0, atol=1e-10)
    assert_allclose(pairs.reshape(6, -1), plain, rtol=1e-5, atol=1e-6)


def test_scoring_nobody_or_nothing_gives_empty_scores():
    scorer = ACAMScorer(network(), LENGTH)
    nobody = Queries(np.zeros(0, dtype=np.int64), ItemLists.empty(0))
    with torch.inference_mode():
        assert scorer.score_items(nobody, np.arange(3)).shape == (0, 3)
        somebody = Queries(np.array([0]), ItemLists.empty(1))
        assert scorer.score_items(somebody, np.zeros(0, dtype=np.int64)).shape == (1, 0)


# --- the estimator -----------------------------------------------------------------------

TINY = {
    "embedding_dim": 8,
    "attention_units": 6,
    "mlp_hidden": (6, 4),
    "history_length": 4,
    "max_epochs": 1,
    "device": "cpu",
    "random_state": 0,
}


@pytest.fixture(scope="module")
def log():
    """40 users, 30 items; a third of the items lack a genre, two are known by the table only."""
    made = make_preferences(40, 32, n_interactions_per_user=7, random_state=0)
    frame = made.item_attributes.to_frame()
    frame.iloc[::3, 0] = [() for _ in frame.iloc[::3, 0]]
    made.frame = frame
    made.cold = frame.index[-2:].to_numpy()
    rows = ~made.data["item"].isin(made.cold).to_numpy()
    made.data, made.target = made.data[rows].reset_index(drop=True), made.target[rows]
    made.liked = (np.asarray(made.target) >= 4).astype(float)
    assert 0 < made.liked.mean() < 1
    return made


def fitted(log, *, y=None, attributes="frame", **params):
    item_attributes = log[attributes] if isinstance(attributes, str) else attributes
    return ACAM(item_attributes=item_attributes, **TINY | params).fit(log.data, y)


@pytest.fixture(scope="module")
def model(log):
    return fitted(log, max_epochs=3)


def catalogue(model):
    """All pairs of the first users with every trained item."""
    users = model.user_ids_[:10]
    pairs = [[u, i] for u in users for i in model.item_ids_]
    return pd.DataFrame(pairs, columns=["user", "item"])


CHOICES = {
    "history_attention": ("ffn", "dot", "mean"),
    "co_attention": ("both", "user", "item", "none"),
    "slot_pooling": ("sum", "mean", "max", "min"),
    "missing": ("unknown", "zero", "mask"),
    "loss": ("binary", "softmax"),
    "negatives": ("auto", "sampled", "labelled"),
    "kge_loss": ("positive", "margin"),
    "position_weights": (False, True),
    "mlp_hidden": ((), (5,), [12, 8, 6]),
    "n_negatives": (1, 7),
    "history_length": (1, 50),
    "kge_weight": (0, 1.0),
    "popularity_exponent": (0, 2.0),
}


@pytest.mark.parametrize(
    ("name", "value"), [(n, v) for n, values in CHOICES.items() for v in values]
)
def test_every_value_of_every_option_trains(log, name, value):
    model = fitted(log, y=log.liked if name == "negatives" else None, **{name: value})
    scores = model.predict(catalogue(model))
    assert np.isfinite(scores).all()
    assert np.std(scores) > 0
    assert np.isfinite(model.history_[0]["train_loss"])
    if model.loss == "binary":
        assert ((scores > 0) & (scores < 1)).all()


# what to change, and what has to be so for it to matter
EFFECTS = [
    ("item_attributes", None, {}),
    ("embedding_dim", 9, {}),
    ("history_length", 2, {}),
    ("history_attention", "dot", {}),
    ("history_attention", "mean", {}),
    ("attention_units", 7, {}),
    ("position_weights", True, {}),
    ("co_attention", "user", {}),
    ("co_attention", "item", {}),
    ("co_attention", "none", {}),
    ("slot_pooling", "mean", {}),
    ("slot_pooling", "max", {}),
    ("slot_pooling", "min", {}),
    ("missing", "zero", {}),
    ("missing", "mask", {}),
    ("mlp_hidden", (6, 5), {}),
    ("loss", "softmax", {}),
    ("n_negatives", 3, {}),
    ("negatives", "sampled", {"labelled": True}),
    ("negatives", "labelled", {}),
    ("popularity_exponent", 0.0, {}),
    ("kge_weight", 0.5, {}),
    ("kge_loss", "margin", {}),
    ("n_averaged", 1, {}),
    ("max_epochs", 2, {}),
    ("batch_size", 16, {}),
    ("lr", 0.02, {}),
    ("weight_decay", 0.1, {}),
    ("validation_fraction", 0.3, {}),
    ("random_state", 1, {}),
    ("positive_threshold", 3.0, {"ratings": True}),
    ("net_params", {"optimizer": torch.optim.SGD}, {}),
]


@pytest.mark.filterwarnings("ignore:y runs from:UserWarning")
@pytest.mark.parametrize(("name", "value", "when"), EFFECTS, ids=lambda v: str(v)[:20])
def test_every_parameter_has_an_effect(log, name, value, when):
    y = log.liked if when.get("labelled") else log.target if when.get("ratings") else None
    if name == "negatives" and value == "labelled":
        with pytest.raises(ValueError, match="negatives='labelled', but no row of y"):
            fitted(log, negatives=value)
        return
    base = ACAM(item_attributes=log.frame, **TINY).fit(log.data, y)
    changed = ACAM(item_attributes=log.frame, **TINY).set_params(**{name: value}).fit(log.data, y)
    pairs = catalogue(base)
    assert np.abs(base.predict(pairs) - changed.predict(pairs)).max() > 1e-6


BAD = {
    **{name: ["nonsense", None] for name in CHOICES if isinstance(CHOICES[name][0], str)},
    "embedding_dim": [0, 2.5, "big", True],
    "position_weights": ["no", None],
    "mlp_hidden": [8, [0], [8.0]],
    "history_length": [0, -1, None],
    "attention_units": [0, 1.0],
    "n_negatives": [0, 0.5],
    "n_averaged": [0, 1.5],
    "kge_weight": [-0.1, float("nan"), float("inf"), "a"],
    "lr": [0, -1.0, True, float("inf")],
    "verbose": ["loud", None],
    "callbacks": [3],
    "popularity_exponent": [-1, float("nan")],
    "unknown_user": ["mean"],
    "unknown_item": ["mean"],
}


@pytest.mark.parametrize(("name", "value"), [(n, v) for n, values in BAD.items() for v in values])
def test_a_bad_parameter_is_named_with_its_choices(log, name, value):
    with pytest.raises(ValueError, match=re.escape(f"{name}={value!r}; ")) as error:
        fitted(log, **{name: value})
    for choice in CHOICES.get(name, ()) if isinstance(value, str) else ():
        assert not isinstance(choice, str) or repr(choice) in str(error.value)


def test_the_loss_falls_over_the_epochs(log):
    losses = [r["train_loss"] for r in fitted(log, max_epochs=6, patience=None).history_]
    assert len(losses) == 6
    assert losses[-1] < losses[0] - 0.05


def test_softmax_scores_are_log_odds_and_order_as_recommend_does(log):
    model = fitted(log, loss="softmax", max_epochs=2)
    users = model.user_ids_[:5]
    items, scores = model.recommend(users, n_recommendations=3)
    pairs = [[u, i] for u, row in zip(users, items, strict=True) for i in row]
    assert_allclose(model.predict(pairs), scores.ravel(), rtol=1e-4, atol=1e-5)


def test_binary_predictions_are_probabilities_of_the_scores(log, model):
    users = model.user_ids_[:3]
    expected = 1 / (1 + np.exp(-model.score_items(users).astype(np.float64)))
    pairs = [[u, i] for u in users for i in model.item_ids_]
    assert_allclose(model.predict(pairs), expected.ravel(), rtol=1e-5, atol=1e-6)


# --- data of all sorts -------------------------------------------------------------------


@pytest.mark.parametrize("missing", ["unknown", "zero", "mask"])
def test_ids_alone_are_enough(log, missing):
    model = fitted(log, attributes=None, missing=missing)
    assert model.fields_ == ("item",)
    assert np.isfinite(model.predict(catalogue(model))).all()
    assert model.explain([[model.user_ids_[0], model.item_ids_[0]]]).fields == ("item",)


@pytest.mark.parametrize("missing", ["unknown", "zero", "mask"])
@pytest.mark.parametrize("kge_loss", ["positive", "margin"])
def test_a_field_that_no_trained_item_has_does_no_harm(log, missing, kge_loss):
    frame = log.frame[["director"]].assign(label=None)
    frame["label"] = frame["label"].astype(object)
    frame.loc[log.cold[0], "label"] = "indie"
    model = fitted(log, attributes=frame, missing=missing, kge_loss=kge_loss)
    assert model.fields_ == ("item", "director", "label")
    pairs = [[model.user_ids_[0], i] for i in [*model.item_ids_, *log.cold]]
    assert np.isfinite(model.predict(pairs)).all()


def test_table_frame_triples_and_dict_give_the_same_model(log):
    long = log.frame.melt(ignore_index=False).explode("value").dropna().reset_index()
    triples = long.set_axis(["entity", "field", "value"], axis=1)
    cells = {
        field: log.frame[field][log.frame[field].map(len) > 0].to_dict() for field in log.frame
    }
    forms = [AttributeTable(log.frame), log.frame, triples, cells]
    models = [fitted(log, attributes=form) for form in forms]
    pairs = catalogue(models[0])
    for model in models[1:]:
        assert model.fields_ == models[0].fields_
        assert_array_equal(model.predict(pairs), models[0].predict(pairs))


def test_the_order_of_the_values_in_a_cell_is_no_information(log):
    turned = log.frame.map(lambda cell: cell[::-1])
    pairs = catalogue(fitted(log))
    assert log.frame.map(len).to_numpy().max() > 1
    assert_array_equal(fitted(log).predict(pairs), fitted(log, attributes=turned).predict(pairs))


def test_attributes_of_other_items_are_refused(log):
    strange = pd.DataFrame({"genre": ["a", "b"]}, index=["z1", "z2"])
    with pytest.raises(ValueError, match=r"item_attributes describes none of the items.*'z1'"):
        fitted(log, attributes=strange)


@pytest.mark.parametrize("loss", ["binary", "softmax"])
@pytest.mark.parametrize("validation_fraction", [0.5, None])
def test_users_of_one_item_train_and_are_served(loss, validation_fraction):
    X = [[user, user % 5] for user in range(20)]
    model = ACAM(**TINY | {"loss": loss, "validation_fraction": validation_fraction}).fit(X)
    assert np.isfinite(model.predict(X)).all()
    assert set(model.history_[0]) == {"epoch", "train_loss", "dur"}  # nobody has one to spare


@pytest.mark.parametrize("loss", ["binary", "softmax"])
def test_users_who_have_met_everything_train(loss):
    X = [[user, item] for user in range(5) for item in range(4)]
    model = ACAM(**TINY | {"loss": loss}).fit(X)
    assert np.isfinite(model.history_[0]["train_loss"])
    assert np.isfinite(model.predict(X)).all()


@pytest.mark.parametrize("missing", ["unknown", "mask"])
def test_an_empty_history_has_a_finite_score(log, missing):
    model = fitted(log, missing=missing)
    strangers = [["nobody", item] for item in [*model.item_ids_, *log.cold, "no such item"]]
    scores = model.predict(strangers)
    assert np.isfinite(scores).all()
    assert np.std(scores) > 0


# --- labels ------------------------------------------------------------------------------


def test_labelled_rows_are_what_auto_trains_on(log):
    pairs = catalogue(fitted(log))
    labelled, auto, sampled = (
        fitted(log, y=log.liked, negatives=n).predict(pairs)
        for n in ("labelled", "auto", "sampled")
    )
    assert_array_equal(labelled, auto)
    assert np.abs(labelled - sampled).max() > 1e-4


def test_auto_without_dislikes_trains_on_sampled_negatives(log):
    everything = np.ones(len(log.data))
    pairs = catalogue(fitted(log))
    auto, sampled = (fitted(log, y=everything, negatives=n) for n in ("auto", "sampled"))
    assert_array_equal(auto.predict(pairs), sampled.predict(pairs))
    assert_array_equal(auto.predict(pairs), fitted(log).predict(pairs))


@pytest.mark.parametrize("y", [None, 1.0])
def test_labelled_negatives_need_labels(log, y):
    with pytest.raises(ValueError, match=r"negatives='labelled'.*negatives='sampled'"):
        fitted(log, y=None if y is None else np.full(len(log.data), y), negatives="labelled")


@pytest.mark.parametrize("loss", ["binary", "softmax"])
def test_what_a_user_dislikes_ends_below_what_they_like(loss):
    # items 0 to 4 are liked, 5 to 9 disliked, by all
    rng = np.random.default_rng(0)
    X = np.array([[user, item] for user in range(20) for item in rng.permutation(10)[:6]])
    y = (X[:, 1] < 5).astype(float)
    settings = TINY | {"loss": loss, "max_epochs": 15, "validation_fraction": None}
    model = ACAM(**settings).fit(X, y)
    scores = model.score_items(model.user_ids_)
    assert scores[:, :5].min(axis=1).mean() > scores[:, 5:].max(axis=1).mean()


# --- items that only the attributes know -------------------------------------------------


def test_cold_items_are_scored_by_their_attributes(log):
    genres = log.frame["director"].map(lambda c: c[0]).unique()[:2]
    new = pd.DataFrame(
        {
            "genre": [(), (), (), ()],
            "director": [(genres[0],), (genres[1],), (genres[0],), ("never met",)],
            "country": [(), (), (), ()],
        },
        index=["first", "second", "like first", "strange"],
    )
    model = fitted(log, attributes=pd.concat([log.frame, new]), max_epochs=2)
    user = model.user_ids_[0]
    first, second, like_first, strange, unknown = model.predict(
        [[user, item] for item in [*new.index, "no such item"]]
    )
    assert first == pytest.approx(like_first, rel=1e-6)
    assert abs(first - second) > 1e-6
    assert abs(first - strange) > 1e-6
    assert strange == pytest.approx(unknown, rel=1e-6)  # its value says nothing
    items, _ = model.recommend([user], candidates=["second", "first"], n_recommendations=2)
    assert list(items[0]) == sorted(
        ["first", "second"], key={"first": -first, "second": -second}.get
    )


def test_values_that_training_never_meets_change_nothing(log, model):
    frame = log.frame.copy()
    frame.at[log.cold[0], "genre"] = ("never met", "nor this")
    more = fitted(log, attributes=frame, max_epochs=3)
    pairs = catalogue(model)
    assert_array_equal(more.predict(pairs), model.predict(pairs))
    shapes = [m.net_.module_.attributes.table.shape for m in (model, more)]
    assert shapes[0] == shapes[1]


def test_an_unknown_item_scores_as_the_mean_item(model):
    module = model.net_.module_
    code = torch.tensor([model._n_codes - 1])
    with torch.no_grad():
        slots = module.item_slots(code)[:, 0]
        torch.testing.assert_close(slots[0], module.entity.mean(0))


# --- determinism, pickling ---------------------------------------------------------------


def test_the_same_seed_gives_the_same_model_and_another_seed_another(log):
    pairs = catalogue(fitted(log))
    first, again, other = (fitted(log, random_state=s).predict(pairs) for s in (3, 3, 4))
    assert_array_equal(first, again)
    assert np.abs(first - other).max() > 1e-4


def test_a_second_fit_forgets_the_first(log):
    once = fitted(log)
    twice = ACAM(item_attributes=log.frame, **TINY).fit(log.data[:100]).fit(log.data)
    pairs = catalogue(once)
    assert_array_equal(once.predict(pairs), twice.predict(pairs))


def test_a_pickled_model_scores_and_explains_the_same(model, log):
    loaded = pickle.loads(pickle.dumps(model))
    pairs = catalogue(model)
    assert_array_equal(loaded.predict(pairs), model.predict(pairs))
    assert_array_equal(loaded.score_items(["nobody"]), model.score_items(["nobody"]))
    cold = [[model.user_ids_[0], item] for item in log.cold]
    assert_array_equal(loaded.predict(cold), model.predict(cold))
    assert str(loaded.explain(cold)) == str(model.explain(cold))


def test_the_block_size_of_scores_is_no_information(model):
    users = model.user_ids_
    whole = model.score_items(users)
    model._scorer._n_users, model._scorer._n_candidates = 3, 7
    try:
        assert_allclose(model.score_items(users), whole, rtol=1e-5, atol=1e-6)
    finally:
        del model._scorer._n_users, model._scorer._n_candidates


# --- co-attention maps -------------------------------------------------------------------


def some_rows(model, n=12):
    return catalogue(model).sample(n, random_state=0)


def test_the_coattention_map_has_named_axes_and_columns_that_sum_to_1(model):
    weights = model.coattention(some_rows(model))
    assert list(weights.index) == list(weights.columns) == list(model.fields_)
    assert model.fields_ == ("item", "genre", "director", "country")
    assert_allclose(weights.sum(axis=0), 1, rtol=1e-5)
    assert (weights.to_numpy() > 0).all()


def test_coattention_is_the_mean_of_the_pairs_maps(model):
    rows = some_rows(model)
    maps = model.explain(rows).attention_maps
    assert maps.shape == (12, 4, 4)
    assert_allclose(model.coattention(rows), maps.mean(axis=0), rtol=1e-5)


@pytest.mark.parametrize("kind", [list, np.array, lambda g: pd.Series(g, index=range(100, 112))])
def test_coattention_of_groups(model, kind):
    rows, groups = some_rows(model), ["b", "a", "a"] * 4
    weights = model.coattention(rows, groups=kind(groups))
    assert list(weights.index.get_level_values(0).unique()) == ["a", "b"]
    for group in ("a", "b"):
        own = rows[[g == group for g in groups]]
        assert_allclose(weights.loc[group], model.coattention(own), rtol=1e-5)


def test_coattention_of_masked_fields_leaves_them_out(log):
    model = fitted(log, missing="mask")
    without = log.frame.index[log.frame["genre"].map(len) == 0]
    item = next(i for i in model.item_ids_ if i in without)
    weights = model.coattention([[model.user_ids_[0], item]])
    assert_array_equal(weights["genre"], 0)
    assert_allclose(weights.drop(columns="genre").sum(axis=0), 1, rtol=1e-5)


def test_coattention_has_errors_that_say_what_is_wrong(log, model):
    rows = some_rows(model)
    with pytest.raises(ValueError, match="groups has 3 entries for 12 pairs"):
        model.coattention(rows, groups=["a", "b", "c"])
    with pytest.raises(ValueError, match="co_attention='none'"):
        fitted(log, co_attention="none").coattention(rows)


def test_coattention_of_fresh_histories(model):
    user, item = model.user_ids_[0], model.item_ids_[0]
    histories = [[user, i] for i in model.item_ids_[5:8]]
    fresh = model.coattention([[user, item]], histories=histories)
    assert not np.allclose(fresh, model.coattention([[user, item]]), atol=1e-6)


# --- explanations ------------------------------------------------------------------------


def liked_by(log, user):
    """The user's items, most recent first."""
    own = log.data[log.data["user"] == user].sort_values("timestamp", kind="stable")
    return own["item"].tolist()[::-1]


def test_an_explanation_shows_the_history_most_recent_first(log, model):
    rows = some_rows(model, 40)
    explanation = model.explain(rows)
    met_itself = 0
    for pair, (user, item) in enumerate(rows[["user", "item"]].to_numpy()):
        window = liked_by(log, user)[:4]
        assert list(explanation.history[pair]) == [i for i in window if i != item]
        met_itself += item in window
    assert met_itself


@pytest.mark.parametrize("switches", [{}, {"missing": "mask"}, {"co_attention": "none"}])
def test_weights_of_an_explanation_sum_to_1(log, switches):
    model = fitted(log, **switches)
    rows = some_rows(model, 40)
    explanation = model.explain(rows)
    assert explanation.field_weights.shape == (40, 4)
    assert_allclose(explanation.field_weights.sum(axis=1), 1, rtol=1e-6)
    assert (explanation.field_weights >= 0).all()
    for past, weights, by_field in zip(
        explanation.history,
        explanation.history_weights,
        explanation.history_field_weights,
        strict=True,
    ):
        assert weights.shape == (len(past),)
        assert by_field.shape == (len(past), 4)
        if len(past):
            assert weights.sum() == pytest.approx(1)
            assert_allclose(weights, by_field.sum(axis=1) / by_field.sum(), rtol=1e-5)
    assert_allclose(explanation.scores, model.predict(rows), rtol=1e-6)


def test_history_weights_are_the_lengths_of_what_past_items_add(log, model):
    user, item = model.user_ids_[0], model.item_ids_[-1]
    slow = ByHand(model.net_.module_, model._encoded)
    codes = {i: c for c, i in enumerate(model.item_ids_)}
    past = [i for i in liked_by(log, user)[:4] if i != item]
    now = slow.slots(codes[item])
    expected = [
        [
            np.linalg.norm(slow.weight(vector, now[s]) * vector)
            for s, vector in enumerate(slow.slots(codes[i]))
        ]
        for i in past
    ]
    explanation = model.explain([[user, item]])
    assert_allclose(explanation.history_field_weights[0], expected, rtol=1e-4)


def test_shared_values_are_what_both_items_have(log, model):
    rows = some_rows(model, 30)
    explanation = model.explain(rows)
    some = 0
    for pair, item in enumerate(rows["item"]):
        assert set(explanation.shared_values[pair]) == set(explanation.history[pair])
        for past, shared in explanation.shared_values[pair].items():
            expected = {
                field: sorted(set(log.frame.at[item, field]) & set(log.frame.at[past, field]))
                for field in log.frame
            }
            expected = {field: values for field, values in expected.items() if values}
            assert {field: list(values) for field, values in shared.items()} == expected
            some += len(expected)
    assert some


def with_one_field_above_all(told):
    """Return an explanation in which the attribute with the most weight stands out."""
    weights = np.full_like(told.field_weights, 0.1)
    top = 1 + told.field_weights[:, 1:].argmax(axis=1)
    weights[np.arange(len(told)), top] = 0.7
    return replace(told, field_weights=weights).named({})


def test_the_sentence_names_the_item_and_what_spoke_for_it(model):
    rows = some_rows(model, 10)
    explanation = with_one_field_above_all(model.explain(rows))
    for pair, item in enumerate(rows["item"]):
        text, past = explanation.sentences[pair], explanation.history[pair]
        weights = dict(zip(past, explanation.history_weights[pair], strict=True))
        field_weights = dict(zip(explanation.fields, explanation.field_weights[pair], strict=True))
        del field_weights["item"]
        field = max(field_weights, key=field_weights.get)
        shared = explanation.shared_values[pair]
        assert text.startswith(f"{item} is recommended for its {field}")
        alike = {i: w for i, w in weights.items() if field in shared[i]}
        best = max(alike or weights, key=(alike or weights).get)
        if alike:
            values = ", ".join(shared[best][field])
            assert text.endswith(f"its {field} ({values}), like {best}.")
        else:
            assert text.endswith(f"its {field}; of the past items {best} counted most.")
    assert str(explanation) == "\n".join(explanation.sentences)


def test_item_names_stand_in_sentences(model):
    rows = some_rows(model, 5)
    names = {item: f"Film {n}" for n, item in enumerate(model.item_ids_)}
    plain, named = model.explain(rows), model.explain(rows, item_names=names)
    for item, before, after in zip(rows["item"], plain.sentences, named.sentences, strict=True):
        assert after.startswith(f"{names[item]} is recommended")
        assert str(item) in before
        assert str(item) not in after
    assert_array_equal(plain.history_weights[0], named.history_weights[0])


def test_a_pair_without_history_is_explained_by_nothing(model):
    explanation = model.explain([["nobody", model.item_ids_[0]]])
    assert explanation.history[0].size == 0
    assert "without a history" in explanation.sentences[0]
    assert_allclose(explanation.field_weights.sum(), 1, rtol=1e-6)


def test_an_explanation_of_fresh_histories_and_cold_items(log, model):
    past = [*model.item_ids_[3:5], log.cold[1]]
    explanation = model.explain(
        [["new user", log.cold[0]]], histories=[["new user", item] for item in past]
    )
    assert list(explanation.history[0]) == past[::-1]
    assert np.isfinite(explanation.scores).all()


# --- taking a field away -----------------------------------------------------------------


@pytest.mark.parametrize("missing", ["unknown", "zero", "mask"])
@pytest.mark.parametrize("field", ["genre", "director"])
def test_predict_without_a_field_is_the_forward_pass_without_its_slot(log, missing, field):
    model = fitted(log, missing=missing, max_epochs=2)
    slow = ByHand(model.net_.module_, model._encoded)
    rows = some_rows(model, 15)
    codes = {i: c for c, i in enumerate(model.item_ids_)}
    expected = []
    for user, item in rows[["user", "item"]].to_numpy():
        history = list(enumerate(codes[i] for i in liked_by(log, user)[:4]))
        logit = slow.logit(history, codes[item], dropped=model.fields_.index(field))
        expected.append(1 / (1 + np.exp(-logit)))
    without = model.predict_without(rows, field)
    assert_allclose(without, expected, rtol=1e-4)
    assert np.abs(without - model.predict(rows)).max() > 1e-5


@pytest.mark.parametrize("history_attention", ["ffn", "mean"])
@pytest.mark.parametrize("missing", ["unknown", "mask"])
def test_predict_without_is_finite_where_nothing_else_is_left(missing, history_attention, log):
    bare = log.frame.iloc[:6].map(lambda cell: ())
    frame = pd.concat([bare, log.frame.iloc[6:]])
    model = fitted(log, attributes=frame, missing=missing, history_attention=history_attention)
    users = ["nobody", *model.user_ids_[:5]]
    pairs = [[user, item] for user in users for item in model.item_ids_]
    for field in model.fields_:
        assert np.isfinite(model.predict_without(pairs, field)).all()


@pytest.mark.parametrize("co_attention", ["both", "none"])
@pytest.mark.parametrize("slot_pooling", ["sum", "mean", "max"])
def test_predict_without_its_only_field_is_finite(log, slot_pooling, co_attention):
    model = fitted(log, attributes=None, slot_pooling=slot_pooling, co_attention=co_attention)
    assert np.isfinite(model.predict_without(catalogue(model), "item")).all()


def test_predict_without_takes_a_field_a_pair_and_refuses_others(model):
    rows = some_rows(model, 3)
    mixed = model.predict_without(rows, ["genre", "item", "director"])
    alone = [model.predict_without(rows, f) for f in ("genre", "item", "director")]
    assert_allclose(mixed, [alone[0][0], alone[1][1], alone[2][2]], rtol=1e-5)
    with pytest.raises(ValueError, match=r"'colour'.*genre"):
        model.predict_without(rows, "colour")


# --- what the loss does ------------------------------------------------------------------


@pytest.mark.parametrize("loss", [BinaryLoss(), SoftmaxLoss()])
def test_a_step_of_training_raises_the_positive_over_its_negatives(loss):
    module = network().train()
    history, mask, candidates = some_pairs(n_candidates=4, cold=False)
    target = torch.tensor([[1.0, 0, 0, 0]] * 6).double()

    def value():
        return loss(module(history, mask, candidates), target)

    before = value()
    before.backward()
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.grad is not None:
                parameter -= 1e-3 * parameter.grad
    assert float(value().detach()) < float(before.detach())


def test_margin_training_pulls_true_facts_below_corrupted_ones(log):
    """Trained on facts alone, a true tail ends nearer to its head than other values do."""
    model = fitted(
        log, kge_weight=50.0, kge_loss="margin", max_epochs=15, validation_fraction=None
    )
    module, encoded = model.net_.module_, model._encoded
    heads, relations, values = encoded.triples(np.arange(len(model.item_ids_)))
    sizes = np.array(encoded.n_values)
    offsets = np.cumsum(sizes) - sizes
    other = (values + 1) % sizes[relations]
    head, relation = module.entity[torch.from_numpy(heads)], torch.from_numpy(relations)
    with torch.no_grad():
        true, false = (
            module.transh(head, relation, module.attributes.table[offsets[relations] + v])
            for v in (values, other)
        )
    assert float((true < false).double().mean()) > 0.8


@pytest.mark.parametrize("co_attention", ["both", "user", "item"])
def test_field_weights_come_from_the_map_that_the_prediction_uses(log, co_attention):
    model = ACAM(item_attributes=log.item_attributes, co_attention=co_attention, **TINY).fit(
        log.data
    )
    rows = some_rows(model, 6)
    explanation = model.explain(rows)
    sides = 2 if co_attention == "item" else 1  # rows of the item's map, else columns
    assert_allclose(explanation.attention_maps.sum(axis=sides), 1, rtol=1e-5)
    total = explanation.attention_maps.sum(axis=3 - sides)
    expected = total / total.sum(axis=1, keepdims=True)
    assert_allclose(explanation.field_weights, expected, rtol=1e-5)


def test_a_sentence_names_no_field_that_the_item_lacks(log):
    frame = log.item_attributes.to_frame()
    frame.iloc[::2, 0] = [()] * len(frame.iloc[::2])
    model = ACAM(item_attributes=frame, **TINY).fit(log.data)
    explanation = model.explain(log.data)
    lacking = set(frame.index[::2])
    assert lacking & set(explanation.items)
    for item, text in zip(explanation.items, explanation.sentences, strict=True):
        assert item not in lacking or f"for its {frame.columns[0]}" not in text


def test_held_out_positives_are_in_no_training_history(log):
    interactions = Interactions(read_columns(log.data))
    rows = np.random.default_rng(0).random(len(interactions)) < 0.7
    windows, mask = interactions.windows(rows).cut(4)
    held_out = set(
        zip(*(c[~rows] for c in (interactions.user_codes, interactions.item_codes)), strict=True)
    )
    users = np.repeat(interactions.user_codes[:, None], 4, axis=1)
    assert not held_out & set(zip(users[mask], windows[mask], strict=True))


# --- items that are described after fit ------------------------------------------------------


@pytest.mark.parametrize("missing", ["unknown", "zero", "mask"])
def test_items_described_later_score_as_if_the_table_had_had_them(missing):
    log = make_preferences(random_state=0)
    frame = log.item_attributes.to_frame()
    table, later = AttributeTable(frame.iloc[:-3]), AttributeTable(frame.iloc[-3:])
    data = log.data[~log.data["item"].isin(later.ids)]
    settings = {"embedding_dim": 8, "max_epochs": 1, "missing": missing, "random_state": 0}
    full = ACAM(item_attributes=log.item_attributes, **settings).fit(data)
    lean = ACAM(item_attributes=table, **settings).fit(data)
    users, cold = full.user_ids_[:4], list(later.ids)
    options = {"n_recommendations": 3, "candidates": cold}
    expected = full.recommend(users, **options)
    got = lean.recommend(users, **options, item_attributes=later)
    np.testing.assert_array_equal(got[0], expected[0])
    np.testing.assert_allclose(got[1], expected[1], rtol=1e-5)
    pair = [[users[0], cold[0]]]
    explained = lean.explain(pair, item_attributes=later)
    assert explained.sentences == full.explain(pair).sentences
    np.testing.assert_allclose(explained.scores, full.predict(pair), rtol=1e-5)


def test_a_window_longer_than_every_history_costs_nothing(log):
    longest = int(log.data["user"].value_counts().max())
    whole, endless = (fitted(log, history_length=n) for n in (longest, 100_000))
    pairs = catalogue(whole)
    np.testing.assert_array_equal(endless.predict(pairs), whole.predict(pairs))
    told = endless.explain(pairs[:3])
    assert max(map(len, told.history)) <= longest


@pytest.mark.parametrize("groups", [{1, 2}, 3, "abc", {"a": 1}, [[1]] * 12, [object()] * 11 + [1]])
def test_groups_that_are_no_labels_are_named(model, groups):
    with pytest.raises(TypeError, match=r"^groups must "):
        model.coattention(some_rows(model), groups=groups)


def test_groups_come_in_the_order_of_their_categories(model):
    groups = pd.Categorical(["b", "a", "a"] * 4, categories=["b", "a"], ordered=True)
    weights = model.coattention(some_rows(model), groups=groups)
    assert list(weights.index.get_level_values(0).unique()) == ["b", "a"]


@pytest.mark.parametrize("fields", [{}, 3, [["genre"]], None])
def test_fields_to_leave_out_are_names(model, fields):
    rows = some_rows(model)
    with pytest.raises((TypeError, ValueError), match=r"^fields "):
        model.predict_without(rows, fields)
