"""Older workbooks (XLS) through calamine."""

from __future__ import annotations

import io

from python_calamine import CalamineError, CalamineWorkbook, PasswordError

from penstock.core.errors import BadDocument
from penstock.ingest.parse.limits import ParseLimits
from penstock.ingest.parse.outline import Outline


def read_xls(content: bytes, outline: Outline, limits: ParseLimits) -> None:  # noqa: ARG001 - a Reader
    """The format has at most 65,536 rows of 256 cells, so a sheet cannot be declared larger than memory holds."""
    try:
        workbook = CalamineWorkbook.from_filelike(io.BytesIO(content))
        for number, name in enumerate(workbook.sheet_names, start=1):
            outline.page = number
            rows = [[_shown(cell) for cell in row] for row in workbook.get_sheet_by_name(name).iter_rows()]
            if any(any(row) for row in rows):
                outline.heading(name, 1)
                outline.table(rows)
    except PasswordError as error:
        raise BadDocument("encrypted", "It is protected by a password.") from error
    except CalamineError as error:
        raise BadDocument("corrupt", f"It is a damaged workbook: {error}.") from error


def _shown(cell: object) -> str:
    if isinstance(cell, float) and not isinstance(cell, bool):
        return f"{cell:.15g}"
    return "" if cell is None else str(cell)
