"""Puts a prompt together: what never changes first, then passages, then the conversation and the question."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from penstock.core.errors import InvalidRequest
from penstock.core.types import Hit, Message, Prompt
from penstock.generate.prompt.fit import condensed, fitting
from penstock.generate.prompt.fusion import STRATEGIES
from penstock.generate.prompt.marks import mark_of, without
from penstock.generate.prompt.order import RecentOrders
from penstock.generate.prompt.template import Templates
from penstock.generate.tokens import TokenCount

USUAL_OUTPUT_TOKENS = 512
LEAST_FOR_PASSAGES = 64
ABOUT_A_MESSAGE = 16


class Packed(msgspec.Struct, frozen=True):
    """A prompt ready to send. `places[i]` is where the passage that the model knows as [i+1] stands in the original."""

    prompt: Prompt
    places: tuple[int, ...]
    mark: str


class Packer:
    """Packs prompts for one engine. `context_tokens` bounds prompt and answer together, in the engine's tokens."""

    def __init__(
        self,
        *,
        templates: Templates,
        tokens: TokenCount,
        key: bytes,
        context_tokens: int = 8_192,
        passage_tokens: int = 512,
        conversation_tokens: int = 1_024,
        strategy: str = "concatenate",
        orders: RecentOrders | None = None,
    ) -> None:
        self._templates, self._tokens, self._key = templates, tokens, key
        self._context_tokens, self._passage_tokens = context_tokens, passage_tokens
        self._conversation_tokens = conversation_tokens
        self._strategy = STRATEGIES[strategy]
        self._orders = orders or RecentOrders()

    def pack(self, prompt: Prompt, *, tenant: str) -> Packed:
        """Raises InvalidRequest when instructions and question alone leave no room for a passage."""
        mark = mark_of(tenant, key=self._key)
        store_id = prompt.passages[0].store_id if prompt.passages else ""
        instructions = self._templates.of(store_id).text(mark)
        added = without(mark, _instructions_of(prompt))
        if added:
            # Behind ours, which come first and are the same for all; before the passages, since an application says
            # the same with every question.
            instructions = f"{instructions}\n\nThe application adds:\n{added}"
        question = without(mark, prompt.question.strip())
        said = without(mark, condensed(_before(prompt), self._conversation_tokens, self._tokens))
        used = sum(self._tokens.count(text) for text in (instructions, said, question)) + 2 * ABOUT_A_MESSAGE
        left = self._context_tokens - used - (prompt.sampling.max_tokens or USUAL_OUTPUT_TOKENS)
        if left < LEAST_FOR_PASSAGES:
            raise InvalidRequest(
                f"The question and the answer's limit leave no room for passages in {self._context_tokens} tokens.",
                param="max_tokens",
                code="context_length_exceeded",
            )
        chosen = self._strategy(prompt.question, prompt.passages)
        kept = fitting(
            chosen.hits, left - self._tokens.count(chosen.lead), longest=self._passage_tokens, tokens=self._tokens
        )
        texts = {chosen.hits[place].chunk.id: text for place, text in kept}
        order = self._orders.order(f"{tenant}\x00{store_id}", list(texts))
        by_id = {hit.chunk.id: (place, hit) for place, hit in reversed(list(enumerate(prompt.passages)))}
        passages = [_passage(number, by_id[key][1], texts[key], mark) for number, key in enumerate(order, start=1)]
        parts = [*passages, f"{mark} end of passages", without(mark, chosen.lead)]
        parts += [f"Conversation so far:\n{said}" if said else "", f"Question: {question}"]
        messages = (
            Message(role="system", content=instructions),
            Message(role="user", content="\n\n".join(part for part in parts if part)),
        )
        places = tuple(by_id[key][0] for key in order)
        return Packed(msgspec.structs.replace(prompt, messages=messages), places, mark)


def _instructions_of(prompt: Prompt) -> str:
    """What the application, not its user, tells the model."""
    turns = (turn.content.strip() for turn in prompt.messages if turn.role in ("system", "developer"))
    return "\n\n".join(text for text in turns if text)


def _before(prompt: Prompt) -> Sequence[Message]:
    """The conversation without the question itself, where it is its last turn."""
    turns = prompt.messages
    if turns and turns[-1].role == "user" and turns[-1].content.strip() == prompt.question.strip():
        return turns[:-1]
    return turns


def _passage(number: int, hit: Hit, text: str, mark: str) -> str:
    # The title is the document author's too.
    title = " ".join(without(mark, hit.title or hit.filename).split())[:120]
    return f"{mark} passage [{number}] {title}\n{without(mark, text.strip())}"
