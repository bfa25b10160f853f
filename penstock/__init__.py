"""Penstock serves retrieval-augmented generation under load."""

__version__ = "0.1.0"
