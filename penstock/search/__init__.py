"""Vectors and words become hits."""

from penstock.search.edge import EdgeIndex

__all__ = ["EdgeIndex"]
