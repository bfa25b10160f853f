"""Small files of each format, made here byte by byte, so that a test says what is in them."""

from __future__ import annotations

import hashlib
import io
import itertools
import struct
import zipfile
from collections.abc import Mapping, Sequence
from xml.sax.saxutils import escape

W = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
STRICT_W = "http://purl.oclc.org/ooxml/wordprocessingml/main"
RELATIONS = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
STRICT_RELATIONS = "http://purl.oclc.org/ooxml/officeDocument/relationships"


def zipped(members: Mapping[str, bytes | str], *, stored: Sequence[str] = ()) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            kind = zipfile.ZIP_STORED if name in stored else zipfile.ZIP_DEFLATED
            archive.writestr(name, content, compress_type=kind)
    return buffer.getvalue()


# --- Office Open XML ---------------------------------------------------------------


def relations(*targets: tuple[str, str, str], base: str = RELATIONS) -> str:
    rows = "".join(f'<Relationship Id="{name}" Type="{base}/{kind}" Target="{to}"/>' for name, kind, to in targets)
    return f'<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">{rows}</Relationships>'


def ooxml(main: str, parts: Mapping[str, str | bytes], *, base: str = RELATIONS) -> bytes:
    return zipped(
        {
            "[Content_Types].xml": '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"/>',
            "_rels/.rels": relations(("r1", "officeDocument", main), base=base),
            **parts,
        }
    )


def docx_paragraph(text: str, *, style: str = "", properties: str = "") -> str:
    named = f'<w:pStyle w:val="{style}"/>' if style else ""
    return f'<w:p><w:pPr>{named}{properties}</w:pPr><w:r><w:t xml:space="preserve">{escape(text)}</w:t></w:r></w:p>'


def docx_item(text: str, *, number: int, depth: int = 0) -> str:
    numbering = f'<w:numPr><w:ilvl w:val="{depth}"/><w:numId w:val="{number}"/></w:numPr>'
    return docx_paragraph(text, properties=numbering)


def docx_table(rows: Sequence[Sequence[str]]) -> str:
    cells = "".join(
        "<w:tr>"
        + "".join(f"<w:tc>{cell if cell.startswith('<') else docx_paragraph(cell)}</w:tc>" for cell in row)
        + "</w:tr>"
        for row in rows
    )
    return f"<w:tbl>{cells}</w:tbl>"


DOCX_STYLES = f"""<w:styles xmlns:w="{W}">
<w:style w:styleId="H1"><w:name w:val="heading 1"/></w:style>
<w:style w:styleId="Own"><w:name w:val="Chapter"/><w:basedOn w:val="H1"/></w:style>
</w:styles>"""
DOCX_NUMBERING = f"""<w:numbering xmlns:w="{W}">
<w:abstractNum w:abstractNumId="0"><w:lvl w:ilvl="0"><w:numFmt w:val="bullet"/></w:lvl>
<w:lvl w:ilvl="1"><w:numFmt w:val="bullet"/></w:lvl></w:abstractNum>
<w:abstractNum w:abstractNumId="1"><w:lvl w:ilvl="0"><w:numFmt w:val="decimal"/></w:lvl></w:abstractNum>
<w:num w:numId="1"><w:abstractNumId w:val="0"/></w:num><w:num w:numId="2"><w:abstractNumId w:val="1"/></w:num>
</w:numbering>"""


def docx(body: str, *, header: str = "", footer: str = "", strict: bool = False) -> bytes:
    namespace, base = (STRICT_W, STRICT_RELATIONS) if strict else (W, RELATIONS)
    parts = {
        "word/document.xml": f'<w:document xmlns:w="{namespace}"><w:body>{body}</w:body></w:document>',
        "word/styles.xml": DOCX_STYLES,
        "word/numbering.xml": DOCX_NUMBERING,
        "word/header1.xml": f'<w:hdr xmlns:w="{namespace}">{header}</w:hdr>',
        "word/footer1.xml": f'<w:ftr xmlns:w="{namespace}">{footer}</w:ftr>',
        "word/_rels/document.xml.rels": relations(
            ("a", "styles", "styles.xml"),
            ("b", "numbering", "numbering.xml"),
            ("c", "header", "header1.xml"),
            ("d", "footer", "footer1.xml"),
            base=base,
        ),
    }
    return ooxml("word/document.xml", parts, base=base)


