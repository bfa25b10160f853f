"""Which encoder a store's vectors come from: the one in use, or during a move to another, one of the two."""

from __future__ import annotations

from penstock.core.errors import StageUnavailable
from penstock.core.ports import Embedder
from penstock.core.types import Store


class Encoders:
    """`coming` is the encoder that all stores are to move to, if there is one. New stores begin with it."""

    def __init__(self, current: Embedder, coming: Embedder | None = None) -> None:
        self.current = current
        self.coming = coming

    @property
    def newest(self) -> Embedder:
        """For new stores."""
        return self.coming or self.current

    @property
    def models(self) -> list[str]:
        """Identities of the encoders there are, that in use first."""
        return list(dict.fromkeys([self.current.model, self.newest.model]))

    def named(self, model: str) -> Embedder:
        """The encoder of that identity. Raises StageUnavailable."""
        for embedder in (self.current, self.newest):
            if embedder.model == model:
                return embedder
        raise StageUnavailable("embed", f"the encoder {model} is not loaded here")

    def of(self, store: Store) -> Embedder:
        """Raises StageUnavailable for a store of an encoder that is neither."""
        if store.embedder not in self.models:
            raise StageUnavailable(
                "search",
                f"store '{store.name}' holds vectors of {store.embedder}, and the encoder is {self.current.model}. "
                "Set embed.model back, or ingest into a new store.",
            )
        return self.named(store.embedder)
