"""HTML: the main content by the page's own structure.

The tree is walked without recursion, so depth costs nothing; scripts, styles, forms and navigation are left out.
"""

from __future__ import annotations

import re

from selectolax.lexbor import LexborHTMLParser, LexborNode

from penstock.core.errors import BadDocument
from penstock.ingest.parse.encoding import decode
from penstock.ingest.parse.limits import ParseLimits
from penstock.ingest.parse.outline import ListItem, Outline

DROPPED = frozenset({
    "script", "style", "noscript", "template", "svg", "canvas", "iframe", "object", "embed", "head", "select",
    "datalist", "button", "input", "dialog", "audio", "video", "map", "-comment", "!doctype",
})  # fmt: skip
FURNITURE = frozenset({"nav", "aside", "menu"})
FURNITURE_ROLES = frozenset({"navigation", "banner", "contentinfo", "search", "complementary", "menu", "menubar"})
BREAKING = frozenset({
    "address", "article", "blockquote", "body", "center", "dd", "details", "div", "dl", "dt", "fieldset", "figcaption",
    "figure", "footer", "form", "header", "hr", "html", "legend", "main", "p", "section", "summary", "tbody", "tfoot",
    "thead", "td", "th", "tr", "caption", "optgroup", "option",
})  # fmt: skip
HEADINGS = {f"h{level}": level for level in range(1, 7)}
STANDING = BREAKING | HEADINGS.keys() | {"ul", "ol", "li", "pre", "table"}
LAYOUT_PARTS = ", ".join(f"table {part}" for part in ("h1", "h2", "h3", "h4", "p + p", "pre", "ul", "ol"))
"""A table that holds these arranges a page; it does not list facts in columns."""
META_CHARSET = re.compile(rb"""(?i)<meta[^>]{0,200}?charset\s*=\s*["']?\s*([a-z0-9_:-]{2,40})""")
FURNITURE_NAME = re.compile(
    r"(?i)(?:^|[\s_-])(?:nav|navbar|navbox|navigation|menu|sidebar|breadcrumbs?|pagination|pager|toc|skip|footer|cookie|"
    r"consent|share|social|related|advert|ads?|promo|newsletter|noprint|editsection|catlinks|lang|languages?)(?:[\s_-]|$)"
)
"""Class names and ids of what surrounds the content, if most of it is links besides."""
LINKED_SHARE = 0.8
"""A list of which so much is link text, on a page that does not mark its main content, is navigation."""
TAG = re.compile(r"<(/?)([a-zA-Z][a-zA-Z0-9]*)")
UNNESTED = frozenset({
    "p", "li", "td", "th", "tr", "dt", "dd", "option", "optgroup", "thead", "tbody", "tfoot", "colgroup", "rt", "rp",
    "area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr",
})  # fmt: skip
"""Elements that need no end tag, or have no content."""
MANY_TAGS = 5_000
MAX_DEPTH = 2_000
"""The time to build a tree grows with the square of its depth. Browsers stop at 512."""
SPACE = re.compile(r"\s+")


def read_html(content: bytes, outline: Outline, limits: ParseLimits) -> None:  # noqa: ARG001 - a Reader
    declared = match[1].decode("ascii") if (match := META_CHARSET.search(content[:4096])) else ""
    add_html(decode(content, declared=declared), outline, main_only=True)


def add_html(text: str, outline: Outline, *, main_only: bool) -> None:
    """Write a page's or fragment's blocks. `main_only` leaves out what surrounds the main content."""
    if text.count("<") > MANY_TAGS and _depth(text) > MAX_DEPTH:
        raise BadDocument("corrupt", "Its elements are nested too deeply.")
    # The parser cuts text at a NUL.
    tree = LexborHTMLParser(text.replace("\0", ""))
    if main_only and not outline.title and (title := tree.css_first("head > title")) is not None:
        outline.title = title.text(deep=True)
    root = tree.body or tree.root
    if root is None:
        return
    marked = _main(root) if main_only else None
    _Walk(outline, drop_furniture=main_only, drop_link_lists=main_only and marked is None).run(marked or root)
    if main_only and not len(outline):
        # Everything was taken for furniture: then it is the content.
        _Walk(outline, drop_furniture=False, drop_link_lists=False).run(root)


