"""Markdown, HTML, plain text, code, tables as text, JSON, XML: what is found in them."""

from __future__ import annotations

import pytest

from penstock.core.errors import BadDocument
from tests.ingest.reading import read, shown, text_of


def test_markdown_keeps_structure():
    document = read(
        '---\ntitle: "The guide"\nms.date: 2024-01-02\nrating: 4.5\ndraft: true\n---\n# Start\n\nSome *text* '
        "with [a link](http://x/) and "
        "![a picture](p.png).\n\n- one\n- two\n  1. deep\n\n| a | b |\n|---|---|\n| 1 | `x` |\n\n"
        "```python\nprint('<b>')\n```\n\n> quoted\n",
        "guide.md",
    )
    assert document.title == "The guide"
    assert document.attributes == {"ms.date": "2024-01-02", "rating": 4.5, "draft": True}
    assert shown(document) == [
        ("heading1", "Start"),
        ("paragraph", "Some text with a link and a picture."),
        ("list", "- one\n- two\n  1. deep"),
        ("table", "| a | b |\n| --- | --- |\n| 1 | x |"),
        ("code", "```python\nprint('<b>')\n```"),
        ("paragraph", "quoted"),
    ]


def test_markdown_leaves_out_scripts_and_keeps_tables_in_html():
    document = read(
        "# T\n\n<script>alert('no')</script>\n\n"
        "<table><tr><th>k</th><th>v</th></tr><tr><td>1</td><td>2</td></tr></table>\n",
        "a.md",
    )
    assert shown(document)[1:] == [("table", "| k | v |\n| --- | --- |\n| 1 | 2 |")]


def test_markdown_code_with_fences_in_it_gets_a_longer_fence():
    document = read("````\n```\ninner\n```\n````\n", "a.md")
    assert shown(document) == [("code", "````\n```\ninner\n```\n````")]


@pytest.mark.parametrize(
    ("encoding", "mark"),
    [
        ("utf-8", b""), ("utf-8", b"\xef\xbb\xbf"), ("utf-16-le", b"\xff\xfe"), ("utf-16-be", b"\xfe\xff"),
        ("utf-16-le", b""), ("utf-16-be", b""), ("utf-32-le", b"\xff\xfe\0\0"), ("utf-32-be", b"\0\0\xfe\xff"),
        ("utf-32-le", b""), ("utf-32-be", b""), ("cp1252", b""), ("latin-1", b""),
    ],
)  # fmt: skip
def test_western_text_of_any_encoding(encoding, mark):
    content = mark + "Größe und Höhe\r\nkönnen abweichen – manchmal.".replace("–", "-").encode(encoding)
    assert shown(read(content, "a.txt")) == [("paragraph", "Größe und Höhe\nkönnen abweichen - manchmal.")]


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("shift_jis", "日本語のテキストです。名前と住所を書いてください。"),
        ("cp1251", "Привет мир. Это короткий текст на русском языке, но не слишком короткий."),
        ("gb18030", "这是一个简短的中文文本，用于测试编码检测。"),
        ("big5", "這是一個簡短的中文文本，用於測試編碼檢測。"),
        ("cp1250", "Żółta łódka płynie po jeziorze, a ptaki śpiewają"),
        ("iso8859-2", "Żółta łódka płynie po jeziorze, a ptaki śpiewają"),
        ("cp1255", "כל בני האדם נולדו בני חורין ושווים בערכם ובזכויותיהם"),
        ("iso2022_jp", "日本語のテキストです。名前と住所を書いてください。"),
        ("utf-16-le", "日本語のテキストです。\n名前と住所を書いてください。"),
        ("utf-16-be", "모든 국민은 법 앞에 평등하다. 누구든지 차별을 받지 아니한다."),
        ("utf-16-be", "Όλοι οι άνθρωποι γεννιούνται ελεύθεροι και ίσοι"),
        ("utf-16-le", "มนุษย์ทั้งหลายเกิดมามีอิสระ และเสมอภาคกัน"),
    ],
)
def test_other_scripts_without_a_declaration(encoding, text):
    assert text_of(read(text.encode(encoding), "a.txt")) == text


