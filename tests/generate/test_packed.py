"""Where no documents are asked, Penstock is a plain gateway."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from penstock.core.context import Context, start_context
from penstock.core.types import Delta, Message, Principal, Prompt
from penstock.generate.packed import PackedGenerator
from penstock.generate.prompt.pack import Packer
from penstock.generate.prompt.template import Templates
from penstock.generate.tokens import Estimate

TURNS = (Message(role="system", content="Be brief."), Message(role="user", content="Hi"))
SAID = "Write a[0] or [7]."


class Listening:
    """An engine that says one thing, and keeps what it was asked."""

    model = "listening"

    def __init__(self) -> None:
        self.asked: list[Prompt] = []

    async def healthy(self, ctx: Context) -> bool:
        return True

    async def generate(self, prompt: Prompt, ctx: Context) -> AsyncGenerator[Delta]:
        self.asked.append(prompt)
        yield Delta(text=SAID)
        yield Delta(finish="stop")


async def said(prompt: Prompt) -> tuple[str, tuple[Message, ...]]:
    engine = Listening()
    packed = PackedGenerator(engine=engine, packer=Packer(templates=Templates(), tokens=Estimate(), key=b"k" * 32))
    ctx = start_context(principal=Principal(), timeout_s=5.0)
    text = "".join([delta.text async for delta in packed.generate(prompt, ctx)])
    return text, engine.asked[0].messages


async def test_without_documents_conversation_and_answer_go_through_as_they_are() -> None:
    text, messages = await said(Prompt(question="How?", passages=(), messages=TURNS, grounded=False))

    assert text == SAID
    assert messages == (*TURNS, Message(role="user", content="How?"))


async def test_documents_that_say_nothing_are_something_else() -> None:
    text, messages = await said(Prompt(question="How?", passages=(), messages=TURNS))

    assert "[7]" not in text
    assert "Answer only from" in messages[0].content
