"""What a file is, by its content. The name only decides between kinds of text."""

from __future__ import annotations

import io
import re
import zipfile
from pathlib import PurePosixPath

from penstock.ingest.parse.encoding import decode, is_binary

HEAD_CHARS = 4096
PDF_WITHIN_BYTES = 1024
"""Readers accept so much rubbish before a PDF's first line."""
OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
MAGIC = (
    (b"%PDF-", "pdf"),
    (b"{\\rtf", "rtf"),
    (b"\x1f\x8b", "gzip"),
    (b"PK\x03\x04", "zip"),
    (b"PK\x05\x06", "zip"),
    (OLE, "ole"),
    (b"\x89PNG\r\n", "image"),
    (b"\xff\xd8\xff", "image"),
    (b"GIF8", "other_image"),
    (b"II*\0", "image"),
    (b"MM\0*", "image"),
    (b"BM", "bmp"),  # this and MZ may also begin a word
    (b"RIFF", "media"),
    (b"ID3", "media"),
    (b"\x7fELF", "program"),
    (b"MZ", "exe"),
    (b"\xca\xfe\xba\xbe", "program"),
    (b"7z\xbc\xaf\x27\x1c", "archive"),
    (b"Rar!\x1a\x07", "archive"),
    (b"\xfd7zXZ\0", "xz"),
    *((b"BZh%d1AY&SY" % level, "bzip2") for level in range(1, 10)),
    (b"\x28\xb5\x2f\xfd", "archive"),
)
MARKDOWN_NAMES = frozenset({".md", ".markdown", ".mdown", ".mkd", ".mdx", ".rmd", ".qmd"})
CONTAINER_NAMES = frozenset({
    ".pdf", ".docx", ".docm", ".dotx", ".pptx", ".pptm", ".xlsx", ".xlsm", ".odt", ".ods", ".odp", ".epub", ".msg",
    ".doc", ".ppt", ".xls", ".zip", ".gz", ".tgz", ".tar", ".bz2", ".xz",
})  # fmt: skip
"""Names of formats that are no plain text: text under such a name is a damaged file, or an error message."""
HTML_NAMES = frozenset({".html", ".htm", ".xhtml"})
NAMED = {
    **dict.fromkeys(MARKDOWN_NAMES, "markdown"),
    **dict.fromkeys(HTML_NAMES, "html"),
    **dict.fromkeys(CONTAINER_NAMES, "misnamed"),
    **dict.fromkeys((".xml", ".xsd", ".svg", ".rss", ".atom", ".xsl"), "xml"),
    **dict.fromkeys((".jsonl", ".ndjson"), "jsonl"),
    **dict.fromkeys((".json", ".geojson", ".ipynb"), "json"),
    **dict.fromkeys((".csv", ".tsv", ".tab", ".psv"), "delimited"),
    **dict.fromkeys((".txt", ".log"), "text"),
}
CODE_NAMES = {
    extension: language
    for language, extensions in {
        "python": ".py .pyi", "javascript": ".js .mjs .cjs .jsx", "typescript": ".ts .tsx", "java": ".java",
        "c": ".c .h", "cpp": ".cc .cpp .cxx .hpp .hh", "csharp": ".cs", "go": ".go", "rust": ".rs", "ruby": ".rb",
        "php": ".php", "swift": ".swift", "kotlin": ".kt .kts", "scala": ".scala", "shell": ".sh .bash .zsh",
        "powershell": ".ps1 .psm1 .psd1", "sql": ".sql", "r": ".r", "lua": ".lua", "perl": ".pl .pm",
        "css": ".css .scss", "yaml": ".yaml .yml", "toml": ".toml", "ini": ".ini .cfg .conf",
        "dockerfile": ".dockerfile", "make": ".mk",
        "proto": ".proto", "graphql": ".graphql", "haskell": ".hs", "elixir": ".ex .exs", "dart": ".dart",
        "vue": ".vue", "terraform": ".tf", "tex": ".tex", "diff": ".diff .patch", "batch": ".bat .cmd",
    }.items()
    for extension in extensions.split()
}  # fmt: skip
CODE_FILES = {"dockerfile": "dockerfile", "makefile": "make", "cmakelists.txt": "cmake", "jenkinsfile": "groovy"}
CHEAP = frozenset({"markdown", "text", "code"})
"""Kinds that take a millisecond and no more memory than they have bytes."""
HTML_START = re.compile(
    r"(?is)\s*(?:<\?xml[^>]{0,200}\?>\s*)?(?:<!--.{0,2000}?-->\s*)*<(?:!doctype\s+html|html|head|body)\b"
)
XML_START = re.compile(
    r"(?s)\s*(?:<\?xml\b|<!DOCTYPE\b|<!--.{0,2000}?-->\s*<[A-Za-z_]|<([A-Za-z_][\w.:-]*)(?:\s[^<>]*)?/?>)"
)
MAIL_FIELD = re.compile(r"(?:[A-Za-z][A-Za-z0-9-]{1,60}:[ \t]?[^\n]*\n(?:[ \t]+[^\n]*\n)*)")
MAIL_NAMES = frozenset({"from", "to", "subject", "date", "received", "message-id", "mime-version", "return-path"})
MARKDOWN_SIGNS = re.compile(r"(?m)^(?:#{1,6} \S|```|\|(?: ?:?-{3,}:? ?\|)+)|\[[^\]\n]+\]\(\S+\)")


