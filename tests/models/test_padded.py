"""Texts beside one another in one array: of few different shapes, and never longer than the model reads."""

from __future__ import annotations

from penstock.models.batches import padded


def test_what_is_shorter_is_filled_up_and_marked() -> None:
    ids, mask = padded([[5, 6, 7], [8]], pad_id=9, window=256)

    assert ids.tolist() == [[5, 6, 7, 9, 9, 9, 9, 9], [8, 9, 9, 9, 9, 9, 9, 9]]
    assert mask.tolist() == [[1, 1, 1, 0, 0, 0, 0, 0], [1, 0, 0, 0, 0, 0, 0, 0]]


def test_shapes_are_few() -> None:
    shapes = {padded([[1] * length], pad_id=0, window=256)[0].shape for length in range(1, 257)}

    assert len(shapes) == 32


def test_the_window_is_not_left() -> None:
    assert padded([[1] * 9], pad_id=0, window=10)[0].shape == (1, 10)
    assert padded([[1] * 10], pad_id=0, window=10)[0].shape == (1, 10)
