"""Office files, books and mail: what is found in them."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile

import pytest

from penstock.core.errors import BadDocument
from tests.ingest import makers
from tests.ingest.makers import docx_item, docx_paragraph, docx_table
from tests.ingest.reading import read, shown, text_of


@pytest.mark.parametrize("strict", [False, True])
def test_docx_keeps_structure(strict):
    inner = docx_table([["x", "y"]])
    body = (
        docx_paragraph("Report", style="H1")
        + docx_paragraph("A first paragraph.")
        + docx_item("one", number=1)
        + docx_item("deep", number=1, depth=1)
        + docx_item("first", number=2)
        + docx_item("second", number=2)
        + docx_paragraph("Part", style="Own")
        + docx_table([["h1", "h2"], ["a", f"{docx_paragraph('b')}{inner}{docx_paragraph('')}"]])
    )
    document = read(
        makers.docx(body, header=docx_paragraph("Company"), footer=docx_paragraph("7"), strict=strict), "x.docx"
    )
    assert document.title == "Report"
    assert shown(document) == [
        ("paragraph", "Company"),
        ("heading1", "Report"),
        ("paragraph", "A first paragraph."),
        ("list", "- one\n  - deep\n1. first\n2. second"),
        ("heading1", "Part"),
        ("table", "| h1 | h2 |\n| --- | --- |\n| a | b x y |"),
    ]


def test_docx_merged_cells_are_not_repeated():
    tall = "<w:tc><w:tcPr><w:vMerge w:val='restart'/></w:tcPr>" + docx_paragraph("tall") + "</w:tc>"
    below = "<w:tc><w:tcPr><w:vMerge/></w:tcPr>" + docx_paragraph("") + "</w:tc>"
    wide = "<w:tc><w:tcPr><w:gridSpan w:val='2'/></w:tcPr>" + docx_paragraph("wide") + "</w:tc>"
    cell = "<w:tc>" + docx_paragraph("c") + "</w:tc>"
    table = f"<w:tbl><w:tr>{tall}{wide}</w:tr><w:tr>{below}{cell}{cell}</w:tr></w:tbl>"
    assert shown(read(makers.docx(table))) == [("table", "| tall | wide |  |\n| --- | --- | --- |\n|  | c | c |")]


def test_docx_leaves_out_deleted_text_and_second_versions():
    body = (
        "<w:p><w:r><w:t>kept</w:t></w:r><w:del><w:r><w:delText>gone</w:delText></w:r></w:del>"
        "<w:ins><w:r><w:t> added</w:t></w:r></w:ins><w:r><w:instrText>PAGE</w:instrText></w:r></w:p>"
        "<w:p><AlternateContent><Choice><w:txbxContent><w:p><w:r><w:t>box</w:t></w:r></w:p></w:txbxContent></Choice>"
        "<Fallback><w:p><w:r><w:t>box</w:t></w:r></w:p></Fallback></AlternateContent></w:p>"
    )
    assert shown(read(makers.docx(body))) == [("paragraph", "kept added"), ("paragraph", "box")]


def test_pptx_slides_are_pages():
    shape = makers.pptx_shape
    group = f"<p:grpSp>{shape(['grouped'])}</p:grpSp>"
    table = "<a:tbl><a:tr><a:tc><a:p><a:r><a:t>k</a:t></a:r></a:p></a:tc>"
    table += "<a:tc><a:p><a:r><a:t>v</a:t></a:r></a:p></a:tc></a:tr></a:tbl>"
    document = read(
        makers.pptx(
            [
                shape(["Hello"], role="title") + shape(["a", "b"], role="body") + group,
                table + shape(["9"], role="sldNum"),
            ],
            notes="Say hi",
        ),
        "x.pptx",
    )
    assert [(block.page, block.kind, block.text) for block in document.blocks] == [
        (1, "heading", "Hello"),
        (1, "list", "- a\n- b"),
        (1, "paragraph", "grouped"),
        (1, "paragraph", "Say hi"),
        (2, "table", "| k | v |\n| --- | --- |"),
    ]


def test_xlsx_values_are_shown_as_people_see_them():
    styles = '<styleSheet><numFmts><numFmt numFmtId="170" formatCode="dd/mm/yyyy"/></numFmts>'
    styles += '<cellXfs><xf numFmtId="0"/><xf numFmtId="170"/><xf numFmtId="9"/></cellXfs></styleSheet>'
    rows = (
        '<row r="1"><c r="B1" t="s"><v>0</v></c><c r="C1" t="s"><v>1</v></c>'
        '<c r="D1" t="inlineStr"><is><t>Share</t></is></c></row>'
        '<row r="2"><c r="B2" s="1"><v>45292</v></c>'
        '<c r="C2"><v>0.30000000000000004</v></c><c r="D2" s="2"><v>0.25</v></c></row>'
        '<row r="900000"><c r="XFD900000" t="b"><v>1</v></c></row>'
    )
    document = read(makers.xlsx({"Data": rows, "Empty": ""}, strings=["Day", "Sum"], styles=styles), "x.xlsx")
    assert shown(document)[0] == ("heading1", "Data")
    lines = shown(document)[1][1].split("\n")
    assert lines[0].startswith("| Day | Sum | Share |")
    assert lines[2].startswith("| 2024-01-01 | 0.3 | 25% |")
    assert "TRUE" in lines[3]
    assert len(document.blocks) == 2


def test_xls_and_other_older_formats():
    assert shown(read(makers.xls([["a", "b"], [1.5, "x"]]), "x.xls"))[1] == (
        "table",
        "| a | b |\n| --- | --- |\n| 1.5 | x |",
    )
    assert shown(read(makers.ppt(["Title", "words", "Title"]), "x.ppt")) == [
        ("paragraph", "Title"),
        ("paragraph", "words"),
    ]
    text = 'Before\rTwo \x13 HYPERLINK "http://x" \x14link\x15 end\ra\x07b\x07\x07c\x07d\x07\x07After\r'
    assert shown(read(makers.doc(text), "x.doc")) == [
        ("paragraph", "Before"),
        ("paragraph", "Two link end"),
        ("table", "| a | b |\n| --- | --- |\n| c | d |"),
        ("paragraph", "After"),
    ]


@pytest.mark.parametrize(("content", "reason"), [
    (makers.doc("secret", flags=0x0300), "encrypted"),
    (makers.doc("old", version=0x65), "unsupported"),
    (makers.ole({"EncryptedPackage": b"x", "EncryptionInfo": b"y"}), "encrypted"),
    (makers.ole({"VisioDocument": b"x"}), "unsupported"),
    (makers.odf("text", "<text:p>x</text:p>", manifest="<m><encryption-data/></m>"), "encrypted"),
    (makers.epub(["<p>x</p>"], encryption="OPS/c%200.xhtml"), "encrypted"),
    (makers.docx(""), "empty"),
])  # fmt: skip
def test_what_is_locked_old_or_empty_is_said(content, reason):
    with pytest.raises(BadDocument) as failure:
        read(content, "a.doc")
    assert failure.value.reason == reason


def test_odt_keeps_structure():
    body = (
        '<text:h text:outline-level="2">Part</text:h><text:p>a<text:s/>b<text:tab/>c</text:p>'
        "<text:list><text:list-item><text:p>one</text:p><text:list><text:list-item><text:p>deep</text:p></text:list-item>"
        "</text:list></text:list-item></text:list><text:tracked-changes><text:p>gone</text:p></text:tracked-changes>"
        "<table:table><table:table-row><table:table-cell><text:p>k</text:p></table:table-cell>"
        "<table:table-cell table:number-columns-repeated='16000'/></table:table-row><table:table-row "
        "table:number-rows-repeated='1048576'><table:table-cell/></table:table-row></table:table>"
    )
    assert shown(read(makers.odf("text", body, title="T"), "x.odt")) == [
        ("heading2", "Part"),
        ("paragraph", "a b c"),
        ("list", "- one\n  - deep"),
        ("paragraph", "k"),
    ]


def test_ods_and_odp():
    sheet = (
        "<o:spreadsheet><table:table table:name='Cups'><table:table-row>"
        "<table:table-cell table:number-columns-repeated='2'>"
        "<text:p>a</text:p></table:table-cell></table:table-row></table:table></o:spreadsheet>"
    )
    assert shown(read(makers.odf("spreadsheet", sheet))) == [
        ("heading1", "Cups"),
        ("table", "| a | a |\n| --- | --- |"),
    ]
    slides = (
        "<draw:page><draw:frame presentation:class='title'><text:p>Hello</text:p></draw:frame></draw:page>"
        "<draw:page><draw:frame><text:p>there</text:p></draw:frame></draw:page>"
    )
    document = read(makers.odf("presentation", slides))
    assert [(block.page, block.kind) for block in document.blocks] == [(1, "heading"), (2, "paragraph")]


def test_epub_chapters_in_reading_order():
    document = read(
        makers.epub(["<html><body><h1>One</h1><p>x</p></body></html>", "<p>Two</p>"], title="My book"), "x.epub"
    )
    assert document.title == "My book"
    assert shown(document) == [("heading1", "One"), ("paragraph", "x"), ("paragraph", "Two")]


MAIL = b"""From: Ann <ann@example.org>
To: Bob <bob@example.org>
Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=
Date: Fri, 23 Dec 2022 12:08:48 -0600
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary=B

