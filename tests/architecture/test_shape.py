"""The shape of the tree: sizes, words that must not occur, docs in step with the code."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 60
FORBIDDEN_NAMES = {"utils", "util", "common", "misc", "helpers", "helper"}


def sources(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


@pytest.mark.parametrize("path", sources("penstock", "benchmarks"), ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_is_one_thought(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.count("\n") <= MAX_FILE_LINES
    assert path.stem not in FORBIDDEN_NAMES
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            assert node.end_lineno - node.lineno < MAX_FUNCTION_LINES, f"{node.name} does not fit a screen"


@pytest.mark.parametrize("path", sources("penstock"), ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_can_run_code_that_was_data(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [alias.name for alias in node.names] + [getattr(node, "module", None) or ""]
            assert not {name.split(".")[0] for name in names} & {"pickle", "marshal", "shelve", "dill", "joblib"}
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id not in {"eval", "exec"}


def test_core_imports_only_the_standard_library_numpy_and_msgspec() -> None:
    allowed = set(sys.stdlib_module_names) | {"numpy", "msgspec"}
    for path in sources("penstock/core"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                assert {alias.name.split(".")[0] for alias in node.names} <= allowed
            if isinstance(node, ast.ImportFrom):
                module = node.module or ""
                assert module.split(".")[0] in allowed or module.startswith("penstock.core")


def test_the_settings_page_is_in_step() -> None:
    made = subprocess.run(
        [sys.executable, ROOT / "scripts" / "settings-reference"], capture_output=True, text=True, check=True
    ).stdout
    page = (ROOT / "docs" / "reference" / "settings.md").read_text(encoding="utf-8")
    assert page == made, "run: scripts/settings-reference > docs/reference/settings.md"


def test_every_metric_is_described() -> None:
    sources = (
        (ROOT / "penstock/telemetry" / name).read_text(encoding="utf-8") for name in ("metrics.py", "engines.py")
    )
    names = [name for text in sources for name in re.findall(r'"(penstock_\w+)"', text)]
    page = (ROOT / "docs" / "reference" / "metrics.md").read_text(encoding="utf-8")
    assert names
    assert [name for name in names if f"`{name}`" not in page] == []


def test_every_link_between_our_pages_leads_somewhere() -> None:
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]:
        for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page.relative_to(ROOT)} links to {target}"


def test_every_dependency_is_explained() -> None:
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    groups = [project["dependencies"], *(group for group in project["optional-dependencies"].values())]
    names = {re.split(r"[<>=\[; ]", requirement)[0] for group in groups for requirement in group}
    page = (ROOT / "docs" / "dependencies.md").read_text(encoding="utf-8")
    assert sorted(name for name in names if f"`{name}`" not in page) == []


def test_the_lock_files_pin_and_hash_everything() -> None:
    for lock in sorted((ROOT / "locks").glob("*.txt")):
        requirements = re.findall(r"^[a-z0-9].*$", lock.read_text(encoding="utf-8"), flags=re.MULTILINE)
        assert requirements
        for requirement in requirements:
            assert "==" in requirement
        assert lock.read_text(encoding="utf-8").count("--hash=sha256:") >= len(requirements)


def test_no_path_of_one_machine_is_committed() -> None:
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    for name in tracked:
        path = ROOT / name
        if path.suffix in {".py", ".md", ".toml", ".txt", ".sh", ".js", ".css", ".html", ""} and path.is_file():
            text = path.read_text(encoding="utf-8", errors="replace")
            assert not re.search(r"(?<![\w.])/(?:work|root|home)/\w", text), name
