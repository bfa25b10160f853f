"""Microsoft's older container (OLE2): what lies in it decides which reader reads it."""

from __future__ import annotations

import io

import olefile
from olefile.olefile import OleFileError

from penstock.core.errors import BadDocument
from penstock.ingest.parse.limits import ParseLimits
from penstock.ingest.parse.outline import Outline
from penstock.ingest.parse.outlook import read_message
from penstock.ingest.parse.powerpoint97 import read_slides
from penstock.ingest.parse.word97 import read_word
from penstock.ingest.parse.xls import read_xls


def read_ole(content: bytes, outline: Outline, limits: ParseLimits) -> None:
    try:
        with olefile.OleFileIO(io.BytesIO(content)) as ole:
            _read(ole, content, outline, limits)
    except (OleFileError, OSError, IndexError, ValueError) as error:
        raise BadDocument("corrupt", f"It is damaged: {error}.") from error


def _read(ole: olefile.OleFileIO, content: bytes, outline: Outline, limits: ParseLimits) -> None:
    if ole.exists("EncryptedPackage") or ole.exists("EncryptionInfo"):
        raise BadDocument("encrypted", "It is protected by a password.")
    if ole.exists("__properties_version1.0"):
        read_message(ole, [], outline, limits)
        return
    outline.title = outline.title or _title(ole)
    if ole.exists("WordDocument"):
        read_word(ole, outline)
    elif ole.exists("Workbook") or ole.exists("Book"):
        read_xls(content, outline, limits)
    elif ole.exists("PowerPoint Document"):
        read_slides(ole, outline)
    else:
        raise BadDocument("unsupported", "It is an Office file of a kind that is not read.")


def _title(ole: olefile.OleFileIO) -> str:
    if not ole.exists("\x05SummaryInformation"):
        return ""
    title = ole.get_metadata().title
    return title.decode("cp1252", "replace") if isinstance(title, bytes) else ""
