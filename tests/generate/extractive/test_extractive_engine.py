"""The engine answers in quoted sentences, each with a citation that can be checked, or says that it found nothing."""

import asyncio
import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.core.context import start_context
from penstock.core.errors import DeadlineExceeded
from penstock.core.types import Principal, Prompt
from penstock.generate.extractive import NOTHING_FOUND, ExtractiveGenerator
from tests.generate.extractive.extractive_passages import RIVERS, SALMON, answer, context, hit, prompt


async def test_the_answer_is_the_sentence_with_its_citation():
    deltas = await answer(prompt("How long is the Rhine?", RIVERS, SALMON), max_sentences=1)
    text = "".join(delta.text for delta in deltas)
    assert text == "The river is 1,230 kilometres long. [1]"
    (citation,) = deltas[0].citations
    assert citation.quote == RIVERS[citation.start : citation.end] == "The river is 1,230 kilometres long."
    assert text[citation.index :] == "[1]"
    assert (citation.number, citation.filename, citation.chunk_id) == (1, "doc1.md", "chunk1")
    assert deltas[-1].finish == "stop"
    assert not deltas[-1].abstained
    assert deltas[-1].confidence > 0.5


async def test_who_finds_the_person_in_another_passage():
    deltas = await answer(prompt("Who led the salmon programme?", RIVERS, SALMON), max_sentences=1)
    assert deltas[0].text == "Johanna Keller led the programme that built fish ladders at the dams. [2]"


@pytest.mark.parametrize("limit", [1, 2, 3, 5])
async def test_never_more_sentences_than_allowed(limit):
    rivers = " ".join(f"The river Rhine number {i} flows to Basel." for i in range(9))
    deltas = await answer(prompt("Where does the Rhine flow?", rivers, SALMON), max_sentences=limit, abstain_below=0.0)
    assert sum(len(delta.citations) for delta in deltas) == limit


async def test_a_sentence_far_behind_the_best_is_left_out():
    text = "The mill of Basel was built by Ada Moss in 1820. Bread is eaten."
    deltas = await answer(prompt("Who built the mill of Basel?", text))
    assert [citation.quote for delta in deltas for citation in delta.citations] == [text.split(" Bread", maxsplit=1)[0]]


async def test_it_says_that_it_found_nothing():
    deltas = await answer(prompt("What do pandas eat for breakfast?", RIVERS, dense=0.05, lexical=None))
    assert "".join(delta.text for delta in deltas) == NOTHING_FOUND
    assert deltas[-1].abstained
    assert deltas[-1].finish == "stop"
    assert deltas[-1].confidence < 0.5
    assert not any(delta.citations for delta in deltas)


async def test_no_passages_no_answer():
    deltas = await answer(Prompt(question="How long is the Rhine?", passages=()), abstain_below=0.0)
    assert deltas[-1].abstained
    assert deltas[-1].confidence == 0.0


async def test_the_threshold_is_a_setting():
    asked = prompt("What do pandas eat for breakfast?", RIVERS, dense=0.05, lexical=None)
    assert not (await answer(asked, abstain_below=0.0))[-1].abstained
    sure = prompt("How long is the Rhine?", RIVERS)
    assert (await answer(sure, abstain_below=1.0))[-1].abstained


async def test_versions_of_one_document_do_not_say_it_twice():
    text = "The river Rhine flows to Basel. The river Rhine flows on to the sea."
    deltas = await answer(prompt("Where does the river Rhine flow?", text, text, text), max_sentences=5)
    quotes = [citation.quote for delta in deltas for citation in delta.citations]
    assert sorted(quotes) == ["The river Rhine flows on to the sea.", "The river Rhine flows to Basel."]


async def test_code_stands_as_a_block_with_its_citation_after_it():
    text = "To list running processes, run:\n\n```sh\nps aux\n```\n\nOther text is here."
    deltas = await answer(prompt("How do I list running processes?", text), max_sentences=2, abstain_below=0.0)
    answered = "".join(delta.text for delta in deltas)
    assert answered.startswith("To list running processes, run:\n\n```sh\nps aux\n```\n[1]")
    for delta in deltas:
        for citation in delta.citations:
            assert text[citation.start : citation.end] == citation.quote
            assert answered.startswith("[1]", citation.index)


