"""Hits get a better order: a cross-encoder here, a server elsewhere, or what the encoder and the words say."""
