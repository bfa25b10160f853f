"""Bytes of unknown encoding become text."""

from __future__ import annotations

import codecs
import re
import unicodedata

from charset_normalizer import from_bytes

SAMPLE_BYTES = 64 * 1024
MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16: its first two bytes are UTF-16's mark
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
BINARY_SHARE = 0.02
"""Text has hardly any control bytes; random bytes have a tenth."""
LATIN = frozenset({"cp1250", "cp1252", "cp1254", "cp1257", "latin_1", "cp437", "cp850", "mac_roman"}) | {
    f"iso8859_{part}" for part in (1, 2, 3, 4, 9, 10, 13, 14, 15, 16)
}
CENTRAL_ISO = re.compile(
    rb"[A-Za-z\xc0-\xff][\xb1\xb6\xb9\xbb\xbc\xbe]|[\xa6\xa9\xac\xae\xb1\xb6\xb9\xbb\xbc\xbe][a-z\xe0-\xff]"
)
"""Letters of Polish, Czech and Slovak in ISO 8859-2 that are signs in the Windows encoding, which has them in C1."""
C1 = re.compile(rb"[\x80-\x9f]")
CYRILLIC = frozenset({"cp1251", "mac_cyrillic", "iso8859_5", "koi8_r", "koi8_u", "cp855"})
HEBREW = re.compile(rb"[\xe0-\xfa]")
NOT_HEBREW = re.compile(rb"[\xc0-\xdf\xfb\xfc\xff]")
"""Cyrillic has its capitals and some of its commonest letters here; Hebrew's one case lies below."""
APOSTROPHES = "\u2019\u00b4\u2013\u2014\u00b7"
JAPANESE_MAIL = re.compile(rb"\x1b\$[@B]")
"""ISO-2022-JP switches to its letters so, and all of its bytes are ASCII."""
PLAUSIBLE_SHARE = 0.97
SCRIPTS = ((0x0370, 0x0FFF), (0x1E00, 0x206F), (0x2E80, 0x9FFF), (0xAC00, 0xD7A3), (0xFF00, 0xFFEF))
"""Where the letters of scripts other than Latin lie in UTF-16: half of all units do, nearly all of a text's."""
CONTROLS = bytes(set(range(32)) - {0x07, 0x08, 0x09, 0x0A, 0x0B, 0x0C, 0x0D, 0x1B}) + b"\x7f"


def decode(content: bytes, *, declared: str = "") -> str:
    """The text. Bytes that fit no encoding become replacement characters: a damaged letter loses no file.

    `declared` is what the file says of itself; it is believed when the bytes agree.
    """
    for mark, name in MARKS:
        if content.startswith(mark):
            return content.decode(name, "replace")
    if wide := _wide(content):
        return content.decode(wide, "replace")
    if JAPANESE_MAIL.search(content) and (text := _as_declared(content, "iso2022_jp_ext")) is not None:
        return text
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        pass
    if declared and (text := _as_declared(content, declared)) is not None:
        return text
    return content.decode(_guess(content), "replace")


def is_binary(content: bytes) -> bool:
    """Whether bytes are no text in any encoding, judged by their beginning."""
    sample = content[:SAMPLE_BYTES]
    if any(sample.startswith(mark) for mark, _ in MARKS) or _wide(sample):
        return False
    controls = len(sample) - len(sample.translate(None, CONTROLS))
    # A short text may carry a few stray controls between its words.
    return controls > BINARY_SHARE * len(sample) and (controls > 16 or controls > 0.2 * len(sample))


def _wide(content: bytes) -> str:
    """UTF-16 or UTF-32 without a mark: zero bytes stand in fixed places of a text with some Latin in it."""
    sample = content[: SAMPLE_BYTES - SAMPLE_BYTES % 4]
    length = len(sample) - len(sample) % 4
    if length < 4:
        return ""
    zeros = [sample[place:length:4].count(0) / (length // 4) for place in range(4)]
    for name, empty, full in (
        ("utf-32-le", (1, 2, 3), (0,)),
        ("utf-32-be", (0, 1, 2), (3,)),
        ("utf-16-le", (1, 3), (0, 2)),
        ("utf-16-be", (0, 2), (1, 3)),
    ):
        mostly_empty = min(zeros[place] for place in empty)
        if mostly_empty > 0.4 and max(zeros[place] for place in full) < 0.1 * mostly_empty and _decodes(sample, name):
            return name
    return _other_script(sample)


def _other_script(sample: bytes) -> str:
    """UTF-16 of a script other than Latin: few zero bytes, but nearly every unit is a letter of a script."""
    if len(sample) == len(sample.translate(None, CONTROLS)):
        return ""  # single bytes in pairs may look like letters too; with a space or a line's end it is certain
    likely = [name for name in ("utf-16-le", "utf-16-be") if _plausible(sample, name) >= PLAUSIBLE_SHARE]
    # A script has few pages of 256 letters: of the two orders, the one with fewer different high bytes.
    first = len(set(sample[1::2])), len(set(sample[0::2]))
    return min(likely, key=lambda name: first[name == "utf-16-be"], default="")


def _plausible(sample: bytes, name: str) -> float:
    """The share of units that are letters, signs or spaces of ordinary text."""
    try:
        text = codecs.getincrementaldecoder(name)().decode(sample)
    except UnicodeDecodeError:
        return 0.0
    good = sum(
        (character.isprintable() or character.isspace())
        and (ord(character) < 0x250 or any(low <= ord(character) <= high for low, high in SCRIPTS))
        and unicodedata.category(character) != "Cn"
        for character in text
    )
    return good / max(1, len(text))


def _decodes(sample: bytes, name: str) -> bool:
    try:
        text = codecs.getincrementaldecoder(name)().decode(sample)
    except UnicodeDecodeError:
        return False
    return "\0" not in text


def _as_declared(content: bytes, declared: str) -> str | None:
    try:
        return content.decode(declared)
    except (LookupError, UnicodeDecodeError, ValueError):
        return None


def _guess(content: bytes) -> str:
    """The likeliest single- or multi-byte encoding. A few bad bytes in UTF-8 are damage, not another encoding."""
    sample = content[:SAMPLE_BYTES]
    damaged = sample.decode("utf-8", "ignore")
    wide_letters = sum(character > "\x7f" for character in damaged)
    lost = len(sample) - len(damaged.encode("utf-8"))
    if wide_letters > lost:
        return "utf-8"
    best = from_bytes(sample, cp_exclusion=["utf_7"]).best()
    guess = best.encoding if best is not None else "cp1252"
    if guess in LATIN and _reads_as_western(sample):
        return "cp1252"
    if guess in LATIN and CENTRAL_ISO.search(sample) and not C1.search(sample):
        return "iso8859_2"
    if (
        guess in CYRILLIC
        and not C1.search(sample)
        and len(HEBREW.findall(sample)) > 20
        and not NOT_HEBREW.search(sample)
    ):
        return "cp1255"
    return guess


def _reads_as_western(sample: bytes) -> bool:
    """Whether no sign stands within a word. Latin encodings hardly differ; Windows' Western one is on most disks."""
    text = sample.decode("cp1252", "replace")
    return not any(
        sign > "\x7f" and not sign.isalpha() and sign not in APOSTROPHES and before.isalpha() and after.isalpha()
        for before, sign, after in zip(text, text[1:], text[2:], strict=False)
    )
