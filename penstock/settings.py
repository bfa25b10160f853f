"""Settings read once from all places: defaults, then a TOML file, then the environment, then the command line.

An unknown key or a wrong value is an error that names it. Environment: PENSTOCK_<SECTION>_<KEY>, for example
PENSTOCK_SERVER_PORT=9000; PENSTOCK_DATA_DIR for the data folder.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from penstock.config import Section, Settings
from penstock.core.errors import BadSetting


class Origin(msgspec.Struct, frozen=True):
    """One setting's value and where it came from: 'default', a file's path, a variable's name, 'command line'."""

    key: str
    value: Any
    source: str


class Loaded(msgspec.Struct, frozen=True):
    """Settings and the origin of each value."""

    settings: Settings
    origins: tuple[Origin, ...]


NOT_OURS = frozenset({"PENSTOCK_DATA", "PENSTOCK_CONFIG", "PENSTOCK_BENCH_VENV", "PENSTOCK_API_KEY"})
"""Variables with our prefix that are not settings: the tests' data folder, the file to read, `make bench`'s peer, and
the key with which the command line asks a running server."""


def load_settings(
    *, file: Path | None = None, environ: Mapping[str, str], overrides: Mapping[str, Any] | None = None
) -> Loaded:
    """Read settings from all sources. `overrides` are dotted keys from the command line.

    Raises BadSetting naming the key, the value and its source.
    """
    sources: dict[str, tuple[Any, str]] = {}
    for key, value in _from_file(file or _file_from(environ)):
        sources[key] = (value, str(file or _file_from(environ)))
    for variable, raw in sorted(environ.items()):
        if variable.startswith("PENSTOCK_") and variable not in NOT_OURS:
            sources[_key_of(variable)] = (raw, variable)
    for key, value in (overrides or {}).items():
        if value is not None:
            sources[key] = (value, "command line")
    return _build(sources)


def _file_from(environ: Mapping[str, str]) -> Path | None:
    return Path(environ["PENSTOCK_CONFIG"]) if environ.get("PENSTOCK_CONFIG") else None


def _from_file(file: Path | None) -> list[tuple[str, Any]]:
    if file is None:
        return []
    try:
        tree = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadSetting(f"Cannot read the settings file {file}: {error.strerror}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadSetting(f"The settings file {file} is not valid TOML: {error}.") from error
    flat: list[tuple[str, Any]] = []
    for name, value in tree.items():
        if isinstance(value, dict):
            flat += [(f"{name}.{key}", inner) for key, inner in value.items()]
        else:
            flat.append((name, value))
    return flat


def _key_of(variable: str) -> str:
    name = variable.removeprefix("PENSTOCK_").lower()
    for key in known_keys():
        if key.replace(".", "_") == name:
            return key
    raise BadSetting(f"{variable} is not a setting. `penstock config show` lists them all.")


def known_keys() -> list[str]:
    """Every setting as a dotted key, in the order of the tree."""
    keys: list[str] = []
    for field in msgspec.structs.fields(Settings):
        if isinstance(field.default, Section):
            keys += [f"{field.name}.{inner.name}" for inner in msgspec.structs.fields(type(field.default))]
        else:
            keys.append(field.name)
    return keys


def _build(sources: Mapping[str, tuple[Any, str]]) -> Loaded:
    settings = Settings()
    for key, (value, source) in sources.items():
        if key not in known_keys():
            raise BadSetting(f"Unknown setting '{key}' ({source}). `penstock config show` lists them all.")
        settings = _with(settings, key, value, source)
    origins = tuple(
        Origin(key, _value_of(settings, key), sources.get(key, (None, "default"))[1]) for key in known_keys()
    )
    return Loaded(settings, origins)


def _with(settings: Settings, key: str, value: Any, source: str) -> Settings:
    section_name, _, name = key.rpartition(".")
    owner: Section = getattr(settings, section_name) if section_name else settings
    annotation = next(field.type for field in msgspec.structs.fields(type(owner)) if field.name == name)
    try:
        # Variables are text ("9000", "true"), so those are read leniently; a file says what it means.
        converted = msgspec.convert(value, annotation, strict=not isinstance(value, str))
    except msgspec.ValidationError as error:
        raise BadSetting(f"Setting '{key}' = {value!r} ({source}) is wrong: {error}.") from error
    changed = msgspec.structs.replace(owner, **{name: converted})
    return msgspec.structs.replace(settings, **{section_name: changed}) if section_name else changed  # type: ignore[return-value]


def _value_of(settings: Settings, key: str) -> Any:
    value: Any = settings
    for part in key.split("."):
        value = getattr(value, part)
    return value
