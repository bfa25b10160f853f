"""The commands as users meet them, good input and bad, each in a process of its own."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest

from tests.program import penstock, start


@pytest.fixture(scope="module")
def handbook(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of documents, and beside it the data folder into which they were read."""
    folder = tmp_path_factory.mktemp("handbook")
    documents = folder / "documents"
    documents.mkdir()
    (documents / "refunds.md").write_text(
        "# Refunds\n\nA refund takes 14 days after the goods have come back.\n\n"
        "## Exceptions\n\nGift cards are not refunded.\n",
        encoding="utf-8",
    )
    (documents / "travel.txt").write_text(
        "Trains are booked by the office. Flights need a manager's approval.", "utf-8"
    )
    (documents / "broken.pdf").write_bytes(b"%PDF-1.7 this is no document")
    (documents / "empty.md").write_text("", encoding="utf-8")
    (documents / "noise.bin").write_bytes(bytes(range(256)) * 8)
    done = penstock("ingest", documents, "--store", "handbook", "--data", folder / "data")
    assert done.returncode == 1, done.stderr
    (folder / "stderr.txt").write_text(done.stderr, encoding="utf-8")
    return folder


def test_bad_files_are_named_and_the_rest_is_read(handbook: Path) -> None:
    said = (handbook / "stderr.txt").read_text(encoding="utf-8")

    assert "2 files read" in said
    assert "3 failed" in said
    for name in ("broken.pdf", "empty.md", "noise.bin"):
        assert name in said


def test_the_second_run_reads_nothing_again(handbook: Path) -> None:
    done = penstock("ingest", handbook / "documents", "--store", "handbook", "--data", handbook / "data")

    assert "0 files read" in done.stderr
    assert "2 unchanged" in done.stderr
    assert "3 failed" in done.stderr


def test_a_question_is_answered_with_its_source(handbook: Path) -> None:
    done = penstock("ask", "How long does a refund take?", "--data", handbook / "data")

    assert done.returncode == 0
    assert "A refund takes 14 days after the goods have come back. [1]" in done.stdout
    assert "refunds.md" in done.stdout
    assert "penstock-extractive" in done.stdout


def test_what_the_documents_do_not_say_is_not_made_up(handbook: Path) -> None:
    done = penstock("ask", "Who won the chess championship of 1972?", "--data", handbook / "data", "--json")

    assert done.returncode == 1
    assert json.loads(done.stdout)["abstained"] is True


def test_search_gives_passages_with_their_places(handbook: Path) -> None:
    done = penstock("search", "booking flights", "--data", handbook / "data", "--json", "-k", "1")

    (hit,) = json.loads(done.stdout)["hits"]
    assert hit["filename"] == "travel.txt"
    assert 0 <= hit["score"] <= 1
    plain = penstock("search", "booking flights", "--data", handbook / "data")
    assert "1. travel.txt" in plain.stdout


def test_stores_are_listed_without_a_model(handbook: Path) -> None:
    done = penstock("stores", "--data", handbook / "data", PENSTOCK_EMBED_MODEL="/nowhere")

    assert done.returncode == 0
    assert "handbook" in done.stdout
    assert "2 completed, 3 failed" in done.stdout


def test_settings_say_where_they_came_from(handbook: Path) -> None:
    done = penstock("config", "show", "--data", handbook / "data", "--json", PENSTOCK_SERVER_PORT="9001")

    rows = {row["key"]: row for row in json.loads(done.stdout)}
    assert rows["server.port"] == {"key": "server.port", "value": 9001, "source": "PENSTOCK_SERVER_PORT"}
    assert rows["data_dir"]["source"] == "command line"


def test_doctor_finds_this_machine_ready(tmp_path: Path) -> None:
    done = penstock("doctor", "--data", tmp_path / "data", "--port", "0")

    assert done.returncode == 0, done.stdout
    for subject in ("versions", "packages", "processor", "encoder", "data folder", "port"):
        assert subject in done.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("ingest", "missing-folder"), 2, "no file or folder missing-folder"),
        (("ask", "   "), 2, "question is empty"),
        (("ask", "x" * 9000), 2, "limit is 8000"),
        (("search", "refund", "--store", "nobody"), 2, "No vector store found with id 'nobody'"),
        (("search", "refund", "-k", "0"), 2, "greater than or equal to 1"),
        (("nonsense",), 2, "No such command"),
    ],
)
def test_bad_input_says_what_is_wrong(handbook: Path, arguments: tuple[str, ...], code: int, says: str) -> None:
    more = () if arguments == ("nonsense",) else ("--data", handbook / "data")
    done = penstock(*arguments, *more)

    assert done.returncode == code, done.stderr
    assert says in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr


def test_an_unknown_setting_is_named(tmp_path: Path) -> None:
    file = tmp_path / "penstock.toml"
    file.write_text("[serch]\ndense_weight = 1\n", encoding="utf-8")

    done = penstock("stores", "--config", file, "--data", tmp_path / "data")

    assert done.returncode == 2
    assert "serch.dense_weight" in done.stderr


def test_an_empty_data_folder_says_how_to_begin(tmp_path: Path) -> None:
    done = penstock("ask", "anything?", "--data", tmp_path / "data")

    assert done.returncode == 2
    assert "penstock ingest PATH" in done.stderr


def test_no_weights_and_no_hub_say_what_to_do(tmp_path: Path) -> None:
    done = penstock("ask", "anything?", "--data", tmp_path / "data", PENSTOCK_EMBED_MODEL="some/model")

    assert done.returncode == 3
    assert "Do one of three things" in done.stderr


def test_a_damaged_data_folder_says_so(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "catalog.db").write_bytes(b"no database" * 1000)

    done = penstock("stores", "--data", tmp_path / "data")

    assert done.returncode == 3
    assert "damaged" in done.stderr


def test_a_busy_port_is_named_before_anything_is_opened(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]

        done = penstock("serve", "--port", str(port), "--data", tmp_path / "data")

    assert done.returncode == 3
    assert f"Port {port}" in done.stderr
    assert not (tmp_path / "data").exists()


def test_an_address_open_to_others_is_refused_without_keys(tmp_path: Path) -> None:
    done = penstock("serve", "--host", "0.0.0.0", "--port", "0", "--data", tmp_path / "data")

    assert done.returncode != 0
    assert "Without API keys" in done.stderr


def test_a_second_process_is_told_who_has_the_data(handbook: Path) -> None:
    server = start("serve", "--port", "0", "--data", handbook / "data")
    try:
        assert server.stdout is not None
        address = next(line.split()[1] for line in server.stdout if line.strip().startswith("Open"))

        done = penstock("stores", "--data", handbook / "data")

        assert done.returncode == 3
        assert str(server.pid) in done.stderr
        assert address in done.stderr
    finally:
        server.terminate()
        _, errors = server.communicate(timeout=30)
    assert server.returncode == 0
    assert errors == ""