def detect(content: bytes, filename: str) -> str:
    """A key of the registry, or the name of a kind that is not read."""
    kind = _magic_kind(content)
    if not kind and b"%PDF-" in content[:PDF_WITHIN_BYTES]:
        return "pdf"
    if kind:
        return _zip_kind(content) if kind == "zip" else kind
    if content[257:262] == b"ustar":
        return "tar"
    if is_binary(content):
        return "other_image" if content[4:12] in {b"ftypheic", b"ftypavif"} else "binary"
    return _text_kind(content, filename)


def _magic_kind(content: bytes) -> str:
    kind = next((kind for magic, kind in MAGIC if content.startswith(magic)), "")
    if kind == "bmp":
        return "image" if content[6:10] == bytes(4) else ""
    if kind == "exe":
        return kind if is_binary(content) else ""
    return "image" if kind == "media" and content[8:12] == b"WEBP" else kind


def language_of(filename: str) -> str:
    """The programming language that a name stands for, or nothing."""
    path = PurePosixPath(filename.lower())
    return CODE_FILES.get(path.name) or CODE_NAMES.get(path.suffix, "")


def is_cheap_name(filename: str) -> bool:
    """Whether a file of this name is likely of a cheap kind."""
    suffix = PurePosixPath(filename.lower()).suffix
    return (
        suffix in MARKDOWN_NAMES or suffix in {".txt", ".text", ".rst", ".adoc", ".log"} or bool(language_of(filename))
    )


def _zip_kind(content: bytes) -> str:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            names = set(archive.namelist())
            mimetype = archive.read("mimetype")[:100].decode("ascii", "replace").strip() if "mimetype" in names else ""
    except (zipfile.BadZipFile, OSError, ValueError, RuntimeError, NotImplementedError, KeyError, EOFError):
        return "zip"  # its reader says what is wrong with it
    if mimetype == "application/epub+zip" or "META-INF/container.xml" in names:
        return "epub"
    if mimetype.startswith("application/vnd.oasis.opendocument."):
        return "odf"
    if "[Content_Types].xml" in names:
        for folder, kind in (("word/", "docx"), ("ppt/", "pptx"), ("xl/", "xlsx")):
            if any(name.startswith(folder) for name in names):
                return kind
    return "zip"


def _text_kind(content: bytes, filename: str) -> str:
    """Text that says what it is, then what its name says, then what it looks like."""
    suffix = PurePosixPath(filename.lower()).suffix
    named = "code" if language_of(filename) else NAMED.get(suffix, "")
    if named in {"code", "markdown"}:
        return named
    head = decode(content[: 4 * HEAD_CHARS])[:HEAD_CHARS].lstrip("\ufeff")
    if HTML_START.match(head) or (named == "html" and "<" in head):
        return "html"
    if head.lstrip().startswith(("<?xml", "<!DOCTYPE")) or (named == "xml" and XML_START.match(head)):
        return "xml"
    if _is_mail(head):
        return "mail"
    return named if named and named not in {"html", "xml"} else _looks_like(head, suffix)


def _looks_like(head: str, suffix: str) -> str:
    if suffix in {"", ".text"} and len(MARKDOWN_SIGNS.findall(head)) >= 3:
        return "markdown"
    return "json" if head.lstrip()[:1] in {"{", "["} else "text"


def _is_mail(head: str) -> bool:
    """Several header fields of mail, without anything else between them, from the first line on."""
    head = head.replace("\r\n", "\n")
    if head.startswith("From "):
        head = head.partition("\n")[2]
    names: set[str] = set()
    position = 0
    while (match := MAIL_FIELD.match(head, position)) is not None:
        names.add(match[0].partition(":")[0].lower())
        position = match.end()
    return len(names & MAIL_NAMES) >= 2 and ("from" in names or "subject" in names)
