"""A source's bytes become a document, and a document becomes passages."""

from __future__ import annotations

import asyncio
import copy
from concurrent.futures import ThreadPoolExecutor

from penstock.config import IngestSettings
from penstock.core.errors import BadDocument
from penstock.core.ports import Source, Tokenizer
from penstock.core.types import Chunk, Document
from penstock.ingest.chunk import chunk_document, embedding_text
from penstock.ingest.parser import parser_of
from penstock.ingest.records import document_of

READING = 2
"""Raised when parsing or splitting changes, so that unchanged files are read again."""


class FileReader:
    """Implements `pipeline.document.Reader`: files through the sandboxed parser, records directly.

    A record is JSON that is decoded into a fixed shape; there is nothing in it to protect a process from.
    """

    def __init__(self, *, settings: IngestSettings, tokenizer: Tokenizer) -> None:
        self._settings = settings
        self._tokenizer = tokenizer
        self._max_tokens = min(settings.chunk_tokens, tokenizer.max_tokens)
        self._parser = parser_of(settings)
        self._splitter = ThreadPoolExecutor(max_workers=1, thread_name_prefix="ingest-split")

    @property
    def max_chunk_tokens(self) -> int:
        """The largest budget that `sized` takes: what the encoder reads at once."""
        return self._tokenizer.max_tokens

    @property
    def chunk_tokens(self) -> int:
        return self._max_tokens

    def sized(self, chunk_tokens: int) -> FileReader:
        """The same reader, started and stopped with this one, with another budget for passages; 0: the same one."""
        if not chunk_tokens:
            return self
        other = copy.copy(self)
        other._max_tokens = min(chunk_tokens, self._tokenizer.max_tokens)  # noqa: SLF001 - of our own class
        return other

    @property
    def fingerprint(self) -> str:
        settings = self._settings
        said = f"{READING}:{self._max_tokens}:{settings.merge_below_tokens}:{settings.language}"
        if settings.ocr == "off":
            return said
        return f"{said}:{settings.ocr}:{'+'.join(settings.ocr_languages)}:{settings.ocr_max_pages}"

    async def start(self) -> None:
        await self._parser.start()

    async def stop(self) -> None:
        await self._parser.stop()
        self._splitter.shutdown()

    async def parse(self, content: bytes, source: Source, *, tenant: str) -> Document:
        """Raises BadDocument. Files of two tenants never share a process."""
        if source.kind == "record":
            return document_of(content)
        return await self._parser.parse(content, filename=source.name, tenant=tenant)

    async def split(self, document: Document, *, tenant: str, store_id: str, file_id: str) -> list[Chunk]:
        """Raises BadDocument (empty) for a document without text."""
        loop = asyncio.get_running_loop()
        chunks = await loop.run_in_executor(self._splitter, self._split, document, f"{tenant}\0{store_id}\0{file_id}")
        if not chunks:
            raise BadDocument("empty", "There is no text in it.")
        return chunks

    def _split(self, document: Document, namespace: str) -> list[Chunk]:
        return chunk_document(
            document,
            tokenizer=self._tokenizer,
            max_tokens=self._max_tokens,
            merge_below_tokens=self._settings.merge_below_tokens,
            language=self._settings.language,
            namespace=namespace,
        )

    def embedding_text(self, document: Document, chunk: Chunk) -> str:
        return embedding_text(document.title, chunk, max_tokens=self._max_tokens)
