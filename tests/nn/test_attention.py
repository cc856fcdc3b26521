import numpy as np
import pytest
import torch

from skattrec.nn import attention, co_attention_maps, feed_forward_weights
from skattrec.nn.attention import slot_mean


def draw(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def naive_weights(history, candidates, output):
    pairs = history[:, None, :, :] + candidates[:, :, None, :]
    return torch.relu(pairs) @ output


def with_gradients(function, *arrays):
    leaves = [a.clone().requires_grad_() for a in arrays]
    result = function(*leaves)
    upstream = draw(*result.shape, seed=9)
    result.backward(upstream)
    return result.detach(), *(leaf.grad for leaf in leaves)


# --- feed-forward weights ----------------------------------------------------------------


# 3 * 4 elements lie in the sums of one group: chunks of 1, 2 and all 5 groups
@pytest.mark.parametrize("chunk_elements", [1, 24, 1 << 18])
def test_feed_forward_weights_equal_the_naive_form(monkeypatch, chunk_elements):
    monkeypatch.setattr(attention, "_CHUNK_ELEMENTS", chunk_elements)
    arrays = draw(5, 3, 4), draw(5, 2, 4, seed=1), draw(4, seed=2)
    fast = with_gradients(feed_forward_weights, *arrays)
    naive = with_gradients(naive_weights, *arrays)
    assert fast[0].shape == (5, 2, 3)
    for ours, expected in zip(fast, naive, strict=True):
        torch.testing.assert_close(ours, expected, atol=1e-13, rtol=1e-13)


@pytest.mark.parametrize("chunk_elements", [1, 24, 1 << 18])
def test_gradient_of_feed_forward_weights_is_the_numerical_one(monkeypatch, chunk_elements):
    monkeypatch.setattr(attention, "_CHUNK_ELEMENTS", chunk_elements)
    arrays = draw(5, 3, 4), draw(5, 2, 4, seed=1), draw(4, seed=2)
    # ReLU has no derivative at 0: finite differences must not reach it
    assert (arrays[0][:, None] + arrays[1][:, :, None]).abs().min() > 1e-4
    assert torch.autograd.gradcheck(feed_forward_weights, [a.requires_grad_() for a in arrays])


def test_feed_forward_weights_by_hand():
    history = torch.tensor([[[1.0, -2.0], [0.0, 3.0]]])
    candidates = torch.tensor([[[1.0, 1.0]]])
    # ReLU([2, -1]) . [10, 100] and ReLU([1, 4]) . [10, 100]
    weights = feed_forward_weights(history, candidates, torch.tensor([10.0, 100.0]))
    assert weights.tolist() == [[[20.0, 410.0]]]


# --- co-attention ------------------------------------------------------------------------


def masks(n=6, n_user=4, n_item=3):
    """Random presence; row 0 has no user slot, row 1 no item slot, row 2 neither."""
    rng = np.random.default_rng(0)
    user, item = rng.random((n, n_user)) < 0.6, rng.random((n, n_item)) < 0.6
    user[3:, 0] = item[3:, 0] = True
    user[0] = user[2] = item[1] = item[2] = False
    item[0] = user[1] = True
    return torch.from_numpy(user), torch.from_numpy(item)


def test_columns_of_the_user_map_and_rows_of_the_item_map_sum_to_1():
    by_user, by_item = co_attention_maps(draw(2, 5, 4, 3))
    assert by_user.shape == by_item.shape == (2, 5, 4, 3)
    torch.testing.assert_close(by_user.sum(-2), torch.ones(2, 5, 3, dtype=torch.float64))
    torch.testing.assert_close(by_item.sum(-1), torch.ones(2, 5, 4, dtype=torch.float64))


def test_masked_maps_are_the_softmax_over_what_is_present():
    similarity = draw(6, 4, 3)
    user, item = masks()
    by_user, by_item = co_attention_maps(similarity, user, item)
    for b in range(6):
        expected_user, expected_item = np.zeros((4, 3)), np.zeros((4, 3))
        slots_user, slots_item = np.flatnonzero(user[b]), np.flatnonzero(item[b])
        for j in slots_item:
            e = np.exp(similarity[b, slots_user, j].numpy())
            expected_user[slots_user, j] = e / e.sum()
        for i in slots_user:
            e = np.exp(similarity[b, i, slots_item].numpy())
            expected_item[i, slots_item] = e / e.sum()
        np.testing.assert_allclose(by_user[b], expected_user, atol=1e-14)
        np.testing.assert_allclose(by_item[b], expected_item, atol=1e-14)


def test_all_slots_present_is_the_same_as_no_mask():
    similarity = draw(6, 4, 3)
    everything = torch.ones(6, 4, dtype=torch.bool), torch.ones(6, 3, dtype=torch.bool)
    masked = co_attention_maps(similarity, *everything)
    for ours, plain in zip(masked, co_attention_maps(similarity), strict=True):
        torch.testing.assert_close(ours, plain)


def test_pairs_without_any_slot_give_zero_and_finite_gradients():
    similarity = draw(6, 4, 3).requires_grad_()
    user, item = masks()
    maps = co_attention_maps(similarity, user, item)
    assert all((m[:3] == 0).all() for m in maps)
    sum((m * draw(*m.shape, seed=3)).sum() for m in maps).backward()
    assert torch.isfinite(similarity.grad).all()
    assert (similarity.grad[:3] == 0).all()
    assert (similarity.grad[3:] != 0).any()


@pytest.mark.parametrize("masked", [False, True])
def test_collapsed_weights_pool_as_the_adjusted_matrices_do(masked):
    similarity, user_values, item_values = draw(6, 4, 3), draw(6, 4, 5), draw(6, 3, 5)
    present = masks() if masked else (None, None)
    by_user, by_item = co_attention_maps(similarity, *present)
    user_weights, item_weights = by_user.sum(-1), by_item.sum(-2)
    adjusted_user = by_user.transpose(-1, -2) @ user_values  # U: a row per item slot
    adjusted_item = by_item @ item_values  # V: a row per user slot
    torch.testing.assert_close(
        (user_weights[..., None] * user_values).sum(1), adjusted_user.sum(1)
    )
    torch.testing.assert_close(
        (item_weights[..., None] * item_values).sum(1), adjusted_item.sum(1)
    )


def test_collapsed_weights_sum_to_the_number_of_slots_that_look():
    by_user, by_item = co_attention_maps(draw(6, 4, 3), *masks())
    user_weights, item_weights = by_user.sum(-1), by_item.sum(-2)
    user, item = masks()
    both = user.any(1) & item.any(1)
    torch.testing.assert_close(user_weights.sum(1), (item.sum(1) * both).double())
    torch.testing.assert_close(item_weights.sum(1), (user.sum(1) * both).double())


# --- mean over slots ---------------------------------------------------------------------


def test_slot_mean_is_over_the_present_slots_only():
    slots = draw(3, 2, 1, 4)
    present = torch.tensor([[[True], [True]], [[False], [True]], [[True], [False]]])
    mean = slot_mean(slots, present)
    torch.testing.assert_close(mean[0, 0], (slots[0, 0, 0] + slots[2, 0, 0]) / 2)
    torch.testing.assert_close(mean[1, 0], (slots[0, 1, 0] + slots[1, 1, 0]) / 2)
    torch.testing.assert_close(slot_mean(slots, None), (slots[0] + slots[1] + slots[2]) / 3)


# feed_forward_pooling


def pooling_inputs(n_factor_slots=3):
    rng = torch.Generator().manual_seed(3)

    def draw(*shape):
        return torch.randn(*shape, generator=rng, dtype=torch.float64).requires_grad_()

    slots, n, dim, units, batch, n_candidates, length = 3, 5, 4, 6, 7, 2, 3
    history = torch.randint(n, (batch, length), generator=rng)
    floats = (
        draw(slots, n, dim),
        draw(slots, n, units),
        draw(slots, batch, n_candidates, units),
        draw(units),
        draw(()),
        draw(n_factor_slots, batch, n_candidates, length),
    )
    return floats, history


@pytest.mark.parametrize("n_factor_slots", [1, 3])
def test_feed_forward_pooling_is_weights_times_past(monkeypatch, n_factor_slots):
    monkeypatch.setattr(attention, "_CHUNK_ELEMENTS", 40)  # several chunks
    (table, first, candidates, output, bias, factor), history = pooling_inputs(n_factor_slots)
    user, weights = attention.feed_forward_pooling(
        table, first, candidates, output, bias, factor, history
    )
    hidden = torch.relu(first[:, history][:, :, None] + candidates[:, :, :, None])
    expected = (hidden @ output + bias) * factor
    torch.testing.assert_close(weights, expected, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(user, expected @ table[:, history], rtol=1e-12, atol=1e-12)
    assert not weights.requires_grad


@pytest.mark.parametrize("n_factor_slots", [1, 3])
def test_feed_forward_pooling_has_the_right_gradients(monkeypatch, n_factor_slots):
    monkeypatch.setattr(attention, "_CHUNK_ELEMENTS", 40)
    floats, history = pooling_inputs(n_factor_slots)

    def pooled(*inputs):
        return attention.feed_forward_pooling(*inputs, history)[0]

    assert torch.autograd.gradcheck(pooled, floats, atol=1e-6)
