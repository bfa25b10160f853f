"""`/v1/chat/completions`: the caller's last message is the question; the answer rests on the caller's stores."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator
from contextlib import aclosing

import msgspec

from penstock.core.errors import InvalidRequest, NotFound, UnsupportedParameter
from penstock.core.types import Message, Sampling
from penstock.gateway.directory import StoreCatalog, stores_meant
from penstock.gateway.filters import read_filters
from penstock.gateway.operation import Call, Operation
from penstock.gateway.reply import Events, Last, Reply
from penstock.gateway.routes.answer import Answer
from penstock.gateway.running import running
from penstock.gateway.visit import Visit
from penstock.gateway.wire.chat import NEUTRAL, ChatChunk, ChatCompletion, ChatMessage, ChatRequest
from penstock.pipeline.question import Answering, Question, QuestionPipeline
from penstock.telemetry.metrics import Metrics

encode = msgspec.json.Encoder().encode

DEFAULT_PASSAGES = 8
OUR_CHOICE = frozenset({"auto", "default"})
"""Model names that leave the choice to the router; clients that insist on a name need one."""


class Chat:
    """Answers, whole or as they come."""

    def __init__(self, *, questions: QuestionPipeline, stores: StoreCatalog, metrics: Metrics) -> None:
        self._questions = questions
        self._stores = stores
        self._metrics = metrics

    def operations(self) -> list[Operation]:
        return [
            Operation(
                method="POST",
                path="/v1/chat/completions",
                name="createChatCompletion",
                summary="An answer out of the caller's stores, with citations; whole, or streamed.",
                handle=self.create,
                body=ChatRequest,
                answer=ChatCompletion,
                events=ChatChunk,
                ends_with_caller=True,
                door="answer",
            )
        ]

    async def create(self, call: Call) -> Reply | Events:
        asked: ChatRequest = call.body
        refuse_what_we_lack(asked)
        question = await self._question(call, asked)
        answer = Answer(asked=asked, request_id=call.ctx.request_id, created=int(time.time()))
        answering = await self._ask(question, call)
        if asked.stream:
            return Events(self._events(answer, answering, call.visit))
        async for _ in running(answer.heard, answering, call.visit, self._metrics):
            pass
        return Reply(body=encode(answer.completion(answering)))

    async def _events(self, answer: Answer, answering: Answering, visit: Visit) -> AsyncGenerator[bytes]:
        opened = False
        async with aclosing(running(answer.heard, answering, visit, self._metrics)) as deltas:
            async for delta in deltas:
                if delta.text:
                    opening = b"" if opened else answer.opening(answering)
                    yield opening + answer.piece(delta.text)
                    opened = True
        closing = answer.closing(answering)
        yield Last(closing if opened else answer.opening(answering) + closing)

    async def _question(self, call: Call, asked: ChatRequest) -> Question:
        text, conversation = conversation_of(asked.messages)
        stores = await stores_meant(self._stores, call.ctx.principal, asked.vector_store_ids)
        return Question(
            text=text,
            stores=stores,
            limit=asked.max_num_results or DEFAULT_PASSAGES,
            filters=read_filters(asked.filters),
            conversation=conversation,
            sampling=sampling_of(asked),
            model=None if asked.model in OUR_CHOICE else asked.model,
        )

    async def _ask(self, question: Question, call: Call) -> Answering:
        try:
            return await self._questions.ask(question, call.ctx)
        except NotFound as error:
            error.param = error.param or "model"
            raise
        except InvalidRequest as error:
            if error.param == "query":
                error.param = "messages"  # where this caller wrote it
            raise


def refuse_what_we_lack(asked: ChatRequest) -> None:
    """Raise UnsupportedParameter for a parameter whose value asks for something that we would not do."""
    for name, neutral in NEUTRAL.items():
        value = getattr(asked, name)
        if value is not None and value not in neutral:
            raise UnsupportedParameter(name, hint=f"Leave it out, or send {neutral[0]!r}.")


def conversation_of(messages: list[ChatMessage]) -> tuple[str, tuple[Message, ...]]:
    """The question, which is the last message, and the turns before it. Raises InvalidRequest."""
    if messages[-1].role != "user":
        raise InvalidRequest(
            "The last message is the question: its role must be 'user'.", param=f"messages[{len(messages) - 1}].role"
        )
    turns = [Message(role=message.role, content=_text_of(message, place)) for place, message in enumerate(messages)]
    return turns[-1].content, tuple(turns[:-1])


def _text_of(message: ChatMessage, place: int) -> str:
    if isinstance(message.content, str):
        return message.content
    if message.content is None:
        if message.role == "assistant":
            return message.refusal or ""
        raise InvalidRequest("The message has no content.", param=f"messages[{place}].content")
    for i, part in enumerate(message.content):
        if part.type != "text":
            raise UnsupportedParameter(f"messages[{place}].content[{i}].type", hint="Messages are text.")
    return "\n".join(part.text for part in message.content)


def sampling_of(asked: ChatRequest) -> Sampling:
    """What the request asks of the engine."""
    stop = asked.stop or ()
    return Sampling(
        temperature=asked.temperature,
        top_p=asked.top_p,
        max_tokens=asked.max_completion_tokens or asked.max_tokens,
        stop=(stop,) if isinstance(stop, str) else tuple(stop),
        seed=asked.seed,
    )
