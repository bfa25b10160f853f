"""OCR that is asked for and cannot work is said at the start, with what to install."""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec
import pytest

from penstock.config import IngestSettings
from penstock.core.errors import BadSetting
from penstock.ingest.language_data import find_language_data
from penstock.ingest.reader import FileReader
from tests.hashing import WordTokenizer
from tests.program import penstock

ON = IngestSettings(ocr="scans")


def test_off_needs_nothing():
    assert find_language_data(IngestSettings(ocr_data="no-such-folder")) is None


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "tesserocr", None)
    with pytest.raises(BadSetting, match=r"pip install 'penstock\[ocr\]'"):
        find_language_data(ON)


def test_a_missing_language_is_named_with_its_package(tmp_path: Path):
    pytest.importorskip("tesserocr", reason="the extra 'ocr' is not installed")
    (tmp_path / "eng.traineddata").touch()
    settings = IngestSettings(ocr="scans", ocr_languages=("eng", "chi_sim"), ocr_data=str(tmp_path))
    with pytest.raises(BadSetting, match="apt-get install tesseract-ocr-chi-sim") as failure:
        find_language_data(settings)
    assert "chi_sim.traineddata" in failure.value.message
    (tmp_path / "chi_sim.traineddata").touch()
    data = find_language_data(settings)
    assert data is not None
    assert (data.folder, data.languages) == (str(tmp_path), ("eng", "chi_sim"))


@pytest.mark.parametrize("languages", [[], ["../eng"], ["eng+deu"], [""]])
def test_names_of_languages_are_checked(languages: list[str]):
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"ocr": "scans", "ocr_languages": languages}, IngestSettings)


def test_files_are_read_anew_when_ocr_is_turned_on(tmp_path: Path):
    pytest.importorskip("tesserocr", reason="the extra 'ocr' is not installed")
    for language in ("eng", "deu"):
        (tmp_path / f"{language}.traineddata").touch()
    off = IngestSettings(ocr_data=str(tmp_path))
    on = msgspec.structs.replace(off, ocr="scans")
    more = (msgspec.structs.replace(on, ocr_languages=("eng", "deu")), msgspec.structs.replace(on, ocr_max_pages=9))
    said = [FileReader(settings=each, tokenizer=WordTokenizer()).fingerprint for each in (off, on, *more)]
    assert len(set(said)) == 4
    assert "scans" not in said[0], "who has it off keeps what was read"


def test_no_command_starts_without_what_ocr_needs(tmp_path: Path):
    asked = {"PENSTOCK_INGEST_OCR": "scans", "PENSTOCK_INGEST_OCR_DATA": str(tmp_path)}
    done = penstock("ask", "What holds?", "--data", tmp_path / "data", **asked)
    assert done.returncode == 2
    assert "ingest.ocr" in done.stderr
    assert "Traceback" not in done.stderr
    doctor = penstock("doctor", "--data", tmp_path / "data", "--port", "0", **asked)
    assert doctor.returncode == 3
    assert "OCR is on, and cannot work" in doctor.stdout
