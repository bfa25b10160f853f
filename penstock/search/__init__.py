"""Vectors and words become hits."""

from penstock.search.edge import EdgeIndex
from penstock.search.memory import MemoryIndex

__all__ = ["EdgeIndex", "MemoryIndex"]
