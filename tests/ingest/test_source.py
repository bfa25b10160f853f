from __future__ import annotations

import gzip
import os
from pathlib import Path

import pytest

from penstock.config import IngestSettings
from penstock.core.errors import BadDocument, InvalidRequest
from penstock.core.ports import Source
from penstock.ingest.records import document_of
from penstock.ingest.source import SourceItem, walk

SETTINGS = IngestSettings(max_file_bytes=10_000)


def found(*paths: Path) -> list[SourceItem]:
    return list(walk(paths, settings=SETTINGS))


def write(path: Path, text: str = "words") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def reason(item: Source) -> str:
    with pytest.raises(BadDocument) as caught:
        item.read()
    return caught.value.reason


def test_a_folder_is_read_in_order_with_names_from_its_root(tmp_path: Path) -> None:
    for name in ("b.md", "a/z.txt", "a/b/c.html"):
        write(tmp_path / name)

    items = found(tmp_path)

    assert [item.name for item in items] == ["b.md", "a/z.txt", "a/b/c.html"]
    assert items[0].read() == b"words"
    assert len({item.identity for item in items}) == 3


def test_files_of_one_name_in_two_folders_are_two_documents(tmp_path: Path) -> None:
    write(tmp_path / "one/readme.md"), write(tmp_path / "two/readme.md")

    items = found(tmp_path / "one", tmp_path / "two")

    assert [item.name for item in items] == ["readme.md", "readme.md"]
    assert items[0].identity != items[1].identity


def test_what_is_hidden_or_ignored_is_left_out(tmp_path: Path) -> None:
    for name in (
        "kept.md",
        ".secret",
        ".git/config",
        "node_modules/x.js",
        "drafts/a.md",
        "notes.tmp",
        "drafts2/keep.md",
    ):
        write(tmp_path / name)
    write(tmp_path / ".penstockignore", "drafts/\n*.tmp\n")

    assert [item.name for item in found(tmp_path)] == ["kept.md", "drafts2/keep.md"]


def test_a_missing_path_is_an_error_before_anything_is_read(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="no file or folder"):
        walk([write(tmp_path / "a.md"), tmp_path / "missing"], settings=SETTINGS)


def test_what_cannot_be_read_says_why(tmp_path: Path) -> None:
    write(tmp_path / "in/empty.txt", "")
    write(tmp_path / "in/large.txt", "x" * 10_001)
    (tmp_path / "in/broken").symlink_to(tmp_path / "nowhere")
    (tmp_path / "in/out.md").symlink_to(write(tmp_path / "outside.md"))
    (tmp_path / "in/loop").symlink_to(tmp_path / "in", target_is_directory=True)
    os.mkfifo(tmp_path / "in/pipe")

    reasons = {item.name: reason(item) for item in found(tmp_path / "in")}

    assert reasons == {
        "empty.txt": "empty",
        "large.txt": "too_large",
        "broken": "forbidden",
        "out.md": "forbidden",
        "pipe": "unsupported",
    }


def test_a_file_that_vanishes_is_unreadable(tmp_path: Path) -> None:
    (item,) = found(write(tmp_path / "a.md"))
    (tmp_path / "a.md").unlink()

    assert reason(item) == "unreadable"


def test_the_stamp_changes_with_the_file(tmp_path: Path) -> None:
    path = write(tmp_path / "a.md")
    before = found(path)[0].stamp
    os.utime(path, ns=(1, 1))

    assert found(path)[0].stamp != before


CORPUS = (
    '{"_id": "one", "title": "First", "text": "A.\\n\\nB.", "attributes": {"year": 2026, "draft": true, "team": "x"}}\n'
    "\n"
    '{"_id": "two", "text": "Only text.", "metadata": {}}\n'
    "not json\n"
    '{"_id": "", "text": "no id"}\n'
    '{"title": "no text", "_id": "x"}\n'
    '{"_id": "three", "title": null, "text": "Last."}'
)


@pytest.mark.parametrize("name", ["corpus.jsonl", "corpus.ndjson", "corpus.jsonl.gz"])
def test_each_line_of_a_corpus_is_a_document_and_a_bad_line_is_named(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(gzip.compress(CORPUS.encode()) if name.endswith("gz") else CORPUS.encode())

    items = found(path)

    assert [item.name for item in items] == ["one", "two", f"{name}:4", f"{name}:5", f"{name}:6", "three"]
    assert [reason(item) for item in items[2:5]] == ["corrupt"] * 3
    document = document_of(items[0].read())
    assert (document.filename, document.title) == ("one", "First")
    assert [block.text for block in document.blocks] == ["A.", "B."]
    assert document.attributes == {"year": 2026.0, "draft": True, "team": "x"}
    assert isinstance(document.attributes["year"], float)
    assert document_of(items[-1].read()).title == ""


def test_a_line_keeps_its_stamp_wherever_it_stands(tmp_path: Path) -> None:
    lines = CORPUS.splitlines()
    one, two = (
        write(tmp_path / "a.jsonl", lines[0] + "\n" + lines[2]),
        write(tmp_path / "b.jsonl", lines[2] + "\n" + lines[0]),
    )

    stamps = {item.name: (item.stamp, item.identity) for item in found(one)}

    assert {item.name: (item.stamp, item.identity) for item in found(two)} == stamps


def test_json_lines_of_another_form_are_one_file(tmp_path: Path) -> None:
    (item,) = found(write(tmp_path / "events.jsonl", '{"event": "login"}\n{"event": "logout"}\n'))

    assert (item.kind, item.name) == ("file", "events.jsonl")


def test_a_cut_off_archive_gives_what_it_has_and_says_so(tmp_path: Path) -> None:
    path = tmp_path / "corpus.jsonl.gz"
    lines = "".join(f'{{"_id": "{number}", "text": "{os.urandom(40).hex()}"}}\n' for number in range(500))
    path.write_bytes(gzip.compress(lines.encode())[:-2000])

    items = found(path)

    assert items[0].kind == "record"
    assert reason(items[-1]) == "corrupt"
    assert items[-1].name == "corpus.jsonl.gz"


def test_a_line_over_the_limit_is_refused_alone(tmp_path: Path) -> None:
    long = '{"_id": "long", "text": "' + "x" * 30_000 + '"}'
    path = write(tmp_path / "corpus.jsonl", f'{{"_id": "a", "text": "A."}}\n{long}\n{{"_id": "b", "text": "B."}}\n')

    items = found(path)

    assert [item.name for item in items] == ["a", "corpus.jsonl:2", "b"]
    assert reason(items[1]) == "too_large"


def test_too_many_attributes_are_refused() -> None:
    attributes = ", ".join(f'"a{number}": 1' for number in range(17))

    with pytest.raises(BadDocument, match="17 attributes"):
        document_of(f'{{"_id": "x", "text": "y", "attributes": {{{attributes}}}}}'.encode())
