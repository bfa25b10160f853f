"""What OCR needs beside Penstock: two packages, and a file for each language."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from penstock.config import IngestSettings
from penstock.core.errors import BadSetting
from penstock.ingest.parse.ocr import LanguageData

PACKAGES = ("tesserocr", "PIL")
FOLDERS = tuple(
    Path(folder)
    for folder in (
        "/usr/share/tesseract-ocr/5/tessdata",  # Debian, Ubuntu
        "/usr/share/tesseract-ocr/4.00/tessdata",
        "/usr/share/tessdata",  # Fedora, Arch, Alpine
        "/usr/share/tesseract/tessdata",
        "/usr/local/share/tessdata",
        "/opt/homebrew/share/tessdata",
    )
)


def find_language_data(settings: IngestSettings) -> LanguageData | None:
    """None where OCR is off. Raises BadSetting, saying what to install."""
    if settings.ocr == "off":
        return None
    if any(find_spec(name) is None for name in PACKAGES):
        raise BadSetting("ingest.ocr needs the extra 'ocr': pip install 'penstock[ocr]'.")
    folders = (Path(settings.ocr_data),) if settings.ocr_data else FOLDERS
    missing = {folder: _missing(folder, settings.ocr_languages) for folder in folders}
    folder = min(folders, key=lambda folder: len(missing[folder]))
    if missing[folder]:
        packages = " ".join(f"tesseract-ocr-{language.replace('_', '-')}" for language in missing[folder])
        raise BadSetting(
            f"ingest.ocr_languages: there is no {missing[folder][0]}.traineddata in {folder}. On Debian and Ubuntu: "
            f"apt-get install {packages}. Elsewhere: put the file into a folder, and name that in ingest.ocr_data."
        )
    return LanguageData(folder=str(folder.absolute()), languages=settings.ocr_languages)


def _missing(folder: Path, languages: tuple[str, ...]) -> list[str]:
    return [language for language in languages if not (folder / f"{language}.traineddata").is_file()]
