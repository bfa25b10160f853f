"""Rich text (RTF)."""

from __future__ import annotations

import re
import struct

from penstock.core.errors import BadDocument
from penstock.ingest.parse.limits import ParseLimits
from penstock.ingest.parse.outline import Outline

TOKEN = re.compile(r"\\([a-z]{1,32})(-?\d{1,10})?[ ]?|\\'([0-9a-fA-F]{2})|\\([^a-z])|([{}])|[\r\n]+|([^\\{}\r\n]+)")
HIDDEN = frozenset({
    "fonttbl", "colortbl", "stylesheet", "info", "pict", "object", "objdata", "themedata", "colorschememapping",
    "latentstyles", "datastore", "listtable", "listoverridetable", "rsidtbl", "generator", "xmlnstbl", "filetbl",
    "revtbl", "fldinst", "nonshppict", "template", "bkmkstart", "bkmkend", "operator", "author", "company",
})  # fmt: skip
SIGNS = {
    "par": "\n\n", "sect": "\n\n", "page": "\n\n", "line": "\n", "tab": "\t", "emdash": "—", "endash": "–",
    "emspace": " ", "enspace": " ", "bullet": "•", "lquote": "‘", "rquote": "’", "ldblquote": "“", "rdblquote": "”",
}  # fmt: skip
SYMBOLS = {"~": "\u00a0", "_": "-", "\n": "\n\n", "\r": "\n\n", "{": "{", "}": "}", "\\": "\\"}
PACKED_MAGIC, PLAIN_MAGIC = 0x75465A4C, 0x414C454D
DICTIONARY = (
    b"{\\rtf1\\ansi\\mac\\deff0\\deftab720{\\fonttbl;}{\\f0\\fnil \\froman \\fswiss \\fmodern \\fscript \\fdecor "
    b"MS Sans SerifSymbolArialTimes New RomanCourier{\\colortbl\\red0\\green0\\blue0\r\n\\par "
    b"\\pard\\plain\\f0\\fs20\\b\\i\\u\\tab\\tx"
)
DICTIONARY_BYTES = 4096


def read_rtf(content: bytes, outline: Outline, limits: ParseLimits) -> None:  # noqa: ARG001 - a Reader
    reader = _Reader(outline)
    reader.read(content.decode("latin-1"))


def rtf_text(content: bytes) -> str:
    """Only the text, as paragraphs between blank lines."""
    outline = Outline(filename="", max_chars=len(content) + 1)
    read_rtf(content, outline, ParseLimits())
    return "\n\n".join(block.text for block in outline.document().blocks)


class _Reader:
    """Groups within groups are kept on a list: depth costs nothing."""

    def __init__(self, outline: Outline) -> None:
        self._outline = outline
        self._words: list[str] = []
        self._bytes = bytearray()
        self._row: list[str] = []
        self._rows: list[list[str]] = []
        self._encoding = "cp1252"
        self._hidden = False
        self._skip_after = 1
        self._to_skip = 0

    def read(self, text: str) -> None:
        groups: list[tuple[bool, int]] = []
        for match in TOKEN.finditer(text):
            word, argument, byte, symbol, brace, plain = match.groups()
            if byte is not None:
                self._byte(int(byte, 16))
                continue
            self._end_bytes()
            if brace == "{":
                groups.append((self._hidden, self._skip_after))
                self._to_skip = 0
            elif brace == "}":
                if groups:
                    self._hidden, self._skip_after = groups.pop()
                self._to_skip = 0
            elif word is not None:
                self._control(word, argument)
            elif symbol is not None:
                self._hidden = self._hidden or symbol == "*"
                self._text(SYMBOLS.get(symbol, ""))
            elif plain is not None:
                self._text(plain)
        self._end_bytes()
        self._end_paragraph()
        self._end_table()

    def _byte(self, value: int) -> None:
        """A sign may have several bytes in some encodings: they are gathered."""
        if self._to_skip:
            self._to_skip -= 1
        elif not self._hidden:
            self._bytes.append(value)

    def _end_bytes(self) -> None:
        if self._bytes:
            try:
                self._words.append(self._bytes.decode(self._encoding, "replace"))
            except LookupError:
                self._words.append(self._bytes.decode("cp1252", "replace"))
            self._bytes = bytearray()

    def _text(self, text: str) -> None:
        if self._to_skip:
            skipped = min(self._to_skip, len(text))
            self._to_skip -= skipped
            text = text[skipped:]
        if not self._hidden:
            self._words.append(text)

    def _control(self, word: str, argument: str | None) -> None:
        if word in HIDDEN:
            self._hidden = True
        elif word == "ansicpg" and argument:
            self._encoding = f"cp{argument}"
        elif word == "uc" and argument:
            self._skip_after = min(int(argument), 8)
        elif word == "u" and argument:
            self._unicode(int(argument))
        elif self._hidden:
            return
        elif word == "cell":
            self._row.append("".join(self._words).strip())
            self._words = []
        elif word == "row":
            self._rows.append(self._row)
            self._row = []
        elif word in SIGNS:
            if SIGNS[word] == "\n\n":
                self._end_paragraph()
            else:
                self._words.append(SIGNS[word])

    def _unicode(self, number: int) -> None:
        number &= 0xFFFF
        if not self._hidden:
            if 0xDC00 <= number < 0xE000 and self._words and 0xD800 <= ord(self._words[-1][-1:] or "\0") < 0xDC00:
                high = ord(self._words.pop())
                self._words.append(chr(0x10000 + ((high - 0xD800) << 10) + number - 0xDC00))
            else:
                self._words.append(chr(number))
        self._to_skip = self._skip_after

    def _end_paragraph(self) -> None:
        text = "".join(self._words).strip()
        if self._row and text:
            self._words = [*self._words, " "]  # a paragraph within a cell
            return
        self._words = []
        if text:
            self._end_table()
            self._outline.paragraph(text)

    def _end_table(self) -> None:
        if self._rows:
            self._outline.table(self._rows)
            self._rows = []


def unpacked_rtf(packed: bytes) -> bytes:  # noqa: C901 - one loop over flags, as the format is described
    """Outlook's compressed rich text. Raises BadDocument."""
    try:
        _, size, magic, _ = struct.unpack_from("<IIII", packed)
    except struct.error as error:
        raise BadDocument("corrupt", "Its rich text is cut off.") from error
    if magic == PLAIN_MAGIC:
        return packed[16 : 16 + size]
    if magic != PACKED_MAGIC:
        raise BadDocument("corrupt", "Its rich text cannot be unpacked.")
    ring = bytearray(DICTIONARY.ljust(DICTIONARY_BYTES, b"\0"))
    place = len(DICTIONARY)
    out = bytearray()
    position = 16
    while position < len(packed) and len(out) < size:
        flags = packed[position]
        position += 1
        for bit in range(8):
            if flags >> bit & 1:
                if position + 1 >= len(packed):
                    return bytes(out)
                reference = packed[position] << 8 | packed[position + 1]
                position += 2
                offset, length = reference >> 4, (reference & 15) + 2
                if offset == place:
                    return bytes(out)
                piece = [ring[(offset + step) % DICTIONARY_BYTES] for step in range(length)]
            elif position < len(packed):
                piece = [packed[position]]
                position += 1
            else:
                return bytes(out)
            for value in piece:
                out.append(value)
                ring[place] = value
                place = (place + 1) % DICTIONARY_BYTES
    return bytes(out)
