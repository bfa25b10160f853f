"""Files made to do harm, and files that are damaged: name, bytes, and the reasons that are right for them."""

from __future__ import annotations

import gzip
import io
import struct
import tarfile
import zlib
from collections.abc import Callable, Iterator

from tests.ingest import makers
from tests.ingest.makers import docx_paragraph, pdf_lines

FINE = "fine"
"""Reading what is harmless in it is right too."""

Case = tuple[str, Callable[[], bytes], frozenset[str]]


def cases(*, secret: str, port: int) -> Iterator[Case]:
    """`secret` is the path of a file that must not be read, `port` one that must not be called."""
    for group in (_archives(), _xml(secret, port), _pdfs(), _texts(), _offices(), _disguised(), _cut_off()):
        for name, make, reasons in group:
            yield name, make, frozenset(reasons.split())


Group = Iterator[tuple[str, Callable[[], bytes], str]]


def _archives() -> Group:
    zeros = bytes(230 * 1024 * 1024)
    yield "bomb.zip", lambda: makers.zipped({"zeros.txt": zeros}), "too_large"
    yield "bomb.gz", lambda: gzip.compress(zeros, 1), "too_large"
    yield "nested.zip", lambda: _nested(12), "too_large"
    yield "many.zip", lambda: makers.zipped({f"{n}.txt": "x" for n in range(5000)}), "too_large"
    yield "quine.gz", lambda: _matryoshka(8), "too_large"
    yield "lying-size.zip", _lying_size, "corrupt too_large fine"
    yield "overlapping.zip", _overlapping, "corrupt too_large fine"
    yield "slip.zip", lambda: makers.zipped({"../../../tmp/evil.txt": "harmless", "/etc/evil": "harmless"}), FINE
    yield "slip.tar", _tar_slip, FINE
    yield "bomb.docx", lambda: makers.docx(docx_paragraph("A" * 215_000_000)), "too_large memory"
    yield "bomb.epub", lambda: makers.epub(["<p>" + "B" * 215_000_000]), "too_large memory"


def _nested(depth: int) -> bytes:
    content = makers.zipped({"zeros.txt": bytes(10 * 1024 * 1024)})
    for level in range(depth):
        content = makers.zipped({f"{level}-{copy}.zip": content for copy in range(10)})
    return content


def _matryoshka(depth: int) -> bytes:
    content = b"words"
    for _ in range(depth):
        content = gzip.compress(content)
    return content


def _lying_size() -> bytes:
    content = bytearray(makers.zipped({"a.txt": bytes(20_000_000)}))
    place = content.rindex(b"PK\x01\x02")
    struct.pack_into("<I", content, place + 24, 10)
    return bytes(content)


def _overlapping() -> bytes:
    """Two entries of the directory, one body."""
    content = makers.zipped({"a.txt": "same words", "b.txt": "same words"})
    first, second = content.index(b"PK\x01\x02"), content.rindex(b"PK\x01\x02")
    changed = bytearray(content)
    changed[second + 42 : second + 46] = content[first + 42 : first + 46]
    return bytes(changed)


def _tar_slip() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        link = tarfile.TarInfo("link")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
        info = tarfile.TarInfo("../../evil.txt")
        info.size = 8
        archive.addfile(info, io.BytesIO(b"harmless"))
    return buffer.getvalue()


def _xml(secret: str, port: int) -> Group:
    laughs = "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 12))
    bomb = f'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a0 "ha">{laughs}]><x>&a11;</x>'
    local = f'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY e SYSTEM "file://{secret}">]><x>&e;</x>'
    remote = f'<?xml version="1.0"?><!DOCTYPE x SYSTEM "http://127.0.0.1:{port}/x.dtd"><x>words</x>'
    parameter = f'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY % p SYSTEM "http://127.0.0.1:{port}/p"> %p;]><x>words</x>'
    quadratic = f'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "{"a" * 100_000}">]><x>{"&a;" * 100_000}</x>'
    yield "laughs.xml", bomb.encode, "unsupported"
    yield "quadratic.xml", quadratic.encode, "unsupported"
    yield "local.xml", local.encode, "unsupported"
    yield "remote.xml", remote.encode, "unsupported fine"
    yield "parameter.xml", parameter.encode, "unsupported fine"
    yield "deep.xml", lambda: b"<?xml version='1.0'?>" + b"<a>" * 500_000 + b"x" + b"</a>" * 500_000, "fine corrupt"
    yield (
        "attributes.xml",
        lambda: b"<?xml version='1.0'?><a " + b" ".join(b"a%d='x'" % n for n in range(200_000)) + b"/>",
        "fine empty corrupt",
    )
    yield "laughs.docx", lambda: makers.ooxml("word/document.xml", {"word/document.xml": bomb}), "unsupported"
    yield "local.docx", lambda: makers.ooxml("word/document.xml", {"word/document.xml": local}), "unsupported"
    yield "remote.svg", f'<svg><image href="http://127.0.0.1:{port}/i"/><text>words</text></svg>'.encode, FINE
    page = f'<html><body><img src="http://127.0.0.1:{port}/i"><iframe src="file://{secret}"></iframe>words'
    yield "remote.html", page.encode, FINE
    paragraph = f'<w:document xmlns:w="{makers.W}"><w:body>{docx_paragraph("words")}</w:body></w:document>'
    yield "template.docx", lambda: makers.ooxml("word/document.xml", {
        "word/document.xml": paragraph,
        "word/_rels/document.xml.rels": makers.relations(("a", "attachedTemplate", f"http://127.0.0.1:{port}/t")),
    }), FINE  # fmt: skip


