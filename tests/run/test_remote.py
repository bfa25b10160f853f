"""What a worker asks of its server keeps to what a request may hold."""

from __future__ import annotations

from penstock.pipeline.desk import Read
from penstock.run.remote import HASHES_AT_ONCE, _parts


def test_a_book_is_asked_for_in_parts_and_nothing_is_left_out() -> None:
    read = [
        Read("note", ("n1", "n2")),
        Read("book", tuple(f"b{number}" for number in range(2 * HASHES_AT_ONCE + 5))),
        Read("empty", ()),
        Read("last", ("l1",)),
    ]

    parts = list(_parts(read))

    assert all(sum(len(each.embedded) for each in part) <= HASHES_AT_ONCE for part in parts)
    asked: dict[str, tuple[str, ...]] = {}
    for part in parts:
        for each in part:
            asked[each.lease] = asked.get(each.lease, ()) + each.embedded
    assert asked == {each.lease: each.embedded for each in read}
    assert len(parts) == 4
