"""PDF: reading order, columns, tables, headings, forms, locks."""

from __future__ import annotations

import pytest

from penstock.core.errors import BadDocument
from tests.ingest.makers import pdf, pdf_lines, pdf_table, pdf_text
from tests.ingest.reading import read, shown, text_of

LEFT = [f"left column line {n} with several words in it" for n in range(1, 9)]
RIGHT = [f"right column line {n} with several words too" for n in range(1, 9)]


def test_headings_paragraphs_and_pages():
    first = (
        pdf_text(72, 740, "The big title", size=22)
        + "\n"
        + pdf_lines(["One sentence that goes on", "over two lines."], top=700)
    )
    first += (
        "\n"
        + pdf_text(72, 640, "A bold heading", font="F2")
        + "\n"
        + pdf_lines(["More words follow it here."], top=610)
    )
    document = read(pdf([first, pdf_lines(["Second page."])], title="untitled"), "x.pdf")
    assert document.title == "The big title"
    assert [(block.kind, block.level, block.page, block.text) for block in document.blocks] == [
        ("heading", 1, 1, "The big title"),
        ("paragraph", 0, 1, "One sentence that goes on over two lines."),
        ("heading", 2, 1, "A bold heading"),
        ("paragraph", 0, 1, "More words follow it here."),
        ("paragraph", 0, 2, "Second page."),
    ]


@pytest.mark.parametrize("interleaved", [False, True])
def test_two_columns_are_read_one_after_the_other(interleaved):
    left = [pdf_text(60, 700 - 14 * n, line) for n, line in enumerate(LEFT)]
    right = [pdf_text(330, 700 - 14 * n, line) for n, line in enumerate(RIGHT)]
    drawn = [line for pair in zip(left, right, strict=True) for line in pair] if interleaved else left + right
    text = text_of(
        read(
            pdf(
                [
                    pdf_text(60, 740, "A title over both columns, wide enough to cross the gap", size=12)
                    + "\n"
                    + "\n".join(drawn)
                ]
            )
        )
    )
    assert text.index(LEFT[-1]) < text.index(RIGHT[0])
    assert text.startswith("A title over both columns")


def test_tables_without_rules_keep_rows_and_empty_cells():
    content, table = pdf_table()
    assert shown(read(pdf([content]))) == [("table", table)]


def test_lists_and_words_divided_at_a_line_end():
    content = pdf_lines(["1. first item of this", "2. second item goes on", "   and ends here"], top=700)
    content += "\n" + pdf_lines(["The word is hyphen-", "ated."], top=600)
    assert shown(read(pdf([content]))) == [
        ("list", "1. first item of this\n2. second item goes on and ends here"),
        ("paragraph", "The word is hyphenated."),
    ]


def test_letters_placed_one_by_one_become_words():
    x, letters = 72.0, []
    for letter in "some spaced words here":
        if letter != " ":
            letters.append(pdf_text(x, 700, letter))
        x += 12
    assert text_of(read(pdf(["\n".join(letters)]))) == "some spaced words here"


@pytest.mark.parametrize("rotate", [0, 90, 180, 270])
def test_turned_pages_read_the_same(rotate):
    turned = {
        0: "1 0 0 1 0 0", 90: "0 1 -1 0 612 0", 180: "-1 0 0 -1 612 792", 270: "0 -1 1 0 0 792",
    }[rotate]  # fmt: skip
    content = f"q {turned} cm\n" + pdf_lines(["first line of text", "second line of text"], top=500) + "\nQ"
    assert text_of(read(pdf([content], rotate=rotate))) == "first line of text second line of text"


def test_repeated_heads_of_pages_are_kept_once():
    pages = [
        pdf_text(72, 760, f"Annual report, page {n}")
        + "\n"
        + pdf_lines([f"Words of page {n} alone: {'abcde'[n]}"], top=600)
        for n in range(5)
    ]
    text = text_of(read(pdf(pages)))
    assert text.count("Annual report") == 1
    assert text.count("Words of page") == 5


def test_invisible_text_is_text():
    assert "hidden layer" in text_of(read(pdf(["BT /F1 11 Tf 3 Tr 72 700 Td (hidden layer) Tj ET"])))


def test_form_fields_are_read():
    field = b"<< /Type /Annot /Subtype /Widget /FT /Tx /T (serial) /V (TIKA-1226) /Rect [72 500 200 520] /P 10 0 R >>"
    form = "/AcroForm << /Fields [20 0 R] /DA (/F1 0 Tf) /DR << /Font << /F1 3 0 R >> >> >>"
    document = read(pdf([pdf_lines(["A form"])], annotations="/Annots [20 0 R]", catalog=form, extra={20: field}))
    assert "TIKA-1226" in text_of(document)


def test_rubbish_before_the_header_is_accepted():
    assert text_of(read(b"\x00junk" * 100 + pdf([pdf_lines(["words"])]), "x.pdf")) == "words"


@pytest.mark.parametrize(("content", "reason"), [
    (pdf([pdf_lines(["secret"])], user=b"password"), "encrypted"),
    (pdf([pdf_lines(["secret"])], user=b"", permissions=-4 - 16), "forbidden"),
    (pdf(["0 0 200 200 re f"]), "no_text"),
    (pdf([""]), "empty"),
    (pdf([pdf_lines(["x"])])[:60], "corrupt"),
    (b"%PDF-1.7\nnothing else", "corrupt"),
])  # fmt: skip
def test_what_cannot_be_read_has_a_reason(content, reason):
    with pytest.raises(BadDocument) as failure:
        read(content, "x.pdf")
    assert failure.value.reason == reason


def test_an_empty_user_password_opens():
    assert text_of(read(pdf([pdf_lines(["open to all"])], user=b""))) == "open to all"