def test_damaged_utf8_stays_utf8():
    assert "naïve café" in text_of(read("naïve café à la carte ".encode() + b"\xff\xfe!", "a.txt"))


def test_text_with_nul_and_controls_is_text_without_them():
    assert text_of(read(b"abc\0def\x1b[0m \x07 end marker \xff here", "a.txt")) == "abcdef[0m end marker ÿ here"


def test_text_keeps_paragraphs_and_lists():
    assert shown(read("One\ntwo\n\n- a\n- b\n\n1) x\n2) y\n", "a.txt")) == [
        ("paragraph", "One\ntwo"),
        ("list", "- a\n- b"),
        ("list", "1. x\n2. y"),
    ]


def test_html_keeps_the_main_content():
    page = """<!doctype html><html><head><title>Ducks</title><style>p{}</style></head><body>
    <nav><a href=/>Home</a></nav><div class="sidebar menu"><ul><li><a href=a>A</a><li><a href=b>B</a></ul></div>
    <main><h1>Ducks</h1><p>Adult ducks are <b>fast</b> fliers.<br>Very fast,
    they are, and they are known for it widely.</p>
    <ul><li>one<ul><li>inner</ul><li>two</ul><ol start=3><li>three<li>four</ol>
    <table><caption>Weights</caption><tr><th>Kind</th><th>Weight</th></tr><tr><td>Small</td><td>1</td></tr></table>
    <pre class="language-js">let a = 1;\n  let b;</pre><p hidden>secret</p><script>var x = 'no';</script></main>
    <footer><a href=x>Imprint</a></footer></body></html>"""
    document = read(page, "page.html")
    assert document.title == "Ducks"
    assert shown(document) == [
        ("heading1", "Ducks"),
        ("paragraph", "Adult ducks are fast fliers.\nVery fast, they are, and they are known for it widely."),
        ("list", "- one\n  - inner\n- two"),
        ("list", "3. three\n4. four"),
        ("paragraph", "Weights"),
        ("table", "| Kind | Weight |\n| --- | --- |\n| Small | 1 |"),
        ("code", "```js\nlet a = 1;\n  let b;\n```"),
    ]


def test_html_tables_that_arrange_a_page_are_read_as_text():
    document = read(
        "<html><body><table><tr><td><h2>Left</h2><p>words</p></td><td><p>right</p></td></tr></table>", "a.htm"
    )
    assert shown(document) == [("heading2", "Left"), ("paragraph", "words"), ("paragraph", "right")]


def test_html_that_is_only_links_is_kept():
    assert "Beta" in text_of(read("<html><body><ul><li><a>Alpha</a><li><a>Beta</a><li><a>Gamma</a></ul>", "a.html"))


def test_html_is_known_by_content_and_by_its_charset():
    content = "<html><head><meta charset='koi8-r'></head><body><p>Привет, мир</p></body></html>".encode("koi8-r")
    assert shown(read(content, "noname")) == [("paragraph", "Привет, мир")]


def test_code_is_one_block_named_after_its_language():
    document = read("# not a heading\ndef f():\n    return 1\n", "src/thing.py")
    assert (document.title, shown(document)) == (
        "thing.py",
        [("code", "```python\n# not a heading\ndef f():\n    return 1\n```")],
    )


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_delimited_rows_of_any_delimiter(delimiter):
    text = "\n".join(delimiter.join(row) for row in [["name", "age"], ['"Sato, T"', "30"], ["Miki", "25"]])
    assert shown(read(text, "a.csv")) == [("table", "| name | age |\n| --- | --- |\n| Sato, T | 30 |\n| Miki | 25 |")]


