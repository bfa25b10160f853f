from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.generate.sse import EventLines, LineTooLong

STREAM = ': ping\r\ndata: {"a":"é☂"}\r\n\r\nevent: x\ndata:{"b":2}\n\ndata: [DONE]\n\n'.encode()


@given(cuts=st.lists(st.integers(0, len(STREAM)), max_size=12))
def test_events_do_not_depend_on_how_the_bytes_were_cut(cuts: list[int]) -> None:
    lines = EventLines(max_line_bytes=100)
    edges = [0, *sorted(cuts), len(STREAM)]

    payloads = [payload for a, b in pairwise(edges) for payload in lines.feed(STREAM[a:b])]

    assert payloads == ['{"a":"é☂"}'.encode(), b'{"b":2}', b"[DONE]"]


def test_a_line_without_an_end_is_not_collected_for_ever() -> None:
    lines = EventLines(max_line_bytes=1000)

    for _ in range(10):
        lines.feed(b"x" * 100)

    with pytest.raises(LineTooLong):
        lines.feed(b"x")
