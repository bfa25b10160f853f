"""`tools` and `tool_choice` of `/v1/responses`: whether to search, and where."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from penstock.core.errors import InvalidRequest, UnsupportedParameter
from penstock.gateway.receive import converted
from penstock.gateway.wire.responses import FileSearchTool

ONLY = "The only tool is 'file_search'."


def read_tools(tools: Sequence[Mapping[str, Any]] | None) -> FileSearchTool | None:
    """The search that is wanted, if one is named. Raises InvalidRequest, and UnsupportedParameter for other tools."""
    for place, tool in enumerate(tools or ()):
        if "type" in tool and tool["type"] != "file_search":
            raise UnsupportedParameter(f"tools[{place}].type", hint=ONLY)
        options = tool.get("ranking_options")
        if isinstance(options, Mapping) and options.get("hybrid_search") is not None:
            raise UnsupportedParameter(f"tools[{place}].ranking_options.hybrid_search")
    for place, tool in enumerate(tools or ()):
        return converted(dict(tool), FileSearchTool, param=f"tools[{place}]", strict=True)
    return None


def wants_search(choice: str | Mapping[str, Any] | None, tools: Sequence[Mapping[str, Any]] | None) -> bool:
    """Whether to search. Raises UnsupportedParameter for a choice of another tool, InvalidRequest for none at all."""
    if choice == "none":
        return False
    if choice in (None, "auto"):
        return tools is None or bool(tools)
    forced = choice == "required"
    if isinstance(choice, Mapping):
        forced = True
        kind = choice.get("type")
        named = choice.get("tools", []) if kind == "allowed_tools" else [choice]
        if kind not in ("file_search", "allowed_tools") or not isinstance(named, list):
            raise UnsupportedParameter("tool_choice.type", hint=ONLY)
        if any(not isinstance(tool, Mapping) or tool.get("type") != "file_search" for tool in named):
            raise UnsupportedParameter("tool_choice.tools", hint=ONLY)
        if kind == "allowed_tools" and choice.get("mode") not in ("auto", "required"):
            raise InvalidRequest("It is 'auto' or 'required'.", param="tool_choice.mode")
        if not named:
            return False
    if not forced:
        raise InvalidRequest(
            "It is 'auto', 'required', 'none', or an object that names 'file_search'.", param="tool_choice"
        )
    if tools is not None and not tools:
        raise InvalidRequest("A tool is to be used, and there is none in 'tools'.", param="tool_choice")
    return True