def pptx(slides: Sequence[str], *, notes: str = "") -> bytes:
    a = 'xmlns:a="http://schemas.openxmlformats.org/drawingml/2006/main" xmlns:p="p" xmlns:r="r"'
    ids = "".join(f'<p:sldId r:id="s{number}"/>' for number in range(len(slides)))
    parts: dict[str, str | bytes] = {
        "ppt/presentation.xml": f"<p:presentation {a}><p:sldIdLst>{ids}</p:sldIdLst></p:presentation>",
        "ppt/_rels/presentation.xml.rels": relations(
            *((f"s{number}", "slide", f"slides/slide{number}.xml") for number in range(len(slides)))
        ),
    }
    for number, slide in enumerate(slides):
        parts[f"ppt/slides/slide{number}.xml"] = f"<p:sld {a}><p:cSld><p:spTree>{slide}</p:spTree></p:cSld></p:sld>"
    if notes:
        parts["ppt/slides/_rels/slide0.xml.rels"] = relations(("n", "notesSlide", "../notesSlides/notes0.xml"))
        parts["ppt/notesSlides/notes0.xml"] = f"<p:notes {a}>{pptx_shape([notes])}</p:notes>"
    return ooxml("ppt/presentation.xml", parts)


def pptx_shape(paragraphs: Sequence[str], *, role: str = "") -> str:
    named = f'<p:nvPr><p:ph type="{role}"/></p:nvPr>' if role else ""
    text = "".join(f"<a:p><a:r><a:t>{escape(line)}</a:t></a:r></a:p>" for line in paragraphs)
    return f"<p:sp>{named}<p:txBody>{text}</p:txBody></p:sp>"


def xlsx(sheets: Mapping[str, str], *, strings: Sequence[str] = (), styles: str = "") -> bytes:
    names = "".join(f'<sheet name="{escape(name)}" r:id="s{n}"/>' for n, name in enumerate(sheets))
    parts: dict[str, str | bytes] = {
        "xl/workbook.xml": f'<workbook xmlns:r="r"><sheets>{names}</sheets></workbook>',
        "xl/sharedStrings.xml": "<sst>" + "".join(f"<si><t>{escape(text)}</t></si>" for text in strings) + "</sst>",
        "xl/styles.xml": styles or "<styleSheet/>",
        "xl/_rels/workbook.xml.rels": relations(
            *((f"s{n}", "worksheet", f"worksheets/sheet{n}.xml") for n in range(len(sheets))),
            ("x", "sharedStrings", "sharedStrings.xml"),
            ("y", "styles", "styles.xml"),
        ),
    }
    for n, rows in enumerate(sheets.values()):
        parts[f"xl/worksheets/sheet{n}.xml"] = (
            f'<worksheet><dimension ref="A1:XFD1048576"/><sheetData>{rows}</sheetData></worksheet>'
        )
    return ooxml("xl/workbook.xml", parts)


# --- OpenDocument and EPUB -----------------------------------------------------------


def odf(kind: str, body: str, *, manifest: str = "<manifest/>", styles: str = "<styles/>", title: str = "") -> bytes:
    return zipped(
        {
            "mimetype": f"application/vnd.oasis.opendocument.{kind}",
            "content.xml": f'<o:document xmlns:o="o" xmlns:text="t" xmlns:table="b" xmlns:draw="d" '
            f'xmlns:presentation="p"><o:body>{body}</o:body></o:document>',
            "styles.xml": styles,
            "meta.xml": f"<meta><title>{title}</title></meta>",
            "META-INF/manifest.xml": manifest,
        },
        stored=("mimetype",),
    )


