"""Small files that the zygote reads once, before it gives anything up.

Some of Python's modules import others only when they first need them, and a child can open no file any more.
"""

from __future__ import annotations

import io
from collections.abc import Iterator

from penstock.ingest.parse.limits import ParseLimits
from penstock.ingest.parse.ocr import Ocr, Recognizer
from penstock.ingest.parse.picture import FORMATS
from penstock.ingest.sandbox.child import outcome

MAIL = (
    b"From: =?utf-8?q?=C3=84?= <a@example.org>\nTo: b@example.org, c@example.org\nSubject: =?utf-8?b?w4Q=?=\n"
    b"Date: Fri, 23 Dec 2022 12:08:48 -0600\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=B\n\n"
    b"--B\nContent-Type: text/plain; charset=iso-8859-1\nContent-Transfer-Encoding: quoted-printable\n\n=C4\n"
    b"--B\nContent-Type: text/html\n\n<p>x</p>\n"
    b"--B\nContent-Type: text/csv\nContent-Disposition: attachment; filename*=utf-8''%C3%84.csv\n"
    b"Content-Transfer-Encoding: base64\n\nYSxiCjEsMgo=\n"
    b"--B\nContent-Type: message/rfc822\n\nFrom: d@example.org\nSubject: x\n\ny\n--B--\n"
)
SAMPLES = (
    ("a.eml", MAIL),
    ("a.md", b"# A\n\n- b\n\n| c | d |\n|---|---|\n| e | f |\n"),
    ("a.html", "<html><head><meta charset='koi8-r'></head><body><p>я</p></body></html>".encode("koi8-r")),
    ("a.txt", "Żółta łódka płynie po jeziorze, a ptaki śpiewają".encode("cp1250")),
    ("a.csv", b"a;b\n1;2\n"),
    ("a.json", b'[{"a": 1, "b": 2.5}, {"a": 2, "b": null}]'),
    ("a.xml", b"<?xml version='1.0'?><a><b c='d'>e</b></a>"),
    ("a.pdf", b"%PDF-1.7\nnothing"),
    ("a.zip", b"PK\x05\x06" + bytes(18)),
    ("a.msg", bytes.fromhex("D0CF11E0A1B11AE1") + bytes(1000)),
)


def rehearse(recognizer: Recognizer | None) -> None:
    """What comes of it does not matter."""
    limits = ParseLimits()
    for filename, content in SAMPLES:
        outcome(content, filename, limits)
    if recognizer is not None:
        for content in _pictures():
            outcome(content, "a.png", limits, Ocr(recognizer=recognizer, limits=limits))


def _pictures() -> Iterator[bytes]:
    from PIL import Image  # noqa: PLC0415 - of the extra `ocr`

    for name in FORMATS:
        file = io.BytesIO()
        Image.new("L", (32, 32), 255).save(file, name)
        yield file.getvalue()
