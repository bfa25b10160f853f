from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from penstock.bench.fake_llm import Behaviour, FakeLLM
from penstock.core.context import start_context
from penstock.core.types import Chunk, Citation, Hit, Principal, Prompt
from penstock.generate.citations import CitationReader
from penstock.generate.openai import OpenAIGenerator
from penstock.generate.packed import PackedGenerator
from penstock.generate.prompt.pack import Packer
from penstock.generate.prompt.template import Templates
from penstock.generate.tokens import Estimate

PASSAGES = tuple(
    Hit(
        store_id="vs_1",
        file_id=f"file_{name}",
        filename=f"{name}.md",
        title=name,
        score=0.5,
        chunk=Chunk(id=f"chunk_{name}", position=0, text=text),
    )
    for name, text in (
        ("a", "A gate governs the flow. It is made of steel."),
        ("b", "The mill was built in 1823. It ground rye."),
        ("c", "Fish pass by a ladder."),
    )
)
ANSWER = "The mill ground rye [1]. Steel gates [2, 9] and `x[1]` and [7] ladders[3][1]; see [a] and [12"


def run(pieces: Sequence[str], places: Sequence[int] = (1, 0, 2), mark: str = "") -> tuple[str, list[Citation]]:
    reader = CitationReader(passages=PASSAGES, places=places, mark=mark)
    fed = [*(reader.feed(piece) for piece in pieces), reader.rest()]
    return "".join(text for text, _ in fed), [citation for _, some in fed for citation in some]


def test_numbers_become_the_callers_and_dangling_ones_are_dropped() -> None:
    text, citations = run([ANSWER])

    assert text == "The mill ground rye [2]. Steel gates [1] and `x[1]` and ladders[3][2]; see [a] and [12"
    assert [citation.number for citation in citations] == [2, 1, 3, 2]
    for citation in citations:
        assert text[citation.index :].startswith(f"[{citation.number}]")


def test_the_quote_is_the_sentence_that_says_it() -> None:
    _, citations = run([ANSWER])
    chunk = PASSAGES[1].chunk

    assert citations[0].chunk_id == "chunk_b"
    assert citations[0].quote == "It ground rye."
    assert chunk.text[citations[0].start : citations[0].end] == citations[0].quote


@given(cuts=st.lists(st.integers(0, len(ANSWER)), max_size=10))
def test_it_does_not_matter_how_the_answer_was_cut(cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), len(ANSWER)]

    assert run([ANSWER[a:b] for a, b in zip(edges, edges[1:], strict=False)]) == run([ANSWER])  # noqa: RUF007


def test_the_delimiter_never_leaves() -> None:
    text, _ = run(["so it goes #ab", "c12", "3 on [1]"], mark="#abc123")

    assert text == "so it goes  on [2]"


async def test_an_engines_answer_comes_back_with_citations_of_the_callers_passages() -> None:
    server = FakeLLM(behaviour=Behaviour(answer="It ground rye [1]. No [5]."))
    await server.start()
    engine = OpenAIGenerator(model="fake", url=server.url)
    await engine.start()
    packer = Packer(templates=Templates(), tokens=Estimate(), key=b"k")
    generator = PackedGenerator(engine=engine, packer=packer)
    prompt = Prompt(question="What did it grind?", passages=PASSAGES)

    deltas = [delta async for delta in generator.generate(prompt, start_context(principal=Principal(), timeout_s=5.0))]

    place = packer.pack(prompt, tenant="default").places[0]
    assert "".join(delta.text for delta in deltas) == f"It ground rye [{place + 1}]. No."
    assert [c.number for delta in deltas for c in delta.citations] == [place + 1]
    assert deltas[-1].finish == "stop"
    await engine.stop()
    await server.stop()