def test_delimited_rows_may_be_ragged():
    assert shown(read("a,b\n1,2,3\n4\n", "a.csv")) == [
        ("table", "| a | b |  |\n| --- | --- | --- |\n| 1 | 2 | 3 |\n| 4 |  |  |")
    ]


def test_json_values_have_their_names():
    document = read(
        '{"name": "Duck", "size": {"wing": [1, 2], "egg": 3}, "rows": [{"a": 1, "b": "x"}, {"a": 2, "b": null}]}',
        "a.json",
    )
    assert shown(document) == [
        ("paragraph", "name: Duck"),
        ("paragraph", "size.wing: 1, 2\nsize.egg: 3"),
        ("heading1", "rows"),
        ("table", "| a | b |\n| --- | --- |\n| 1 | x |\n| 2 |  |"),
    ]


def test_json_that_is_cut_off_is_read_as_text():
    assert "johndoe@example.com" in text_of(read('{"id": 1, "email": "johndoe@example.com", "na', "a.json"))


def test_json_lines_and_notebooks():
    assert shown(read('{"a": 1}\n{"a": 2}\n', "a.jsonl")) == [("paragraph", "a: 1"), ("paragraph", "a: 2")]
    notebook = '{"nbformat": 4, "cells": [{"cell_type": "markdown", "source": ["# T\\n", "x"]}, '
    notebook += '{"cell_type": "code", "source": "y=1"}]}'
    assert shown(read(notebook, "a.ipynb")) == [("heading1", "T"), ("paragraph", "x"), ("code", "```\ny=1\n```")]


def test_xml_elements_have_their_names():
    document = read(
        "<?xml version='1.0'?><w><c code='x'><name>Canada</name><capital>Ottawa</capital></c>"
        "<p>It is <b>very</b> cold.</p></w>",
        "a.xml",
    )
    assert shown(document) == [("paragraph", "name: Canada\ncapital: Ottawa"), ("paragraph", "It is very cold.")]


def test_xml_attributes_with_words_and_markup_in_text_are_read():
    document = read(
        "<?xml version='1.0'?><rss><item id='n7' topic='Harbour works'><title>One</title>"
        "<description>&lt;p&gt;Hello &lt;b&gt;bold&lt;/b&gt;&lt;/p&gt;</description></item></rss>",
        "a.xml",
    )
    assert shown(document) == [("paragraph", "item: topic=Harbour works\ntitle: One\ndescription: Hello bold")]


def test_xml_of_another_encoding_than_it_says():
    text = '<?xml version="1.0" encoding="UTF-8"?><a><b>Ottawa</b></a>'
    assert shown(read(b"\xff\xfe" + text.encode("utf-16-le"), "a.xml")) == [("paragraph", "b: Ottawa")]


def test_rich_text():
    text = r"{\rtf1\ansi\ansicpg1252{\fonttbl{\f0 Arial;}}\f0 Gr\'f6\'dfe \u8364? 5\par Second \b bold\b0\par "
    text += r"\trowd a\cell b\cell\row c\cell d\cell\row\pard End\par}"
    assert shown(read(text, "a.rtf")) == [
        ("paragraph", "Größe € 5"),
        ("paragraph", "Second bold"),
        ("table", "| a | b |\n| --- | --- |\n| c | d |"),
        ("paragraph", "End"),
    ]


@pytest.mark.parametrize(("content", "name", "reason"), [
    (b"", "a.txt", "empty"),
    (b" \n\t ", "a.md", "empty"),
    (bytes(range(256)) * 8, "a.bin", "unsupported"),
    (b"not an office file", "a.docx", "corrupt"),
    (b"\x89PNG\r\n\x1a\n" + bytes(50), "a.txt", "no_text"),
    (b"\x7fELF" + bytes(50), "a.md", "unsupported"),
])  # fmt: skip
def test_what_cannot_be_read_has_a_reason(content, name, reason):
    with pytest.raises(BadDocument) as failure:
        read(content, name)
    assert failure.value.reason == reason
