"""`penstock search` and `penstock ask`: the same way as over HTTP, to the terminal."""

from __future__ import annotations

import sys

import msgspec
from rich.console import Console
from rich.markup import escape

from penstock.cli.session import Session, stores_named
from penstock.core.types import Citation, Hit
from penstock.pipeline.question import Answering, Question

EXCERPT_CHARS = 400


async def search(session: Session, text: str, names: list[str], limit: int, *, as_json: bool) -> int:
    """Exit code 1 when nothing was found."""
    async with session.assembled() as penstock:
        question = Question(text=text, stores=await stores_named(penstock, names), limit=limit)
        found, timings = await penstock.questions.search(question, session.context(timeout_s=_timeout_s(session)))
    if as_json:
        _print_json({"hits": found.hits, "coverage": found.coverage, "timings_ms": timings.milliseconds()})
    else:
        console = Console()
        for number, hit in enumerate(found.hits, start=1):
            console.print(f"[bold]{number}. {escape(_place(hit))}[/]  [dim]{hit.score:.3f}[/]")
            console.print(escape(_excerpt(hit.chunk.text)), style="none", highlight=False)
            console.print()
        if not found.hits:
            console.print("Nothing found.")
    return 0 if found.hits else 1


async def ask(session: Session, text: str, names: list[str], limit: int, *, as_json: bool) -> int:
    """Exit code 1 when the documents do not answer."""
    async with session.assembled() as penstock:
        question = Question(text=text, stores=await stores_named(penstock, names), limit=limit)
        answering = await penstock.questions.ask(question, session.context(timeout_s=_timeout_s(session)))
        words: list[str] = []
        citations: list[Citation] = []
        async for delta in answering:
            words.append(delta.text)
            citations += delta.citations
            if not as_json:
                sys.stdout.write(delta.text)
                sys.stdout.flush()
    if as_json:
        _print_json(_report("".join(words), citations, answering))
    else:
        sys.stdout.write("\n")
        _print_sources(citations, answering)
    return 1 if answering.abstained else 0


def _report(answer: str, citations: list[Citation], answering: Answering) -> dict[str, object]:
    return {
        "answer": answer,
        "citations": citations,
        "abstained": answering.abstained,
        "confidence": answering.confidence,
        "model": answering.model,
        "timings_ms": answering.timings.milliseconds(),
    }


def _print_sources(citations: list[Citation], answering: Answering) -> None:
    console = Console()
    shown: set[int] = set()
    for citation in citations:
        if citation.number not in shown:
            shown.add(citation.number)
            hit = answering.found.hits[citation.number - 1]
            console.print(f"[dim][{citation.number}][/] {escape(_place(hit))}", markup=True, highlight=False)
    total_ms = sum(answering.timings.milliseconds().values())
    console.print(f"[dim]{escape(answering.model)}, {total_ms:.0f} ms[/]", highlight=False)


def _place(hit: Hit) -> str:
    """Where a passage stands, for people."""
    parts = [hit.filename, *hit.chunk.headings]
    if hit.chunk.page:
        parts.append(f"page {hit.chunk.page}")
    return " › ".join(parts)


def _excerpt(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= EXCERPT_CHARS else flat[:EXCERPT_CHARS].rsplit(" ", 1)[0] + " …"


def _timeout_s(session: Session) -> float:
    return session.settings.server.request_timeout_s


def _print_json(value: object) -> None:
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(value), indent=2).decode() + "\n")