def _pdfs() -> Group:
    zeros = zlib.compress(b"0 0 m " * 18_000_000, 9)
    flate = b"<< /Length %d /Filter /FlateDecode >>\nstream\n%s\nendstream" % (len(zeros), zeros)
    twice = zlib.compress(zlib.compress(bytes(300_000_000), 1), 9)
    chain = b"<< /Length %d /Filter [/FlateDecode /FlateDecode] >>\nstream\n%s\nendstream" % (len(twice), twice)
    page = pdf_lines(["words"])
    yield (
        "flate-bomb.pdf",
        lambda: makers.pdf([page], extra={11: flate}),
        "fine empty no_text memory too_large corrupt timeout",
    )
    yield (
        "double-flate.pdf",
        lambda: makers.pdf([page], extra={11: chain}),
        "fine empty no_text memory too_large corrupt timeout",
    )
    yield "xref-loop.pdf", lambda: _xref_loop(page), "fine corrupt empty"
    yield (
        "page-loop.pdf",
        lambda: makers.pdf([page], extra={2: b"<< /Type /Pages /Kids [2 0 R] /Count 5 >>"}),
        "fine corrupt empty no_text",
    )
    yield "many-pages.pdf", _many_pages, "too_large"
    yield (
        "count-lie.pdf",
        lambda: makers.pdf([page], extra={2: b"<< /Type /Pages /Kids [10 0 R] /Count 2000000000 >>"}),
        "fine corrupt too_large empty timeout",
    )
    yield "form-loop.pdf", lambda: makers.pdf(["/X Do"], extra={
        3: b"<< /Type /XObject /Subtype /Form /BBox [0 0 9 9] /Resources << /XObject << /X 3 0 R >> >> /Length 5 >>\n"
        b"stream\n/X Do\nendstream",
    }), "fine empty corrupt no_text"  # fmt: skip
    yield (
        "deep-arrays.pdf",
        lambda: makers.pdf([page], extra={20: b"[" * 200_000 + b"]" * 200_000}),
        "fine corrupt empty",
    )
    yield (
        "script.pdf",
        lambda: makers.pdf([page], catalog="/OpenAction << /S /JavaScript /JS (app.alert\\(1\\)) >>"),
        FINE,
    )


def _xref_loop(page: str) -> bytes:
    content = makers.pdf([page])
    start = content.rindex(b"xref\n0")
    return content.replace(b"trailer\n<<", b"trailer\n<< /Prev %d" % start)


def _many_pages() -> bytes:
    kids = b" ".join([b"10 0 R"] * 100_000)
    return makers.pdf([pdf_lines(["words"])], extra={2: b"<< /Type /Pages /Count 100000 /Kids [" + kids + b"] >>"})


def _texts() -> Group:
    yield "word.txt", lambda: b"x" * 5_000_000, FINE
    yield "nuls.txt", lambda: b"words\0\0\0more\0" * 1000, "fine unsupported"
    yield "deep.json", lambda: b"[" * 500_000 + b"]" * 500_000, "corrupt fine"
    yield "deep-object.json", lambda: b'{"a":' * 200_000 + b"1" + b"}" * 200_000, "corrupt fine"
    yield "number.json", lambda: b"[" + b"9" * 1_000_000 + b"]", FINE
    yield "deep.html", lambda: b"<html><body>" + b"<div>" * 200_000 + b"words", "corrupt"
    yield "deep-tables.html", lambda: b"<html><body>" + b"<table><tr><td>" * 3_000 + b"words", "corrupt"
    yield "deep-lists.html", lambda: b"<html><body>" + b"<ul><li>a" * 5_000, "corrupt"
    yield "columns.html", lambda: b"<html><body><table><tr>" + b"<td colspan=1000000>x" * 2_000 + b"</table>", FINE
    yield "quotes.md", lambda: b"> " * 50_000 + b"words", "corrupt"
    yield "links.md", lambda: b"[a](" * 100_000, FINE
    yield "emphasis.md", lambda: b"*a **a " * 100_000, FINE
    yield "fields.csv", lambda: b",".join([b"x"] * 1_000_000), "too_large"
    yield "quote.csv", lambda: b'"' + b"a,b\n" * 1_000_000, FINE
    yield "groups.rtf", lambda: b"{\\rtf1 " + b"{" * 1_000_000 + b"words", FINE
    yield "parts.eml", lambda: _nested_parts(3_000), "fine corrupt too_large"
    yield "header.eml", lambda: b"From: " + b"(" * 100_000 + b"\nSubject: x\n\nwords\n", "fine corrupt"