def _depth(text: str) -> int:
    depth = deepest = 0
    for end, name in TAG.findall(text):
        if name.lower() not in UNNESTED:
            depth = max(0, depth - 1) if end else depth + 1
            deepest = max(deepest, depth)
    return deepest


def _main(root: LexborNode) -> LexborNode | None:
    for selector in ("main", "[role=main]", "article"):
        found = root.css(selector)
        if len(found) == 1 and len(found[0].text(deep=True).split()) >= 20:
            return found[0]
    return None


class _Walk:
    """One pass over the tree. `_words` is the running paragraph, the stacks what it lies in."""

    def __init__(self, outline: Outline, *, drop_furniture: bool, drop_link_lists: bool) -> None:
        self._outline = outline
        self._drop_furniture = drop_furniture
        self._drop_link_lists = drop_link_lists
        self._words: list[str] = []
        self._linked_chars = 0
        self._in_link = 0
        self._lists: list[_List] = []
        self._heading = 0

    def run(self, root: LexborNode) -> None:
        node: LexborNode | None = root
        while node is not None:
            child = node.child if self._enter(node) else None
            if child is not None:
                node = child
                continue
            while node is not None:
                self._leave(node)
                if node.mem_id == root.mem_id:
                    node = None
                elif (following := node.next) is not None:
                    node = following
                    break
                else:
                    node = node.parent
        self._flush()
        self._end_lists()

    def _enter(self, node: LexborNode) -> bool:
        """Whether to go into it."""
        tag = node.tag or ""
        if tag == "-text":
            self._text(node.text_content or "")
            return False
        if tag in DROPPED or self._is_furniture(node, tag):
            return False
        if tag == "br":
            self._words.append("\n")
        elif tag == "img":
            self._words.append(node.attributes.get("alt") or "")
        elif tag == "a":
            self._in_link += 1
        elif tag in STANDING:
            self._flush()
            return self._enter_standing(node, tag)
        return True

    def _enter_standing(self, node: LexborNode, tag: str) -> bool:
        """An element that ends the line before it. Whether to go into it."""
        if tag in HEADINGS:
            self._end_lists()
            self._heading = HEADINGS[tag]
        elif tag in {"ul", "ol"}:
            self._lists.append(_List(ordered=tag == "ol", first=node.attributes.get("start")))
        elif tag == "li":
            self._begin_item()
        elif tag == "pre":
            self._code(node)
            return False
        elif tag == "table":
            return not self._data_table(node)
        return True

    def _leave(self, node: LexborNode) -> None:
        tag = node.tag or ""
        if tag == "a":
            self._in_link = max(0, self._in_link - 1)
        elif tag in HEADINGS:
            self._flush()
            self._heading = 0
        elif tag in {"ul", "ol"}:
            self._flush()
            self._close_list()
        elif tag == "li" or tag in BREAKING:
            self._flush()

    def _is_furniture(self, node: LexborNode, tag: str) -> bool:
        if not self._drop_furniture or tag in {"html", "body"}:
            return False
        attributes = node.attributes
        if not attributes and tag not in FURNITURE:
            return False
        if "hidden" in attributes or attributes.get("aria-hidden") == "true":
            return tag != "a"
        if tag in FURNITURE or (attributes.get("role") or "") in FURNITURE_ROLES:
            return True
        names = f"{attributes.get('class') or ''} {attributes.get('id') or ''}"
        return FURNITURE_NAME.search(names) is not None and _link_share(node) > 0.5

    def _text(self, text: str) -> None:
        if text.isspace():
            if self._words:
                self._words.append(" ")
        elif text:
            self._words.append(SPACE.sub(" ", text) if "\n" in text or "  " in text or "\t" in text else text)
            if self._in_link:
                self._linked_chars += len(text)

    def _flush(self) -> None:
        """The running words become a heading, a part of an item, or a paragraph."""
        if not self._words:
            return
        text = "".join(self._words).strip()
        linked, self._linked_chars = self._linked_chars, 0
        self._words = []
        if not text:
            return
        if self._heading:
            self._outline.heading(text, self._heading)
        elif self._lists:
            self._lists[-1].add(text, linked)
        else:
            self._outline.paragraph(text)

    def _begin_item(self) -> None:
        if not self._lists:
            self._lists.append(_List(ordered=False, first=None))
        self._lists[-1].begin()

    def _close_list(self) -> None:
        if not self._lists:
            return
        closed = self._lists.pop()
        if self._lists:
            self._lists[-1].adopt(closed)
        elif not (self._drop_link_lists and closed.is_links()):
            self._outline.list(closed.items)

    def _end_lists(self) -> None:
        """Something that stands on its own is about to come: what is open of lists is written before it."""
        while self._lists:
            open_lists = len(self._lists)
            self._close_list()
            if len(self._lists) == open_lists:
                return

    def _code(self, node: LexborNode) -> None:
        self._write_lists_so_far()
        inner = node.css_first("code")
        names = f"{node.attributes.get('lang') or ''} {(inner or node).attributes.get('class') or ''}"
        language = match[1] if (match := re.search(r"lang(?:uage)?-([\w+#.-]+)", names)) else names.partition(" ")[0]
        self._outline.code(node.text(deep=True), language)

    def _write_lists_so_far(self) -> None:
        """Code within an item: the items before it are written first, so that the order stays."""
        for open_list in self._lists:
            if open_list.items:
                self._outline.list(open_list.items)
                open_list.items = []

    def _data_table(self, node: LexborNode) -> bool:
        """Write a table of facts; False for one that only arranges the page."""
        if node.css_first(LAYOUT_PARTS) is not None and node.css_first("th") is None:
            return False
        if node.css_first("table table") is not None:
            return False
        rows = [_cells(row) for row in node.css("tr")]
        self._write_lists_so_far()
        if (caption := node.css_first("caption")) is not None:
            self._outline.paragraph(caption.text(deep=True, separator=" "))
        self._outline.table(rows)
        return True


