"""Which sentences come first, by what the question's words and form ask for."""

import pytest

from penstock.generate.extractive import scoring
from penstock.generate.extractive.cues import offers, wanted
from penstock.generate.extractive.scoring import FEATURES, MAX_WORDS, WEIGHTS, ask, rank, read
from penstock.generate.extractive.words import RAREST, rarity, stems
from tests.generate.extractive.extractive_passages import hit


def best(question, *texts, title=""):
    reads = [read(hit(text, number=i, title=title)) for i, text in enumerate(texts)]
    first = rank(ask(question), reads)[0]
    piece = reads[first.hit].pieces[first.piece]
    return reads[first.hit].hit.chunk.text[piece.start : piece.end]


@pytest.mark.parametrize(
    ("question", "text", "expected"),
    [
        (
            "When was the mill built?",
            "The mill was built by the river. The mill was built in 1820.",
            "The mill was built in 1820.",
        ),
        (
            "Who built the mill?",
            "The mill was built in stone. The mill was built by Ada Moss.",
            "The mill was built by Ada Moss.",
        ),
        (
            "How many wheels does the mill have?",
            "The wheels of the mill are wood. The mill has four wheels.",
            "The mill has four wheels.",
        ),
        (
            "What did millers defend?",
            "The millers were rich. Their defence was of the sluice.",
            "Their defence was of the sluice.",
        ),
    ],
)
def test_what_is_asked_for_decides_between_sentences_with_the_same_words(question, text, expected):
    assert best(question, text) == expected


def test_rare_words_weigh_more_than_common_ones():
    assert rarity("the") < rarity("river") < rarity("zyzzyva") <= RAREST
    assert best("Did people see a zyzzyva?", "People are many. A zyzzyva is small.") == "A zyzzyva is small."


def test_words_compare_by_their_stems():
    assert stems("Rivers flowing") == stems("river flows")
    assert stems("東京都庁") == ["東京", "京都", "都庁"]
    assert max(map(len, stems("y" * 300_000))) <= 40


def test_a_question_of_asking_words_only_still_asks_something():
    assert ask("Who are you?").weights
    assert ask("?!").weights == {}


def test_a_long_question_counts_by_its_rarest_words():
    assert len(ask(" ".join(f"word{i}" for i in range(5_000))).weights) == MAX_WORDS


def test_the_work_grows_with_the_pieces_not_with_their_square():
    """Counts features' rows: latency's bound, without a clock."""
    reads = [read(hit("The mill stands. " * 40, number=i)) for i in range(8)]
    table, places = scoring.features(ask("Where does the mill stand?"), reads)
    assert table.shape == (8 * 40, len(FEATURES))
    assert len(places) == 8 * 40


def test_every_feature_has_a_weight():
    assert set(WEIGHTS) == set(FEATURES)


@pytest.mark.parametrize(
    ("question", "kind", "with_it", "without_it"),
    [
        ("Who wrote it?", "person", "It was by Ada Moss.", "It was by a miller."),
        ("When did it open?", "time", "It opened in March.", "It opened then."),
        ("In what year did it open?", "year", "It opened in 1820.", "It opened in March."),
        ("Where is it?", "place", "It stands in Basel.", "It stands alone."),
        ("How many are there?", "count", "There are two.", "There are some."),
        ("Why did it burn?", "reason", "It burnt because of dust.", "It burnt down."),
    ],
)
def test_cues(question, kind, with_it, without_it):
    assert wanted(question) == kind
    assert offers(wanted(question), with_it, question.lower()) == 1.0
    assert offers(wanted(question), without_it, question.lower()) == 0.0


def test_a_name_that_the_question_gives_is_no_answer():
    assert offers("person", "It was by Ada.", "who helped ada?") == 0.0
