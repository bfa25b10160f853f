from __future__ import annotations

import re
import time
from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.core.types import Block, Chunk, Document
from penstock.ingest.chunk import chunk_document, document_text, embedding_text


class WordTokenizer:
    """Counts words and marks; a run of over 100 characters is one unknown token, as WordPiece has it."""

    max_tokens = 512

    def count(self, texts: Sequence[str]) -> list[int]:
        return [len(re.findall(r"\w+|[^\w\s]", text)) for text in texts]


def split(
    document: Document, *, max_tokens: int = 40, merge_below_tokens: int = 0, namespace: str = "n"
) -> list[Chunk]:
    return chunk_document(
        document,
        tokenizer=WordTokenizer(),
        max_tokens=max_tokens,
        merge_below_tokens=merge_below_tokens,
        language="en",
        namespace=namespace,
    )


def paragraph(text: str) -> Block:
    return Block(kind="paragraph", text=text)


def heading(text: str, level: int = 1) -> Block:
    return Block(kind="heading", text=text, level=level)


def document(*blocks: Block, title: str = "") -> Document:
    return Document(filename="a.md", title=title, blocks=blocks)


def test_a_passage_that_fits_stays_whole() -> None:
    chunks = split(document(paragraph("One two three. Four five six.")))

    assert [chunk.text for chunk in chunks] == ["One two three. Four five six."]


def test_passages_know_their_headings_page_and_place() -> None:
    blocks = (
        heading("Guide"),
        Block(kind="paragraph", text="Intro text.", page=1),
        heading("Install", 2),
        Block(kind="paragraph", text="Run the thing.", page=2),
        heading("Linux", 3),
        Block(kind="paragraph", text="Use apt.", page=2),
        heading("Use", 2),
        Block(kind="paragraph", text="Just use it.", page=3),
    )
    chunks = split(document(*blocks))

    assert [chunk.headings for chunk in chunks] == [
        ("Guide",),
        ("Guide", "Install"),
        ("Guide", "Install", "Linux"),
        ("Guide", "Use"),
    ]
    assert [chunk.page for chunk in chunks] == [1, 2, 2, 3]
    assert [chunk.position for chunk in chunks] == [0, 1, 2, 3]


def test_short_sections_join_their_neighbours_under_the_shared_path() -> None:
    blocks = (heading("Guide"), heading("A", 2), paragraph("Alpha."), heading("B", 2), paragraph("Beta."))

    (chunk,) = split(document(*blocks), merge_below_tokens=10)

    assert chunk.headings == ("Guide",)
    assert chunk.text == "Alpha.\n\nB\n\nBeta."


def test_sections_of_different_chapters_stay_apart() -> None:
    blocks = (heading("One"), paragraph("Alpha."), heading("Two"), paragraph("Beta."))

    assert len(split(document(*blocks), merge_below_tokens=10)) == 2


def test_a_long_paragraph_is_cut_at_sentences_into_equal_pieces() -> None:
    text = " ".join(f"Sentence number {number} has seven words." for number in range(12))

    chunks = split(document(paragraph(text)), max_tokens=50)

    assert len(chunks) > 1
    assert all(chunk.text.endswith("words.") and chunk.text.startswith("Sentence") for chunk in chunks)
    sizes = [chunk.tokens for chunk in chunks]
    assert max(sizes) - min(sizes) <= 8


def test_every_piece_of_a_table_has_the_header() -> None:
    rows = ["| name | price |", "| --- | --- |", *(f"| item {number} | {number} euro |" for number in range(40))]

    chunks = split(document(Block(kind="table", text="\n".join(rows))), max_tokens=80)

    assert len(chunks) > 2
    assert all(chunk.text.startswith("| name | price |\n| --- | --- |\n| item") for chunk in chunks)
    assert "".join(chunk.text for chunk in chunks).count("| item 17 |") == 1


def test_code_is_cut_between_its_paragraphs() -> None:
    functions = [f"def f{number}(a, b):\n    return a + b + {number}\n" for number in range(8)]
    code = "```python\n" + "\n".join(functions) + "```"

    chunks = split(document(Block(kind="code", text=code)), max_tokens=50)

    assert len(chunks) > 1
    assert all(chunk.text.lstrip("`python\n").startswith("def f") for chunk in chunks)


