"""OpenAI's JSON filters become ours; an error names the very field."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, get_args

from penstock.core.errors import InvalidRequest, UnsupportedParameter
from penstock.core.types import AttributeValue, Comparison, ComparisonOperator, Compound, Filter

OPERATORS = frozenset(get_args(ComparisonOperator))
COMPOUNDS = frozenset({"and", "or"})
ORDERINGS = frozenset({"gt", "gte", "lt", "lte"})
MAX_DEPTH = 8
MAX_FILTERS = 256
MAX_VALUES = 256
MAX_KEY_CHARS = 64
MAX_VALUE_CHARS = 512


def read_filters(json: Mapping[str, Any] | None, *, param: str = "filters") -> Filter | None:
    """The filter that this JSON means; None for none. Raises InvalidRequest."""
    return None if json is None else _Reader().read(json, param, depth=1)


class _Reader:
    """One filter's reading: counts its parts as it goes down."""

    def __init__(self) -> None:
        self._count = 0

    def read(self, json: Any, param: str, *, depth: int) -> Filter:
        self._count += 1
        if depth > MAX_DEPTH or self._count > MAX_FILTERS:
            raise InvalidRequest(
                f"The filter is too large: at most {MAX_DEPTH} levels and {MAX_FILTERS} parts.", param=param
            )
        if not isinstance(json, Mapping):
            raise InvalidRequest("A filter is an object with a 'type'.", param=param)
        kind = json.get("type")
        if isinstance(kind, str) and kind in COMPOUNDS:
            return self._compound(json, param, depth)
        if isinstance(kind, str) and kind in OPERATORS:
            return _comparison(json, param)
        known = ", ".join([*sorted(OPERATORS), *sorted(COMPOUNDS)])
        raise InvalidRequest(f"Unknown filter type {kind!r}. It is one of {known}.", param=f"{param}.type")

    def _compound(self, json: Mapping[str, Any], param: str, depth: int) -> Compound:
        _only(json, {"type", "filters"}, param)
        parts = json.get("filters")
        if not isinstance(parts, list) or not parts:
            raise InvalidRequest("'and' and 'or' take a list of at least one filter.", param=f"{param}.filters")
        read = tuple(self.read(part, f"{param}.filters[{i}]", depth=depth + 1) for i, part in enumerate(parts))
        return Compound(type=json["type"], filters=read)


def _comparison(json: Mapping[str, Any], param: str) -> Comparison:
    _only(json, {"type", "key", "value"}, param)
    operator: ComparisonOperator = json["type"]
    key = json.get("key")
    if not isinstance(key, str) or not 1 <= len(key) <= MAX_KEY_CHARS:
        raise InvalidRequest(f"'key' is an attribute's name of 1 to {MAX_KEY_CHARS} characters.", param=f"{param}.key")
    if "value" not in json:
        raise InvalidRequest("The filter has no 'value'.", param=f"{param}.value")
    return Comparison(type=operator, key=key, value=_operand(operator, json["value"], f"{param}.value"))


def _operand(operator: ComparisonOperator, value: Any, param: str) -> AttributeValue | tuple[str | float, ...]:
    if operator in ("in", "nin"):
        if not isinstance(value, list) or not 1 <= len(value) <= MAX_VALUES:
            raise InvalidRequest(f"'{operator}' takes a list of 1 to {MAX_VALUES} strings or numbers.", param=param)
        return tuple(_member(item, f"{param}[{i}]") for i, item in enumerate(value))
    read = _scalar(value, param)
    if operator in ORDERINGS and (isinstance(read, bool) or not isinstance(read, float)):
        raise InvalidRequest(f"'{operator}' compares with a number.", param=param)
    return read


def _member(value: Any, param: str) -> str | float:
    if isinstance(value, bool):
        raise InvalidRequest("A list takes strings or numbers.", param=param)
    return _scalar(value, param)


def _scalar(value: Any, param: str) -> AttributeValue:
    if isinstance(value, str):
        if len(value) > MAX_VALUE_CHARS:
            raise InvalidRequest(f"A value has at most {MAX_VALUE_CHARS} characters.", param=param)
        return value
    if isinstance(value, bool):
        return value
    if isinstance(value, (int, float)):
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if math.isfinite(number):
            return number
        raise InvalidRequest("The number is out of range.", param=param)
    raise InvalidRequest("A value is a string, a number or a boolean.", param=param)


def _only(json: Mapping[str, Any], allowed: set[str], param: str) -> None:
    for name in json:
        if name not in allowed:
            raise UnsupportedParameter(f"{param}.{name}")
