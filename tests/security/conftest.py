"""The gateway's fixtures serve here too."""

from tests.gateway.conftest import filled, make_live, make_world

__all__ = ["filled", "make_live", "make_world"]
