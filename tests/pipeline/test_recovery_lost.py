"""An index that is gone comes back from what is kept beside it."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.program import penstock
from tests.uploads import Parts


async def test_uploaded_files_are_read_again_by_themselves(tmp_path: Path) -> None:
    parts = Parts(folder=tmp_path)
    await parts.start()
    store, other = await parts.store(), await parts.store("other")
    for name in ("a", "b"):
        await parts.attach(store, await parts.upload(f"Text {name} about penstocks.", f"{name}.txt"))
    await parts.attach(other, await parts.upload("Another store about penstocks.", "c.txt"))
    await parts.work_off()
    await parts.stop()
    shutil.rmtree(tmp_path / "stores" / store.id)

    parts = Parts(folder=tmp_path)
    await parts.start()
    assert await parts.states(store) == {"a.txt": "queued", "b.txt": "queued"}
    assert await parts.states(other) == {"c.txt": "completed"}
    await parts.work_off()

    assert {hit.filename for hit in await parts.hits(store, "penstocks")} == {"a.txt", "b.txt"}
    assert sorted(parts.reader.parsed) == ["a.txt", "b.txt"]
    await parts.stop()


def test_a_folder_is_read_again_by_the_next_ingestion(tmp_path: Path) -> None:
    data = tmp_path / "data"
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a.md").write_text("A penstock carries water to the turbine.")
    assert penstock("ingest", tmp_path / "docs", "--data", data).returncode == 0
    before = penstock("dump", "default", "--data", data).stdout
    assert '"filename":"a.md"' in before
    shutil.rmtree(data / "stores")

    again = penstock("ingest", tmp_path / "docs", "--data", data)

    assert again.returncode == 0, again.stderr
    assert penstock("dump", "default", "--data", data).stdout == before
