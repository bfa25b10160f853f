"""Files and texts are looked up by short numbers, and two that share one are still told apart."""

from __future__ import annotations

import msgspec
import numpy as np

from penstock.core.types import Removal
from penstock.search.edge import LOOKED_UP_AT_ONCE
from penstock.search.filters import key_of
from tests.search.search_material import CTX, edge, file_entries, rows

ONE, OTHER = "f3331092", "f27018713"
"""Two names with the same key, found by trying 33 million."""


def test_the_two_names_share_a_key():
    assert key_of(ONE) == key_of(OTHER) < 2**53


async def test_removing_one_file_leaves_the_one_that_shares_its_key(tmp_path):
    index = edge(tmp_path / "vs")
    await index.start()
    for seed, name in enumerate((ONE, OTHER)):
        await index.write(file_entries(name, "1", 3), rows(3, seed), [], CTX)
    assert [entry.file_id for entry in (await index.entries_of(ONE))[0]] == [ONE] * 3
    assert (await index.holds(ONE, "1"), await index.holds(OTHER, "1")) == (3, 3)

    await index.write(file_entries(ONE, "2", 2), rows(2, 5), [Removal(file_id=ONE, keep_version="2")], CTX)
    assert (await index.holds(ONE, "1"), await index.holds(OTHER, "1")) == (0, 3)
    await index.write([], rows(0), [Removal(file_id=ONE)], CTX)
    assert await index.files() == {OTHER}
    await index.stop()


async def test_a_text_gets_no_vector_of_one_that_shares_its_key(tmp_path):
    index = edge(tmp_path / "vs")
    await index.start()
    entries = [
        msgspec.structs.replace(entry, embedded=text)
        for entry, text in zip(file_entries("f", "1", 2), (ONE, "another"), strict=True)
    ]
    vectors = rows(2)
    await index.write(entries, vectors, [], CTX)

    found = await index.embedded([OTHER, "another"])

    assert found is not None
    assert set(found) == {"another"}
    assert np.allclose(found["another"][0], vectors[1], atol=0.01)
    await index.stop()


async def test_more_texts_than_are_looked_up_at_once_are_all_found(tmp_path):
    index = edge(tmp_path / "vs")
    await index.start()
    count = 2 * LOOKED_UP_AT_ONCE + 3
    entries = [
        msgspec.structs.replace(entry, embedded=f"text {number}")
        for number, entry in enumerate(file_entries("f", "1", count))
    ]
    await index.write(entries, rows(count), [], CTX)

    found = await index.embedded(["unknown", *(f"text {number}" for number in range(count))])

    assert found is not None
    assert set(found) == {f"text {number}" for number in range(count)}
    await index.stop()