def epub(chapters: Sequence[str], *, title: str = "A book", encryption: str = "") -> bytes:
    items = "".join(f'<item id="c{n}" href="c%20{n}.xhtml"/>' for n in range(len(chapters)))
    spine = "".join(f'<itemref idref="c{n}"/>' for n in range(len(chapters)))
    members: dict[str, str | bytes] = {
        "mimetype": "application/epub+zip",
        "META-INF/container.xml": '<container><rootfiles><rootfile full-path="OPS/book.opf"/></rootfiles></container>',
        "OPS/book.opf": f"<package><metadata><title>{title}</title></metadata><manifest>{items}</manifest>"
        f"<spine>{spine}</spine></package>",
    }
    members |= {f"OPS/c {n}.xhtml": text for n, text in enumerate(chapters)}
    if encryption:
        members["META-INF/encryption.xml"] = f'<e><CipherReference URI="{encryption}"/></e>'
    return zipped(members, stored=("mimetype",))


# --- PDF ---------------------------------------------------------------------------


def pdf_text(x: float, y: float, text: str, *, size: float = 11, font: str = "F1") -> str:
    inner = text.replace("\\", "\\\\").replace("(", "\\(").replace(")", "\\)")
    return f"BT /{font} {size} Tf {x} {y} Td ({inner}) Tj ET"


def pdf_lines(lines: Sequence[str], *, x: float = 72, top: float = 720, size: float = 11, step: float = 14) -> str:
    return "\n".join(pdf_text(x, top - step * n, line, size=size) for n, line in enumerate(lines))


def pdf(
    pages: Sequence[str],
    *,
    rotate: int = 0,
    title: str = "",
    annotations: str = "",
    catalog: str = "",
    resources: str = "",
    extra: Mapping[int, bytes] | None = None,
    user: bytes | None = None,
    permissions: int = -4,
) -> bytes:
    """Objects: 1 catalog, 2 pages, 3 and 4 fonts, 5 info, 10.. pages and contents in pairs. `user`: encrypt."""
    objects: dict[int, bytes] = {
        1: f"<< /Type /Catalog /Pages 2 0 R {catalog} >>".encode(),
        3: b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
        4: b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica-Bold >>",
        5: f"<< /Title ({title}) >>".encode(),
    }
    kids = []
    lock = _Lock(user, permissions) if user is not None else None
    for n, content in enumerate(pages):
        page, stream = 10 + 2 * n, 11 + 2 * n
        kids.append(f"{page} 0 R")
        objects[page] = (
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Rotate {rotate} /Contents {stream} 0 R "
            f"/Resources << /Font << /F1 3 0 R /F2 4 0 R >> {resources} >> {annotations} >>"
        ).encode()
        data = content.encode("latin-1")
        data = lock.encrypt(stream, data) if lock else data
        objects[stream] = b"<< /Length %d >>\nstream\n%s\nendstream" % (len(data), data)
    objects[2] = f"<< /Type /Pages /Kids [{' '.join(kids)}] /Count {len(kids)} >>".encode()
    trailer = ""
    if lock:
        objects[6] = lock.dictionary
        trailer = f"/Encrypt 6 0 R /ID [<{lock.identity.hex()}> <{lock.identity.hex()}>]"
        del objects[5]
    objects |= extra or {}
    return pdf_file(objects, trailer)


def pdf_file(objects: Mapping[int, bytes], trailer: str = "") -> bytes:
    out = bytearray(b"%PDF-1.7\n")
    places: dict[int, int] = {}
    for number in sorted(objects):
        places[number] = len(out)
        out += b"%d 0 obj\n%s\nendobj\n" % (number, objects[number])
    start = len(out)
    size = max(objects) + 1
    out += b"xref\n0 %d\n0000000000 65535 f \n" % size
    for number in range(1, size):
        if number in places:
            out += b"%010d 00000 n \n" % places[number]
        else:
            out += b"0000000000 65535 f \n"
    info = "/Info 5 0 R" if 5 in objects else ""
    out += f"trailer\n<< /Size {size} /Root 1 0 R {info} {trailer} >>\nstartxref\n{start}\n%%EOF\n".encode()
    return bytes(out)