--B
Content-Type: multipart/alternative; boundary=A

--A
Content-Type: text/plain; charset=iso-8859-1
Content-Transfer-Encoding: quoted-printable

Sch=F6ne Zeit
--A
Content-Type: text/html

<p>Sch&ouml;ne Zeit</p>
--A--
--B
Content-Type: text/csv; name=t.csv
Content-Disposition: attachment; filename=t.csv
Content-Transfer-Encoding: base64

YSxiCjEsMgo=
--B
Content-Type: image/png; name=p.png
Content-Disposition: attachment; filename=p.png
Content-Transfer-Encoding: base64

iVBORw0KGgo=
--B--
"""


def test_mail_is_read_once_with_its_attachments():
    document = read(MAIL, "x.eml")
    assert document.title == "Grüße"
    assert document.attributes["from"] == "Ann <ann@example.org>"
    assert document.attributes["skipped"] == "p.png (no_text)"
    assert text_of(document).count("Schöne Zeit") == 1
    assert ("table", "| a | b |\n| --- | --- |\n| 1 | 2 |") in shown(document)


def test_mail_within_mail():
    inner = b"From: c@example.org\nSubject: Inner\n\nInner words\n"
    outer = b"From: a@example.org\nSubject: Outer\nContent-Type: message/rfc822\n\n" + inner
    assert "Inner words" in text_of(read(outer, "x.eml"))


def test_outlook_message_with_attachments_and_a_message_within():
    streams = makers.msg(subject="Outer", body="Roses are red", attachments={"a.txt": b"attached words"})
    streams |= makers.msg(
        subject="Inner", html=b"<p>inner words</p>", prefix="__attach_version1.0_#00000009/__substg1.0_3701000D/"
    )
    document = read(makers.ole(streams), "x.msg")
    assert document.title == "Outer"
    for words in ("Roses are red", "attached words", "inner words", "Ann Author"):
        assert words in text_of(document)


def test_archives_name_their_members_and_what_was_skipped():
    members = {"docs/a.md": "# A\n\nalpha", "b.bin": bytes(range(256)), "inner.zip": makers.zipped({"c.txt": "gamma"})}
    document = read(makers.zipped(members), "x.zip")
    for words in ("docs/a.md", "alpha", "gamma"):
        assert words in text_of(document)
    assert document.attributes == {"skipped": "b.bin (unsupported)"}


def test_gzip_and_tar():
    assert shown(read(gzip.compress(b"# A\n\nalpha"), "a.md.gz")) == [("heading1", "A"), ("paragraph", "alpha")]
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        info = tarfile.TarInfo("../../etc/x.txt")
        info.size = 4
        archive.addfile(info, io.BytesIO(b"beta"))
    assert "beta" in text_of(read(buffer.getvalue(), "a.tgz"))


@pytest.mark.parametrize(("pack", "suffix"), [(bz2.compress, "bz2"), (lzma.compress, "xz")])
def test_other_compressed_files_have_the_same_limits(pack, suffix):
    assert shown(read(pack(b"# A\n\nalpha"), f"a.md.{suffix}")) == [("heading1", "A"), ("paragraph", "alpha")]
    with pytest.raises(BadDocument) as failure:
        read(pack(bytes(230 * 1024 * 1024)), f"bomb.txt.{suffix}")
    assert failure.value.reason == "too_large"


def test_the_type_is_found_by_content():
    assert text_of(read(makers.docx(docx_paragraph("words")), "x.pdf")) == "words"
    assert text_of(read(makers.pdf([makers.pdf_lines(["words"])]), "x.docx")) == "words"
    assert text_of(read(b"<html><body><p>words</p></body></html>", "x.doc")) == "words"
