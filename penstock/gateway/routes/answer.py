"""One answer on its way to the wire: writes what was heard as OpenAI's objects and chunks."""

from __future__ import annotations

from typing import Literal
from urllib.parse import quote

import msgspec
from msgspec import UNSET

from penstock.core.types import Citation, Hit, Usage
from penstock.gateway.running import Heard
from penstock.gateway.wire.chat import (
    Alternative,
    Annotation,
    AnswerInfo,
    AnswerMessage,
    ChatChunk,
    ChatCompletion,
    ChatRequest,
    Choice,
    ChunkChoice,
    ChunkDelta,
    CompletionUsage,
    FileCitation,
    Passage,
    PenstockInfo,
    PromptTokens,
    Span,
    UrlCitation,
)
from penstock.pipeline.question import Answering

encode = msgspec.json.Encoder().encode

DONE = b"data: [DONE]\n\n"


class Answer:
    """`heard` grows; `opening`, `piece`s and `closing` make the stream, `completion` the whole."""

    def __init__(self, *, asked: ChatRequest, request_id: str, created: int) -> None:
        self._asked = asked
        self._request_id = request_id
        self._id = f"chatcmpl-{request_id.removeprefix('req_')}"
        self._created = created
        self._with_usage = bool(asked.stream_options and asked.stream_options.include_usage)
        self._head = self._tail = b""
        self.heard = Heard()

    # --- streamed -----------------------------------------------------------

    def opening(self, answering: Answering) -> bytes:
        """The chunk with the role. Everything in a piece but its text is encoded once, here."""
        usage = b',"usage":null' if self._with_usage else b""
        self._head = (
            b'data: {"id":"%b","object":"chat.completion.chunk","created":%d,"model":%b,"choices":[{"index":0,"delta":'
        ) % (self._id.encode(), self._created, encode(answering.model))
        self._tail = b',"logprobs":null,"finish_reason":null}]%b}\n\n' % usage
        return self._head + b'{"role":"assistant","content":""}' + self._tail

    def piece(self, text: str) -> bytes:
        """The chunk that adds this text."""
        return b'%b{"content":%b}%b' % (self._head, encode(text), self._tail)

    def closing(self, answering: Answering) -> bytes:
        """The chunk with the end, its citations and the `penstock` object; usage where it was asked for; [DONE]."""
        choice = ChunkChoice(delta=ChunkDelta(annotations=self._annotations(answering)), finish_reason=self._finished())
        last = ChatChunk(
            id=self._id,
            created=self._created,
            model=answering.model,
            choices=[choice],
            usage=None if self._with_usage else UNSET,
            penstock=self._info(answering),
        )
        events = b"data: %b\n\n" % encode(last)
        if self._with_usage:
            chunk = ChatChunk(
                id=self._id,
                created=self._created,
                model=answering.model,
                choices=[],
                usage=usage_of(self.heard.usage or Usage()),
            )
            events += b"data: %b\n\n" % encode(chunk)
        return events + DONE

    # --- whole --------------------------------------------------------------

    def completion(self, answering: Answering) -> ChatCompletion:
        """The whole answer."""
        message = AnswerMessage(content=self.heard.text, annotations=self._annotations(answering))
        return ChatCompletion(
            id=self._id,
            created=self._created,
            model=answering.model,
            choices=[Choice(message=message, finish_reason=self._finished())],
            penstock=self._info(answering),
            usage=usage_of(self.heard.usage) if self.heard.usage else UNSET,
            metadata=UNSET if self._asked.metadata is None else self._asked.metadata,
        )

    # --- what both end with ---------------------------------------------------

    def _finished(self) -> Literal["stop", "length", "content_filter"]:
        assert self.heard.finish is not None
        assert self.heard.finish != "error"
        return self.heard.finish

    def _annotations(self, answering: Answering) -> list[Annotation]:
        text = self.heard.text
        hits = answering.found.hits
        return [annotation(citation, hits, text) for citation in self.heard.citations]

    def _info(self, answering: Answering) -> PenstockInfo:
        return PenstockInfo(
            **msgspec.structs.asdict(info_of(answering, self._request_id)),
            passages=[self._passage(hit, number) for number, hit in enumerate(answering.found.hits, start=1)],
        )

    def _passage(self, hit: Hit, number: int) -> Passage:
        return Passage(
            number=number,
            store_id=hit.store_id,
            file_id=hit.file_id,
            filename=hit.filename,
            chunk_id=hit.chunk.id,
            title=hit.title,
            headings=list(hit.chunk.headings),
            page=hit.chunk.page,
            text=hit.chunk.text,
            score=hit.score,
            quotes=[
                Span(start=citation.start, end=citation.end)
                for citation in self.heard.citations
                if citation.number == number and citation.end > citation.start
            ],
        )


def info_of(answering: Answering, request_id: str) -> AnswerInfo:
    """What became of the question on its way."""
    return AnswerInfo(
        request_id=request_id,
        model=answering.model,
        reason=answering.reason,
        alternatives=[Alternative(model=one.model, why=one.why) for one in answering.alternatives],
        abstained=answering.abstained,
        confidence=answering.confidence,
        coverage=answering.found.coverage,
        degraded=[*answering.found.missing, *answering.found.degraded, *answering.degraded],
        timings_ms=answering.timings.milliseconds(),
    )


def annotation(citation: Citation, hits: tuple[Hit, ...], text: str) -> Annotation:
    """A citation in OpenAI's form for chat, with the form of its file search beside it."""
    hit = hits[citation.number - 1]
    marker = f"[{citation.number}]"
    length = len(marker) if text.startswith(marker, citation.index) else 0
    return Annotation(
        url_citation=UrlCitation(
            start_index=citation.index,
            end_index=citation.index + length,
            url=f"penstock:{hit.store_id}/{quote(citation.file_id)}#{quote(citation.chunk_id)}",
            title=hit.title or citation.filename,
        ),
        file_citation=file_citation(citation),
    )


def file_citation(citation: Citation) -> FileCitation:
    """A citation in the form of OpenAI's file search, and which sentence."""
    return FileCitation(
        index=citation.index,
        file_id=citation.file_id,
        filename=citation.filename,
        chunk_id=citation.chunk_id,
        number=citation.number,
        quote=citation.quote,
        start=citation.start,
        end=citation.end,
    )


def usage_of(usage: Usage) -> CompletionUsage:
    """Tokens in OpenAI's words."""
    return CompletionUsage(
        prompt_tokens=usage.prompt,
        completion_tokens=usage.output,
        total_tokens=usage.prompt + usage.output,
        prompt_tokens_details=PromptTokens(cached_tokens=usage.cached),
    )
