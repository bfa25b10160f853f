"""The fusion strategies against each other, on a folder in BEIR's form whose questions have answers.

    python -m benchmarks.fusion FOLDER [--questions 1000] [--contexts 8192 1200]

Every question is searched once (8 passages); each strategy packs the same passages, with room and without.
Counted: tokens of the prompt (estimated, as without an engine's tokenizer), prompts in which a gold answer occurs word
for word, answers of the extractive engine out of the strategy's passages in which it does, and the share of the prompts
that a prefix cache without limit finds (blocks of 64 characters, about 16 tokens, as vLLM keeps them), questions in
an order shuffled once. No language model is asked, so this says what a strategy costs and keeps, not how well a model
reads it.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import msgspec

from benchmarks.main_job.beir import Question, read_dataset
from penstock.assemble import Penstock
from penstock.config import Settings
from penstock.core.context import Context, start_context
from penstock.core.types import Hit, Principal, Prompt, Sampling
from penstock.generate.extractive.engine import ExtractiveGenerator
from penstock.generate.prompt.fusion import STRATEGIES
from penstock.generate.prompt.pack import Packer
from penstock.generate.prompt.template import Templates
from penstock.generate.tokens import Estimate
from penstock.pipeline.question import Question as Asked

ME = Principal()
SEED = 11
PASSAGES = 8
OUTPUT_TOKENS = 256
BLOCK_CHARS = 64


class Row(msgspec.Struct):
    """One strategy at one size of the engine's context; sums over questions."""

    strategy: str
    context_tokens: int
    questions: int = 0
    tokens: int = 0
    passages: int = 0
    in_prompt: int = 0
    in_answer: int = 0
    blocks: int = 0
    cached: int = 0

    def line(self) -> str:
        n = max(1, self.questions)
        return (
            f"{self.strategy:12} {self.context_tokens:6}  {self.passages / n:5.1f} passages"
            f" {self.tokens / n:6.0f} tokens   gold in prompt {self.in_prompt / n:.3f}"
            f"   in answer {self.in_answer / n:.3f}   prefix found {self.cached / max(1, self.blocks):.3f}"
        )


def context() -> Context:
    return start_context(principal=ME, timeout_s=86_400.0)


def plain(text: str) -> str:
    return " ".join(text.lower().split())


def holds(text: str, answers: Sequence[str]) -> bool:
    low = plain(text)
    return any(plain(answer) in low for answer in answers if answer.strip())


async def found(folder: Path, questions: Sequence[Question]) -> list[tuple[Question, tuple[Hit, ...]]]:
    """Each question with its passages, by the default settings."""
    with tempfile.TemporaryDirectory() as data:
        program = Penstock(settings=Settings(data_dir=data), environ={})
        await program.start()
        try:
            store = await program.store_for_writing(ME.tenant, "fusion")
            await program.ingest(store, program.sources([folder]), context())
            pairs = []
            for question in questions:
                asked = Asked(text=question.text, stores=(store,), limit=PASSAGES)
                pairs.append((question, (await program.questions.search(asked, context()))[0].hits))
            return pairs
        finally:
            await program.stop()


async def measured(row: Row, pairs: Sequence[tuple[Question, tuple[Hit, ...]]]) -> Row:
    tokens, extractive, seen = Estimate(), ExtractiveGenerator(), set()
    packer = Packer(
        templates=Templates(),
        tokens=tokens,
        key=b"fusion bench",
        context_tokens=row.context_tokens,
        strategy=row.strategy,
    )
    for question, hits in pairs:
        prompt = Prompt(question=question.text, passages=hits, sampling=Sampling(max_tokens=OUTPUT_TOKENS))
        packed = packer.pack(prompt, tenant="t")
        text = "\n".join(message.content for message in packed.prompt.messages)
        kept = tuple(hits[place] for place in sorted(packed.places))
        answer = extractive.generate(msgspec.structs.replace(prompt, passages=kept), context())
        row.questions += 1
        row.tokens += tokens.count(text)
        row.passages += len(packed.places)
        row.in_prompt += holds(text, question.answers or ())
        row.in_answer += holds("".join([delta.text async for delta in answer]), question.answers or ())
        chain, matching = 0, True
        for start in range(0, len(text) - BLOCK_CHARS + 1, BLOCK_CHARS):
            chain = hash((chain, text[start : start + BLOCK_CHARS]))
            matching = matching and chain in seen
            row.cached += matching
            row.blocks += 1
            seen.add(chain)
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--questions", type=int, default=1000)
    parser.add_argument("--contexts", type=int, nargs="+", default=[8192, 1200])
    options = parser.parse_args()
    dataset = read_dataset(options.folder)
    questions = [question for question in dataset.answerable if question.answers]
    random.Random(SEED).shuffle(questions)  # noqa: S311 - the order of questions
    questions = questions[: options.questions]
    print(f"{dataset.name}: {len(questions)} questions, seed {SEED}", file=sys.stderr)
    pairs = asyncio.run(found(dataset.corpus, questions))
    for context_tokens in options.contexts:
        for strategy in STRATEGIES:
            print(asyncio.run(measured(Row(strategy, context_tokens), pairs)).line())


if __name__ == "__main__":
    main()
