"""A Generator that packs the prompt for its engine and returns the answer with citations of the caller's passages."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

import msgspec

from penstock.core.context import Context
from penstock.core.types import Delta, Message, Prompt
from penstock.generate.citations import CitationReader
from penstock.generate.prompt.pack import Packer
from penstock.generate.replica import Engine


class PackedGenerator:
    """`Packed(Pool(...))`: outside of it only the caller's own passages and their numbers are known."""

    def __init__(self, *, engine: Engine, packer: Packer) -> None:
        self.model = engine.model
        self._engine = engine
        self._packer = packer

    async def healthy(self, ctx: Context) -> bool:
        return await self._engine.healthy(ctx)

    async def generate(self, prompt: Prompt, ctx: Context) -> AsyncGenerator[Delta]:
        """Deltas with citations; [n] are numbers of `prompt.passages`. Without documents all goes through as it is."""
        if not prompt.grounded:
            asked = Message(role="user", content=prompt.question)
            plain = msgspec.structs.replace(prompt, messages=(*prompt.messages, asked))
            async with aclosing(self._engine.generate(plain, ctx)) as deltas:
                async for delta in deltas:
                    yield delta
            return
        packed = self._packer.pack(prompt, tenant=ctx.principal.tenant)
        reader = CitationReader(passages=prompt.passages, places=packed.places, mark=packed.mark)
        async with aclosing(self._engine.generate(packed.prompt, ctx)) as deltas:
            async for delta in deltas:
                text, citations = reader.feed(delta.text)
                if delta.finish is not None:
                    rest, more = reader.rest()
                    text, citations = text + rest, citations + more
                elif not text:
                    continue
                unchanged = text == delta.text and not citations
                yield delta if unchanged else msgspec.structs.replace(delta, text=text, citations=citations)
