"""Nouns and seams: what every stage speaks. Imports the standard library, NumPy and msgspec only."""
