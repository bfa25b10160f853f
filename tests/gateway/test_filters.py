from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.core.errors import InvalidRequest
from penstock.core.types import Comparison, Compound
from penstock.gateway.filters import MAX_DEPTH, MAX_FILTERS, read_filters

EQ = {"type": "eq", "key": "a", "value": "b"}


def nested(depth: int) -> dict[str, Any]:
    filters: dict[str, Any] = EQ
    for _ in range(depth - 1):
        filters = {"type": "and", "filters": [filters]}
    return filters


def test_none_means_none() -> None:
    assert read_filters(None) is None


def test_comparisons_and_compounds_are_read() -> None:
    json = {"type": "or", "filters": [EQ, {"type": "in", "key": "n", "value": [1, "x"]}]}

    assert read_filters(json) == Compound(
        type="or",
        filters=(
            Comparison(type="eq", key="a", value="b"),
            Comparison(type="in", key="n", value=(1.0, "x")),
        ),
    )


def test_numbers_become_floats_and_booleans_stay() -> None:
    number = read_filters({"type": "gte", "key": "n", "value": 3})
    flag = read_filters({"type": "eq", "key": "n", "value": True})

    assert isinstance(number, Comparison)
    assert isinstance(flag, Comparison)
    assert (type(number.value), flag.value) == (float, True)


@pytest.mark.parametrize(
    ("json", "param"),
    [
        ([], "filters"),
        ({}, "filters.type"),
        ({"type": ["eq"]}, "filters.type"),
        ({"type": "eq"}, "filters.key"),
        ({"type": "eq", "key": ""}, "filters.key"),
        ({"type": "eq", "key": "k" * 65, "value": 1}, "filters.key"),
        ({"type": "eq", "key": "k"}, "filters.value"),
        ({"type": "eq", "key": "k", "value": None}, "filters.value"),
        ({"type": "eq", "key": "k", "value": [1]}, "filters.value"),
        ({"type": "eq", "key": "k", "value": 10**400}, "filters.value"),
        ({"type": "eq", "key": "k", "value": "v" * 513}, "filters.value"),
        ({"type": "gt", "key": "k", "value": "v"}, "filters.value"),
        ({"type": "gt", "key": "k", "value": True}, "filters.value"),
        ({"type": "in", "key": "k", "value": "v"}, "filters.value"),
        ({"type": "in", "key": "k", "value": []}, "filters.value"),
        ({"type": "in", "key": "k", "value": [1, True]}, "filters.value[1]"),
        ({"type": "nin", "key": "k", "value": [1, [2]]}, "filters.value[1]"),
        ({"type": "and"}, "filters.filters"),
        ({"type": "and", "filters": []}, "filters.filters"),
        ({"type": "and", "filters": [EQ, {"type": "eq", "key": 1, "value": 1}]}, "filters.filters[1].key"),
        ({**EQ, "extra": 1}, "filters.extra"),
        ({"type": "or", "filters": [EQ], "not": 1}, "filters.not"),
    ],
)
def test_a_wrong_filter_names_its_field(json: Any, param: str) -> None:
    with pytest.raises(InvalidRequest) as wrong:
        read_filters(json)

    assert wrong.value.param == param


def test_depth_and_size_are_bounded() -> None:
    assert read_filters(nested(MAX_DEPTH)) is not None
    with pytest.raises(InvalidRequest):
        read_filters(nested(MAX_DEPTH + 1))
    with pytest.raises(InvalidRequest):
        read_filters({"type": "and", "filters": [EQ] * MAX_FILTERS})


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["type", "key", "value", "filters"]) | st.text(max_size=3), inner, max_size=4)
    ),
    max_leaves=10,
)


@given(ANYTHING)
def test_anything_is_read_or_refused(json: Any) -> None:
    # No other error may come out: it would be a 500.
    with contextlib.suppress(InvalidRequest):
        read_filters(json)
