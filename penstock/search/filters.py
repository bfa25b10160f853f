"""Filters in OpenAI's shape become filters of the shard.

| filter | matches a chunk whose file has the attribute and … | without the attribute |
| --- | --- | --- |
| eq, in | it equals the value, one of the values | no |
| ne, nin | it differs from the value, from all of the values | yes |
| gt gte lt lte | it is a number in that range | no |

`ne` is the opposite of `eq`, `nin` of `in`. Values of different types are never equal: true is not 1, "1" is not 1.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

from qdrant_edge import FieldCondition, MatchAny, MatchValue, RangeFloat
from qdrant_edge import Filter as ShardFilter

from penstock.core.errors import InvalidRequest
from penstock.core.types import Attributes, AttributeValue, Comparison, Compound, Filter

if TYPE_CHECKING:
    from qdrant_edge import ConditionType  # a name of the type stubs only

FILE, TOKENS, GROUPS, NUMBERS, WRITE = "f", "t", "g", "n", "w"
"""Payload fields that filters read. One keyword index holds every attribute's value as a token, so a new
attribute needs no new index; only ranges need one per numeric attribute."""

FILE_KEY = "fk"
"""Payload field with the key of the chunk's file, which has the index that `FILE` has not."""

EVERYONE = "*"
"""Stands in the groups field of a chunk that has no access list."""

MAX_DEPTH = 16


def attribute_token(key: str, value: AttributeValue) -> str:
    """One attribute and its value as a keyword. The key's length keeps `a=b` + `c` apart from `a` + `b=c`."""
    if isinstance(value, bool):
        return f"{len(key)}:{key}=b{int(value)}"
    if isinstance(value, (int, float)):
        return f"{len(key)}:{key}=n{float(value)!r}"
    return f"{len(key)}:{key}=s{value}"


def key_of(text: str) -> int:
    """A number to look a text up by, small enough to be exact as a float. Two texts may share one.

    In the shard's memory an index of numbers takes 110 bytes for each text, one of the texts themselves 390.
    """
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=6).digest())


def keyed(field: str, text: str) -> FieldCondition:
    """Whatever has the text's key in that field. Check what is found: a few others may have it too."""
    key = float(key_of(text))
    return FieldCondition(field, range=RangeFloat(gte=key, lte=key))


def of_file(file_id: str) -> list[ConditionType]:
    """The chunks of a file: the index finds them by the key, and what is not of this file is left out."""
    return [keyed(FILE_KEY, file_id), FieldCondition(FILE, match=MatchValue(file_id))]


def number_field(key: str) -> str:
    """The payload field of a numeric attribute; any key becomes a plain word."""
    return f"{NUMBERS}_{key.encode().hex()}"


def numbers(attributes: Attributes) -> dict[str, float]:
    """The numeric attributes by their payload field."""
    return {
        number_field(key): float(value)
        for key, value in attributes.items()
        if isinstance(value, (int, float)) and not isinstance(value, bool)
    }


def group_tokens(groups: Sequence[str]) -> list[str]:
    """What stands in the groups field of a chunk."""
    return [f"g:{group}" for group in groups] or [EVERYONE]


def shard_filter(
    filters: Filter | None, groups: Sequence[str] | None, *, unfinished: int | None = None
) -> ShardFilter | None:
    """Everything a search must respect, as one filter; None where nothing is excluded.

    `unfinished` is the number of a write whose chunks are not to be seen yet.
    """
    if filters is not None:
        check_filter(filters)
    must: list[ConditionType] = []
    if filters is not None:
        must.append(_condition(filters))
    if groups is not None:
        must.append(FieldCondition(GROUPS, match=MatchAny([EVERYONE, *(f"g:{group}" for group in groups)])))
    must_not: list[ConditionType] = []
    if unfinished is not None:
        must_not.append(FieldCondition(WRITE, match=MatchValue(unfinished)))
    if not must and not must_not:
        return None
    return ShardFilter(must=must or None, must_not=must_not or None)


def check_filter(filters: Filter, *, depth: int = 1) -> None:
    """Raise InvalidRequest where a filter makes no sense."""
    if depth > MAX_DEPTH:
        raise InvalidRequest(f"Filters may be nested {MAX_DEPTH} deep at most.", param="filters")
    if isinstance(filters, Compound):
        if not filters.filters:
            raise InvalidRequest(f"'{filters.type}' needs at least one filter inside.", param="filters")
        for each in filters.filters:
            check_filter(each, depth=depth + 1)
        return
    is_list, is_number = isinstance(filters.value, tuple), not isinstance(filters.value, (bool, str, tuple))
    if filters.type in ("in", "nin") and not is_list:
        raise InvalidRequest(f"'{filters.type}' takes a list of values.", param="filters")
    if filters.type in ("eq", "ne") and is_list:
        raise InvalidRequest(f"'{filters.type}' takes one value; use 'in' or 'nin'.", param="filters")
    if filters.type in ("gt", "gte", "lt", "lte") and not is_number:
        raise InvalidRequest(f"'{filters.type}' compares numbers, not {filters.value!r}.", param="filters")


def _condition(filters: Filter) -> ShardFilter:
    if isinstance(filters, Comparison):
        return _comparison(filters)
    inner: list[ConditionType] = [_condition(each) for each in filters.filters]
    return ShardFilter(must=inner) if filters.type == "and" else ShardFilter(should=inner)


def _comparison(comparison: Comparison) -> ShardFilter:
    key, value = comparison.key, comparison.value
    if comparison.type in ("gt", "gte", "lt", "lte"):
        assert not isinstance(value, (str, tuple)), "checked"
        return ShardFilter(
            must=[FieldCondition(number_field(key), range=RangeFloat(**{comparison.type: float(value)}))]
        )
    values = value if isinstance(value, tuple) else (value,)
    condition = FieldCondition(TOKENS, match=MatchAny([attribute_token(key, each) for each in values]))
    return ShardFilter(must=[condition]) if comparison.type in ("eq", "in") else ShardFilter(must_not=[condition])