class _Lock:
    """PDF's standard security handler, revision 2 (40 bits): enough to be locked."""

    padding = bytes.fromhex("28BF4E5E4E758A4164004E56FFFA01082E2E00B6D0683E802F0CA9FE6453697A")
    identity = b"0123456789abcdef"

    def __init__(self, user: bytes, permissions: int) -> None:
        owner_key = hashlib.md5((b"owner" + self.padding)[:32]).digest()[:5]
        owner = rc4(owner_key, (user + self.padding)[:32])
        bits = struct.pack("<i", permissions)
        self._key = hashlib.md5((user + self.padding)[:32] + owner + bits + self.identity).digest()[:5]
        check = rc4(self._key, self.padding)
        self.dictionary = (
            f"<< /Filter /Standard /V 1 /R 2 /O <{owner.hex()}> /U <{check.hex()}> /P {permissions} >>".encode()
        )

    def encrypt(self, number: int, data: bytes) -> bytes:
        key = hashlib.md5(self._key + number.to_bytes(3, "little") + b"\0\0").digest()[:10]
        return rc4(key, data)


def rc4(key: bytes, data: bytes) -> bytes:
    state = list(range(256))
    j = 0
    for i in range(256):
        j = (j + state[i] + key[i % len(key)]) & 255
        state[i], state[j] = state[j], state[i]
    i = j = 0
    out = bytearray()
    for value in data:
        i = (i + 1) & 255
        j = (j + state[i]) & 255
        state[i], state[j] = state[j], state[i]
        out.append(value ^ state[(state[i] + state[j]) & 255])
    return bytes(out)


# --- OLE2 and what lies in it --------------------------------------------------------

SECTOR = 512
SMALL_STREAM = 4096
"""Shorter streams would lie in a stream of small streams. There are none: attachments are filled up with spaces, all
others with zeros."""
NONE, END, FAT = 0xFFFFFFFF, 0xFFFFFFFE, 0xFFFFFFFD


