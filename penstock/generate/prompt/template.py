"""Instructions and examples, from files: the built-in ones, the installation's, and a store's own."""

from __future__ import annotations

from pathlib import Path

import msgspec

from penstock.core.errors import BadSetting

BUILT_IN = Path(__file__).parent / "templates"
PLACEHOLDER = "{mark}"


class Template(msgspec.Struct, frozen=True):
    """The part of a prompt that never changes. `{mark}` in it becomes the delimiter."""

    instructions: str
    examples: str = ""

    def text(self, mark: str) -> str:
        return "\n\n".join(part.replace(PLACEHOLDER, mark) for part in (self.instructions, self.examples) if part)


class Templates:
    """Reads all at once, so that a missing or unreadable file is known at the start.

    `folder` may hold `instructions.txt`, `examples.txt`, and folders of the same named after a store's id.
    """

    def __init__(self, *, folder: Path | None = None) -> None:
        self._default = _read(BUILT_IN, Template(""))
        self._of_store: dict[str, Template] = {}
        if folder is None:
            return
        if not folder.is_dir():
            raise BadSetting(f"generate.templates names {folder}, which is no folder.")
        self._default = _read(folder, self._default)
        self._of_store = {path.name: _read(path, self._default) for path in sorted(folder.iterdir()) if path.is_dir()}

    def __eq__(self, other: object) -> bool:
        """Whether every prompt would read the same."""
        return isinstance(other, Templates) and (self._default, self._of_store) == (other._default, other._of_store)

    __hash__ = None  # type: ignore[assignment]  # compared by content, which nobody looks up by

    def of(self, store_id: str) -> Template:
        """The store's template, else the installation's."""
        return self._of_store.get(store_id, self._default)


def _read(folder: Path, default: Template) -> Template:
    texts = {}
    for name in ("instructions", "examples"):
        file = folder / f"{name}.txt"
        try:
            texts[name] = file.read_text(encoding="utf-8").strip() if file.exists() else getattr(default, name)
        except (OSError, UnicodeDecodeError) as error:
            raise BadSetting(f"The template {file} cannot be read: {error}.") from error
    return Template(**texts)
