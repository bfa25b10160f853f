"""Hits to answer from."""

from penstock.core.context import start_context
from penstock.core.types import Chunk, Delta, Hit, Principal, Prompt
from penstock.generate.extractive import ExtractiveGenerator

RIVERS = (
    "The Rhine rises in the Swiss Alps. It flows through Germany and the Netherlands into the North Sea. "
    "The river is 1,230 kilometres long. In 1986 a fire in Basel poisoned it."
)
SALMON = "Salmon came back to the Rhine in 1990. Johanna Keller led the programme that built fish ladders at the dams."


def hit(text, *, number=1, title="Rhine", dense=0.6, lexical=9.0, headings=(), score=0.9):
    chunk = Chunk(id=f"chunk{number}", position=number, text=text, headings=headings)
    return Hit(
        store_id="s",
        file_id=f"file{number}",
        filename=f"doc{number}.md",
        chunk=chunk,
        title=title,
        score=score,
        dense=dense,
        lexical=lexical,
    )


def prompt(question, *texts, **of_hit):
    return Prompt(question=question, passages=tuple(hit(text, number=i + 1, **of_hit) for i, text in enumerate(texts)))


def context():
    return start_context(principal=Principal(), timeout_s=60)


async def answer(asked, *, max_sentences=3, abstain_below=0.5) -> list[Delta]:
    engine = ExtractiveGenerator(max_sentences=max_sentences, abstain_below=abstain_below)
    return [delta async for delta in engine.generate(asked, context())]