def _link_share(node: LexborNode) -> float:
    text = len(node.text(deep=True))
    return sum(len(link.text(deep=True)) for link in node.css("a")) / text if text else 0.0


def _cells(row: LexborNode) -> list[str]:
    cells: list[str] = []
    cell = row.child
    while cell is not None:
        if cell.tag in {"td", "th"}:
            cells.append(_visible(cell))
            span = cell.attributes.get("colspan") or "1"
            cells += [""] * (min(int(span), 50) - 1 if span.isdecimal() else 0)
        cell = cell.next
    return cells


def _visible(cell: LexborNode) -> str:
    for hidden in cell.css("script, style"):
        hidden.decompose()
    breaking = cell.css_first("p, br, div, li") is not None
    return cell.text(deep=True, separator=" " if breaking else "")


class _List:
    """A list under way. Its items are those of the lists within it too, deeper by one."""

    def __init__(self, *, ordered: bool, first: str | None) -> None:
        self.items: list[ListItem] = []
        self._ordered = ordered
        self._number = int(first) - 1 if first and first.isdecimal() and len(first) < 9 else 0
        self._chars = 0
        self._linked_chars = 0
        self._fresh = True

    def begin(self) -> None:
        self._number += 1
        self._fresh = True

    def add(self, text: str, linked_chars: int) -> None:
        self._chars += len(text)
        self._linked_chars += linked_chars
        if self._fresh or not self.items:
            self.items.append(ListItem(text, number=self._number if self._ordered else None))
            self._fresh = False
        else:
            self.items[-1].text += " " + text

    def adopt(self, inner: _List) -> None:
        for item in inner.items:
            item.depth += 1
        self.items += inner.items
        self._chars += inner._chars
        self._linked_chars += inner._linked_chars

    def is_links(self) -> bool:
        return len(self.items) >= 3 and self._linked_chars >= LINKED_SHARE * self._chars
