"""Chunks of every kind fall into pieces that can be quoted."""

from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.generate.extractive.sentences import MAX_CHUNK, MAX_CODE, MAX_PIECE, pieces, shown

MARKED = st.lists(
    st.sampled_from(
        [
            "- item one",
            "1. first",
            "| a | b |",
            "|---|---|",
            "| 1 | 2 |",
            "```",
            "~~~",
            "# Head",
            "> note",
            "x:",
            "",
            " ",
        ]
    )
    | st.text(max_size=40),
    max_size=12,
).map("\n".join)


def quotes(text):
    return [text[piece.start : piece.end] for piece in pieces(text)]


def reading(text):
    return [shown(text, piece) for piece in pieces(text)]


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=300) | MARKED)
def test_pieces_are_ordered_spans_that_are_not_blank(text):
    end = 0
    for piece in pieces(text):
        assert end <= piece.start < piece.end <= len(text)
        assert text[piece.start : piece.end].strip() == text[piece.start : piece.end]
        end = piece.end


@settings(max_examples=200, deadline=None)
@given(MARKED)
def test_what_is_shown_of_prose_is_one_line_and_code_is_fenced(text):
    for piece in pieces(text):
        answer = shown(text, piece)
        if piece.kind in ("sentence", "item", "row", "heading"):
            assert "\n" not in answer
        if piece.kind == "code":
            assert answer.rstrip().endswith(("```", "~~~"))


def test_prose_is_split_in_sentences_and_wrapped_lines_are_joined():
    text = "Mr. Smith came\nin 1999. He left."
    assert quotes(text) == ["Mr. Smith came\nin 1999.", "He left."]
    assert reading(text) == ["Mr. Smith came in 1999.", "He left."]


def test_list_items_stand_alone_without_their_markers():
    assert reading("- **Port**: the [port](http://x.y/z) to use\n  by default\n- Host\n3) Third") == [
        "Port: the port to use by default",
        "Host",
        "Third",
    ]


def test_a_table_row_reads_with_its_column_names():
    text = "| Name | Default |\n|------|---------|\n| port | 8000 |\n| host | |"
    assert reading(text) == ["Name — Default", "Name: port; Default: 8000", "Name: host"]


def test_code_is_quoted_as_a_block():
    text = "Before.\n\n```sh\npenstock up docs\n```\nAfter."
    assert quotes(text) == ["Before.", "```sh\npenstock up docs\n```", "After."]
    assert reading(text)[1] == "```sh\npenstock up docs\n```"


def test_a_fence_that_never_closes_is_closed_in_the_answer():
    assert reading("```py\nx = 1") == ["```py\nx = 1\n```"]


def test_a_lead_takes_the_code_that_follows():
    text = "To start it, run:\n\n```sh\npenstock up\n```"
    assert quotes(text) == [text]
    assert reading(text) == ["To start it, run:\n\n```sh\npenstock up\n```"]


def test_a_lead_takes_a_short_list_and_leaves_a_long_one():
    assert reading("Modes are:\n\n- fast\n- safe and\n  slow") == ["Modes are:\n- fast\n- safe and slow"]
    long = "Modes are:\n\n" + "\n".join(f"- mode number {i} of many" for i in range(50))
    assert len(pieces(long)) == 51


def test_headings_are_pieces_of_their_own_kind():
    assert [piece.kind for piece in pieces("# Ports\n\nThe port is 8000.")] == ["heading", "sentence"]


def test_marks_of_quotes_notes_and_footnotes_are_not_read_out():
    assert reading("> [!NOTE]\n> Mind the gap.[12] It is wide.") == ["Mind the gap.", "It is wide."]


def test_other_scripts_are_split_by_their_own_rules():
    assert len(pieces("東京は日本の首都です。人口は多い。")) == 2
    assert len(pieces("هل هذا صحيح؟ نعم هذا صحيح.")) == 2
    assert len(pieces("यह पहला वाक्य है। यह दूसरा है।")) == 2


def test_a_word_without_end_is_cut_in_bounded_pieces():
    found = pieces("x" * 300_000)
    assert found[-1].end <= MAX_CHUNK
    assert all(piece.end - piece.start <= MAX_PIECE for piece in found)
    code = "```\n" + "y = 1\n" * 5_000
    assert all(piece.end - piece.start <= MAX_CODE for piece in pieces(code))