def _nested_parts(depth: int) -> bytes:
    lines = [b"From: a@example.org\nSubject: x"]
    lines += [b"Content-Type: multipart/mixed; boundary=b%d\n\n--b%d" % (level, level) for level in range(depth)]
    return b"\n".join([*lines, b"Content-Type: text/plain\n\nwords\n"])


def _offices() -> Group:
    row = "".join(f'<c r="{column}1"><v>1</v></c>' for column in ("A", "XFD"))
    sparse = "".join(f'<row r="{n}">{row}</row>' for n in (1, 1_048_576))
    wide = "<row>" + "<c><v>1</v></c>" * 150_000 + "</row>"
    cells = "".join(f"<row>{'<c><v>1</v></c>' * 500}</row>" for _ in range(300))
    yield "sparse.xlsx", lambda: makers.xlsx({"S": sparse}), FINE
    yield "wide.xlsx", lambda: makers.xlsx({"S": wide}), FINE
    yield "cells.xlsx", lambda: makers.xlsx({"S": cells}), FINE
    yield "string-bomb.xlsx", lambda: makers.xlsx(
        {"S": "".join("<row>" + '<c t="s"><v>0</v></c>' * 100 + "</row>" for _ in range(100))}, strings=["x" * 100_000]
    ), "too_large memory"  # fmt: skip
    repeated = (
        "<o:spreadsheet><table:table><table:table-row table:number-rows-repeated='1048576'><table:table-cell "
        "table:number-columns-repeated='16384'><text:p>x</text:p></table:table-cell></table:table-row></table:table></o:spreadsheet>"
    )
    yield "repeated.ods", lambda: makers.odf("spreadsheet", repeated), FINE
    yield (
        "deep.docx",
        lambda: makers.docx(
            "<w:tbl><w:tr><w:tc>" * 50_000 + docx_paragraph("words") + "</w:tc></w:tr></w:tbl>" * 50_000
        ),
        "fine corrupt",
    )
    yield "loop.ole", _looping_ole, "fine corrupt"
    yield (
        "pieces.doc",
        lambda: makers.doc("words").replace(struct.pack("<II", 0, 5), struct.pack("<II", 0, 2**31 - 1)),
        "fine corrupt empty",
    )


def _looping_ole() -> bytes:
    """Every sector's successor is itself."""
    content = bytearray(makers.doc("words " * 2000))
    fat = len(content) - makers.SECTOR
    for number in range(makers.SECTOR // 4):
        struct.pack_into("<I", content, fat + 4 * number, number)
    return bytes(content)


def _disguised() -> Group:
    pdf = makers.pdf([pdf_lines(["words"])])
    yield "zip-in-pdf.pdf", lambda: pdf + makers.zipped({"a.txt": "words"}), FINE
    yield "pdf-named.docx", lambda: pdf, FINE
    yield "text-named.xlsx", lambda: b"only words", "corrupt"
    yield "program-named.txt", lambda: b"\x7fELF\x02\x01\x01" + bytes(range(256)) * 20, "unsupported"
    yield "random-named.pdf", lambda: zlib.compress(bytes(range(256)) * 40)[2:] * 3, "unsupported corrupt"
    yield "picture-named.md", lambda: b"\xff\xd8\xff\xe0" + bytes(range(256)) * 10, "no_text"
    yield "half-zip.docx", lambda: b"PK\x03\x04" + bytes(range(256)) * 10, "corrupt"


def _cut_off() -> Group:
    words = docx_paragraph("words " * 500)
    whole = {
        "cut.docx": makers.docx(words),
        "cut.xlsx": makers.xlsx({"S": "<row><c><v>1</v></c></row>" * 500}),
        "cut.pptx": makers.pptx([makers.pptx_shape(["words"] * 500)]),
        "cut.odt": makers.odf("text", "<text:p>words</text:p>" * 500),
        "cut.epub": makers.epub(["<p>words</p>" * 500]),
        "cut.pdf": makers.pdf([pdf_lines(["words"] * 40)]),
        "cut.msg": makers.ole(makers.msg(subject="S", body="words " * 500)),
        "cut.doc": makers.doc("words " * 5000),
        "cut.xls": makers.xls([["a", "b"]] * 300),
        "cut.gz": gzip.compress(b"words " * 5000),
        "cut.zip": makers.zipped({"a.txt": "words " * 5000}),
    }
    for name, content in whole.items():
        yield name, lambda content=content: content[: len(content) * 3 // 5], "corrupt empty fine no_text unsupported"  # type: ignore[misc]
