from __future__ import annotations

from pathlib import Path

import pytest

from penstock.config import Settings
from penstock.core.errors import BadSetting
from penstock.settings import known_keys, load_settings


def test_the_defaults_need_nothing() -> None:
    loaded = load_settings(environ={})

    assert loaded.settings == Settings()
    assert [origin.key for origin in loaded.origins] == known_keys()
    assert {origin.source for origin in loaded.origins} == {"default"}


def test_the_command_line_beats_the_environment_beats_the_file(tmp_path: Path) -> None:
    file = tmp_path / "penstock.toml"
    file.write_text('data_dir = "a"\n[server]\nport = 1\nrequest_timeout_s = 5.0\nhost = "::1"\n', encoding="utf-8")

    loaded = load_settings(
        file=file,
        environ={"PENSTOCK_SERVER_PORT": "2", "PENSTOCK_SERVER_REQUEST_TIMEOUT_S": "6"},
        overrides={"server.port": 3, "data_dir": None},
    )

    assert loaded.settings.server.port == 3
    assert loaded.settings.server.request_timeout_s == 6.0
    assert loaded.settings.server.host == "::1"
    assert loaded.settings.data_dir == "a"
    sources = {origin.key: origin.source for origin in loaded.origins}
    assert sources["server.port"] == "command line"
    assert sources["server.request_timeout_s"] == "PENSTOCK_SERVER_REQUEST_TIMEOUT_S"
    assert sources["server.host"] == str(file)
    assert sources["log.level"] == "default"


@pytest.mark.parametrize(
    ("environ", "named"),
    [
        ({"PENSTOCK_SERVER_PORT": "seventy"}, "seventy"),
        ({"PENSTOCK_SERVER_PORT": "70000"}, "server.port"),
        ({"PENSTOCK_LOG_LEVEL": "loud"}, "log.level"),
        ({"PENSTOCK_SERVER_COLOUR": "red"}, "PENSTOCK_SERVER_COLOUR"),
        ({"PENSTOCK_CONFIG": "missing.toml"}, "missing.toml"),
    ],
)
def test_a_wrong_setting_is_named(environ: dict[str, str], named: str) -> None:
    with pytest.raises(BadSetting, match=named):
        load_settings(environ=environ)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[server]\ncolour = 1", r"server\.colour"),
        ("[sever]\nport = 1", r"sever\.port"),
        ('[server]\nport = "x"', r"server\.port"),
        ("port = ", "not valid TOML"),
        ("server = 1", "server"),
    ],
)
def test_a_wrong_file_is_named(tmp_path: Path, text: str, named: str) -> None:
    file = tmp_path / "penstock.toml"
    file.write_text(text, encoding="utf-8")

    with pytest.raises(BadSetting, match=named):
        load_settings(file=file, environ={})


def test_the_tests_data_folder_is_not_a_setting() -> None:
    load_settings(environ={"PENSTOCK_DATA": "elsewhere"})