def ole(streams: Mapping[str, bytes]) -> bytes:
    """Streams by path, storages parted by `/`."""
    entries: list[tuple[str, int, bytes, list[int]]] = [("Root Entry", 5, b"", [])]
    index = {"": 0}
    for path, content in streams.items():
        parts = path.split("/")
        for depth in range(1, len(parts) + 1):
            here = "/".join(parts[:depth])
            if here not in index:
                leaf = depth == len(parts)
                index[here] = len(entries)
                entries[index["/".join(parts[: depth - 1])]][3].append(len(entries))
                body = content.ljust(SMALL_STREAM, b" " if here.endswith("37010102") else b"\0") if leaf else b""
                entries.append((parts[depth - 1], 2 if leaf else 1, body, []))
    sectors: list[bytes] = []
    chain: list[int] = []

    def put(data: bytes) -> int:
        first = len(sectors)
        pieces = [data[at : at + SECTOR].ljust(SECTOR, b"\0") for at in range(0, len(data), SECTOR)]
        sectors.extend(pieces)
        chain.extend([*range(first + 1, first + len(pieces)), END])
        return first

    starts = [put(body) if body else END for _, _, body, _ in entries]
    siblings = {child: right for _, _, _, children in entries for child, right in itertools.pairwise([*children, NONE])}
    rows = b""
    for number, (name, kind, body, children) in enumerate(entries):
        wide = name.encode("utf-16-le")
        rows += wide.ljust(64, b"\0") + struct.pack("<HBB", len(wide) + 2, kind, 1)
        rows += struct.pack("<III", NONE, siblings.get(number, NONE), children[0] if children else NONE)
        rows += bytes(36) + struct.pack("<IQ", starts[number], len(body))
    rows += (bytes(64) + struct.pack("<HBBIII", 0, 0, 0, NONE, NONE, NONE) + bytes(48)) * (-len(entries) % 4)
    directory = put(rows)
    fat_sectors = 1
    while (len(sectors) + fat_sectors) * 4 > fat_sectors * SECTOR:
        fat_sectors += 1
    table = [*chain, *[FAT] * fat_sectors]
    table += [NONE] * (fat_sectors * SECTOR // 4 - len(table))
    fat = struct.pack(f"<{len(table)}I", *table)
    head = bytes.fromhex("D0CF11E0A1B11AE1") + bytes(16) + struct.pack("<HHHHH", 0x3E, 3, 0xFFFE, 9, 6) + bytes(6)
    head += struct.pack("<IIIIIIIII", 0, fat_sectors, directory, 0, SMALL_STREAM, END, 0, END, 0)
    first_fat = len(sectors)
    places = [*range(first_fat, first_fat + fat_sectors)]
    head += struct.pack("<109I", *places, *[NONE] * (109 - fat_sectors))
    return head + b"".join(sectors) + fat


def msg(
    *, subject: str, body: str = "", html: bytes = b"", attachments: Mapping[str, bytes] | None = None, prefix: str = ""
) -> dict[str, bytes]:
    """Streams of an Outlook message, for `ole`."""
    streams = {
        "__properties_version1.0": bytes(32),
        "__substg1.0_0037001F": subject.encode("utf-16-le"),
        "__substg1.0_0C1A001F": "Ann Author".encode("utf-16-le"),
    }
    if body:
        streams["__substg1.0_1000001F"] = body.encode("utf-16-le")
    if html:
        streams["__substg1.0_10130102"] = html
    for number, (name, content) in enumerate((attachments or {}).items()):
        folder = f"__attach_version1.0_#{number:08X}"
        streams[f"{folder}/__substg1.0_3707001F"] = name.encode("utf-16-le")
        streams[f"{folder}/__substg1.0_37010102"] = content
    return {prefix + name: content for name, content in streams.items()}


def doc(text: str, *, flags: int = 0x0200, version: int = 0xC1) -> bytes:
    """A Word 97 document of one piece of wide text."""
    body = text.encode("utf-16-le")
    start = 0x600
    head = bytearray(start)
    struct.pack_into("<HH", head, 0, 0xA5EC, version)
    struct.pack_into("<H", head, 0x0A, flags)
    pieces = struct.pack("<II", 0, len(text)) + struct.pack("<HIH", 0, start, 0)
    table = b"\x02" + struct.pack("<I", len(pieces)) + pieces
    struct.pack_into("<II", head, 0x01A2, 0, len(table))
    return ole({"WordDocument": bytes(head) + body, "1Table": table})


def xls(rows: Sequence[Sequence[str | float]]) -> bytes:
    """An Excel 97 workbook of one sheet."""

    def record(kind: int, body: bytes) -> bytes:
        return struct.pack("<HH", kind, len(body)) + body

    start_of_globals = record(0x0809, struct.pack("<HHHHII", 0x0600, 0x0005, 0, 0, 0, 0))
    end = record(0x000A, b"")
    bound = len(record(0x0085, bytes(8 + 5)))
    place = len(start_of_globals) + bound + len(end)
    globals_ = start_of_globals + record(0x0085, struct.pack("<IBBBB", place, 0, 0, 5, 0) + b"Data1") + end
    sheet = record(0x0809, struct.pack("<HHHHII", 0x0600, 0x0010, 0, 0, 0, 0))
    sheet += record(0x0200, struct.pack("<IIHHH", 0, len(rows), 0, max(map(len, rows)), 0))
    for r, row in enumerate(rows):
        for column, value in enumerate(row):
            if isinstance(value, str):
                text = value.encode("latin-1")
                sheet += record(0x0204, struct.pack("<HHHHB", r, column, 0, len(text), 0) + text)
            else:
                sheet += record(0x0203, struct.pack("<HHHd", r, column, 0, value))
    return ole({"Workbook": (globals_ + sheet + end).ljust(4096, b"\0")})


def ppt(texts: Sequence[str]) -> bytes:
    atoms = b""
    for text in texts:
        body = text.encode("utf-16-le")
        atoms += struct.pack("<HHI", 0, 0x0FA0, len(body)) + body
    return ole({"PowerPoint Document": struct.pack("<HHI", 0xF, 0x0FF0, len(atoms)) + atoms, "Current User": b"x"})


def pdf_table() -> tuple[str, str]:
    """A table without rules and with an empty cell, as a page's content, and as what it should be read as."""
    rows = [["Code", "Place", "Count"], ["SKU-1", "A-12", "450"], ["SKU-2", "", "780"], ["SKU-3", "C-15", "9"]]
    content = "\n".join(
        pdf_text(72 + 150 * column, 700 - 20 * row, cell)
        for row, cells in enumerate(rows)
        for column, cell in enumerate(cells)
        if cell
    )
    table = "| Code | Place | Count |\n| --- | --- | --- |\n| SKU-1 | A-12 | 450 |\n"
    table += "| SKU-2 |  | 780 |\n| SKU-3 | C-15 | 9 |"
    return content, table
