"""What one file may cost."""

from __future__ import annotations

import msgspec

MIB = 1024 * 1024


class ParseLimits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Bounds of one file's parsing. Over any of them the file fails with a reason; the next one is not touched."""

    max_file_bytes: int = 100 * MIB
    wall_s: float = 30.0
    ocr_max_pages: int = 200
    """Pages, or pictures, whose text is recognised."""
    ocr_wall_s: float = 0.0
    """What recognising them may take beside that; 0 where nothing is recognised."""
    memory_bytes: int = 512 * MIB
    """Address space of the process that parses, the program itself included."""
    max_output_chars: int = 30_000_000
    max_members: int = 2_000
    """Files in an archive or message, those in archives within it included."""
    max_member_bytes: int = 200 * MIB
    """What one part of a zip container (a sheet, the text of a DOCX) may inflate to."""
    max_unpacked_bytes: int = 500 * MIB
    """What all parts together may inflate to."""
    max_ratio: int = 200
    """An archive member that inflates to more than so many times its size is refused above a megabyte."""
    max_depth: int = 3
    """Archives within archives, messages within messages."""

    @property
    def longest_s(self) -> float:
        """After that a file is given up, whatever is in it."""
        return self.wall_s + self.ocr_wall_s