async def test_headings_never_answer():
    deltas = await answer(
        prompt("What is the length of the Rhine?", "# Length of the Rhine\n\nShort."), abstain_below=0
    )
    assert deltas[0].text == "Short. [1]"


async def test_the_same_question_has_the_same_answer():
    asked = prompt("When did salmon come back to the Rhine?", RIVERS, SALMON)
    assert await answer(asked) == await answer(asked)


async def test_closing_early_ends_it():
    deltas = ExtractiveGenerator(max_sentences=3, abstain_below=0.0).generate(prompt("Rhine?", RIVERS), context())
    async with contextlib.aclosing(deltas):
        assert (await anext(deltas)).citations
    with pytest.raises(StopAsyncIteration):
        await anext(deltas)


async def test_no_answer_after_the_deadline():
    late = start_context(principal=Principal(), timeout_s=0.0)
    deltas = ExtractiveGenerator(max_sentences=3, abstain_below=0.0).generate(prompt("Rhine?", RIVERS), late)
    with pytest.raises(DeadlineExceeded):
        await anext(deltas)


async def test_the_loop_has_its_turn_between_passages():
    turns = 0

    async def others():
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    neighbour = asyncio.create_task(others())
    await answer(prompt("How long is the Rhine?", *[RIVERS] * 8))
    neighbour.cancel()
    assert turns >= 8


HOSTILE = [
    "x" * 300_000,
    "no punctuation at all " * 5_000,
    "نهر الراين طويل. ينبع من جبال الألب؟ نعم.",
    "🙂🙃" * 500 + ". 🎉!",
    "\x00\x01 control \u202e reversed \ufeff.",
    "東京は日本の首都です。川は長い。",
    "| a | b |\n|---|---|\n" + "| 1 | 2 |\n" * 400,
    "```\n" * 99,
    "[[[[[[" * 3_000 + "](((",
    "**" * 5_000,
    "> " * 5_000,
    "\n" * 10_000 + ".",
    "? ! . … ; ,",
    "\ud800 lone surrogate.",
]


@pytest.mark.parametrize("text", HOSTILE, ids=[str(i) for i in range(len(HOSTILE))])
@pytest.mark.parametrize(
    "question", ["How long is the Rhine?", "🙂", "?", "川はどこですか", "x" * 8_000, "is " * 2_500]
)
async def test_hostile_text_is_only_text(text, question):
    deltas = await answer(prompt(question, text), abstain_below=0.0)
    answered = "".join(delta.text for delta in deltas)
    assert len(answered) < 10_000
    for delta in deltas:
        for citation in delta.citations:
            assert citation.quote == text[citation.start : citation.end]


@settings(max_examples=150, deadline=None)
@given(
    question=st.text(min_size=1, max_size=60),
    texts=st.lists(st.text(min_size=1, max_size=200), max_size=4),
    dense=st.none() | st.floats(-1, 1),
)
def test_citations_always_point_at_what_they_quote(question, texts, dense):
    asked = prompt(question, *texts, dense=dense)
    deltas = asyncio.run(answer(asked, abstain_below=0.0))
    answered = "".join(delta.text for delta in deltas)
    citations = [citation for delta in deltas for citation in delta.citations]
    assert len(citations) <= 3
    for citation in citations:
        chunk = asked.passages[citation.number - 1].chunk
        assert citation.quote
        assert chunk.text[citation.start : citation.end] == citation.quote
        assert answered.startswith(f"[{citation.number}]", citation.index)
    assert 0.0 <= deltas[-1].confidence <= 1.0


async def test_only_so_many_passages_are_read():
    asked = Prompt(question="How long is the Rhine?", passages=tuple(hit(RIVERS, number=i) for i in range(1, 200)))
    deltas = await answer(asked)
    assert all(citation.number <= 20 for delta in deltas for citation in delta.citations)