def test_a_word_of_300000_characters_is_many_passages_and_quick() -> None:
    began_s = time.process_time()

    chunks = split(document(paragraph("x" * 300_000)), max_tokens=256)

    assert time.process_time() - began_s < 5
    assert len(chunks) > 10
    assert "".join(chunk.text for chunk in chunks) == "x" * 300_000


def test_ids_are_derived_from_place_and_content() -> None:
    one = document(paragraph("Alpha."), heading("H"), paragraph("Beta."))
    two = document(paragraph("Alpha."), heading("H"), paragraph("Gamma."))

    first, again, other = split(one), split(one), split(two)

    assert [chunk.id for chunk in first] == [chunk.id for chunk in again]
    assert first[0].id == other[0].id
    assert first[1].id != other[1].id
    assert {chunk.id for chunk in first}.isdisjoint(chunk.id for chunk in split(one, namespace="another store"))


def test_a_document_without_text_has_no_passages() -> None:
    assert split(document()) == []
    assert split(document(heading("Only a heading"), paragraph("   "))) == []


def test_the_encoder_reads_title_and_headings_first() -> None:
    (chunk,) = split(document(heading("Setup"), paragraph("Run it."), title="Guide"))

    assert embedding_text("Guide", chunk, max_tokens=40) == "Guide › Setup\nRun it."
    assert embedding_text("", chunk, max_tokens=40) == "Setup\nRun it."
    assert len(embedding_text("long " * 1000, chunk, max_tokens=40)) < 60


words = st.text(st.characters(codec="utf-8", categories=["L", "N", "P", "Zs", "So"]), min_size=1, max_size=30)
sentences = st.lists(words, min_size=1, max_size=30).map(" ".join)
blocks = st.one_of(
    st.builds(lambda text: Block(kind="paragraph", text=text), sentences),
    st.builds(lambda text, level: Block(kind="heading", text=text, level=level), words, st.integers(1, 6)),
    st.builds(
        lambda lines: Block(kind="list", text="\n".join(f"- {line}" for line in lines)), st.lists(words, min_size=1)
    ),
    st.builds(lambda lines: Block(kind="code", text="```\n" + "\n\n".join(lines) + "\n```"), st.lists(sentences)),
    st.builds(
        lambda rows: Block(kind="table", text="\n".join(["| a |", "| --- |", *(f"| {row} |" for row in rows)])),
        st.lists(words, min_size=1, max_size=30),
    ),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(blocks, max_size=12), st.integers(32, 90), st.integers(0, 30))
def test_passages_are_spans_of_the_text_that_lose_nothing(parts: list[Block], max_tokens: int, merge: int) -> None:
    made = document(*parts)
    text = document_text(made)

    chunks = split(made, max_tokens=max_tokens, merge_below_tokens=merge)

    covered = set()
    for position, chunk in enumerate(chunks):
        assert chunk.position == position
        span = text[chunk.start : chunk.end]
        assert chunk.text == span or chunk.text.endswith(span)
        assert chunk.text.strip() or not text.strip()
        covered.update(range(chunk.start, chunk.end))
    start = 0
    for block in parts:
        if block.kind != "heading":
            missing = [
                offset
                for offset, character in enumerate(block.text, start)
                if offset not in covered and not character.isspace()
            ]
            assert missing == []
        start += len(block.text) + 2
    assert len({chunk.id for chunk in chunks}) == len(chunks)


@settings(max_examples=100, deadline=None)
@given(st.lists(blocks, max_size=8), st.integers(32, 90))
def test_no_passage_is_over_the_budget(parts: list[Block], max_tokens: int) -> None:
    for chunk in split(document(*parts), max_tokens=max_tokens):
        (tokens,) = WordTokenizer().count([chunk.text])
        # The cut is made between words; what stands between two pieces may count once more than the sum of its parts.
        assert tokens <= max_tokens + 4
