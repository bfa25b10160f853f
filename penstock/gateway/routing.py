"""From a path to its endpoint: by a table, not one pattern after another.

    exact     ("GET", "/healthz")                                  the whole path
    shaped    ("POST", 5) -> [("", "v1", "vector_stores", None, "search")]   None takes any one piece

Paths with parameters that were found are remembered: callers come back to the same stores.

What is in neither goes to Starlette's router: paths whose last parameter takes the rest, and what else there is to
say.
"""

from __future__ import annotations

from collections.abc import Awaitable, Sequence

from starlette.exceptions import HTTPException
from starlette.routing import Route, Router
from starlette.types import ASGIApp, Receive, Scope, Send

REMEMBERED = 1024
LONGEST_REMEMBERED = 256
"""Characters: paths are the caller's to invent, and may have 64 KiB."""


class Shape:
    """A path with parameters, in its pieces."""

    __slots__ = ("endpoint", "fixed", "named", "route")

    def __init__(self, route: Route, endpoint: ASGIApp) -> None:
        pieces = route.path.split("/")
        self.route = route
        self.endpoint = endpoint
        self.fixed = [(place, piece) for place, piece in enumerate(pieces) if not piece.startswith("{")]
        self.named = [(place, piece[1:-1]) for place, piece in enumerate(pieces) if piece.startswith("{")]

    def takes(self, pieces: Sequence[str]) -> dict[str, str] | None:
        """The parameters, where the path fits."""
        for place, piece in self.fixed:
            if pieces[place] != piece:
                return None
        found = {name: pieces[place] for place, name in self.named}
        return found if all(found.values()) else None


class Table:
    """Routes as an ASGI application. Those that come first win, as with Starlette."""

    def __init__(self, *, router: Router) -> None:
        self._router = router
        self._exact: dict[tuple[str, str], tuple[Route, ASGIApp]] = {}
        self._shaped: dict[tuple[str, int], list[Shape]] = {}
        self._found: dict[tuple[str, str], tuple[Shape, dict[str, str]]] = {}
        for route in router.routes:
            assert isinstance(route, Route)
            if ":path}" in route.path:
                continue  # takes any number of pieces: the router's
            for method in route.methods or ():
                if "{" in route.path:
                    shape = Shape(route, route.app)
                    self._shaped.setdefault((method, len(route.path.split("/"))), []).append(shape)
                else:
                    self._exact.setdefault((method, route.path), (route, route.app))

    @property
    def remembered(self) -> int:
        """How many paths with parameters are found at once."""
        return len(self._found)

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        asked = scope["method"], scope["path"]
        exact = self._exact.get(asked)
        if exact is not None:
            scope["route"], endpoint = exact
            scope["path_params"] = {}
            return endpoint(scope, receive, send)
        found = self._found.get(asked) or self._find(*asked)
        if found is not None:
            shape, named = found
            scope["route"] = shape.route
            scope["path_params"] = named.copy()
            return shape.endpoint(scope, receive, send)
        others = self._methods(asked[1], asked[1].split("/"))
        if others:
            raise HTTPException(405, headers={"Allow": ", ".join(sorted(others))})
        return self._router(scope, receive, send)

    def _find(self, method: str, path: str) -> tuple[Shape, dict[str, str]] | None:
        """What fits a path, and its parameters."""
        pieces = path.split("/")
        for shape in self._shaped.get((method, len(pieces)), ()):
            named = shape.takes(pieces)
            if named is not None:
                self._remember(method, path, (shape, named))
                return shape, named
        return None

    def _remember(self, method: str, path: str, found: tuple[Shape, dict[str, str]]) -> None:
        if len(path) > LONGEST_REMEMBERED:
            return
        if len(self._found) >= REMEMBERED:
            self._found.clear()
        self._found[method, path] = found

    def _methods(self, path: str, pieces: Sequence[str]) -> set[str]:
        """The methods that the path takes, of all its routes together; Starlette names those of the first."""
        exact = {method for method, known in self._exact if known == path}
        return exact | {
            method
            for (method, length), shapes in self._shaped.items()
            if length == len(pieces) and any(shape.takes(pieces) is not None for shape in shapes)
        }
