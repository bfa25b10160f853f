"""Bytes of unknown encoding become text."""

from __future__ import annotations

import codecs

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
APOSTROPHES = "\u2019\u00b4\u2013\u2014\u00b7"
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
    if length < 4 or b"\0" not in sample:
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
    return ""


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
    return guess


def _reads_as_western(sample: bytes) -> bool:
    """Whether no sign stands within a word. Latin encodings hardly differ; Windows' Western one is on most disks."""
    text = sample.decode("cp1252", "replace")
    return not any(
        sign > "\x7f" and not sign.isalpha() and sign not in APOSTROPHES and before.isalpha() and after.isalpha()
        for before, sign, after in zip(text, text[1:], text[2:], strict=False)
    )
