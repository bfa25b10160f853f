from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import httpx
import pytest
import pytest_asyncio

from tests.folders import copied
from tests.gateway.world import Live, World


@pytest.fixture(scope="session")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with the store `rivers`, made once: making a store takes far longer than copying one."""
    folder = tmp_path_factory.mktemp("filled")

    async def fill() -> None:
        world = World(folder=folder)
        await world.start()
        await world.fill()
        await world.stop()

    asyncio.run(fill())
    return folder


@pytest.fixture
async def make_world(filled: Path, tmp_path: Path) -> AsyncIterator[Callable[..., Awaitable[World]]]:
    """Makes started worlds with settings and an engine of the test's own."""
    worlds: list[World] = []

    async def make(*, empty: bool = False, **options: object) -> World:
        folder = tmp_path / str(len(worlds))
        folder.mkdir() if empty else copied(filled, folder)
        world = World(folder=folder, **options)
        worlds.append(world)
        await world.start()
        return world

    yield make
    for world in worlds:
        await world.stop()


@pytest.fixture
async def world(make_world: Callable[..., Awaitable[World]]) -> World:
    return await make_world()


def client_of(world: World) -> httpx.AsyncClient:
    # Errors must become answers; one that comes through here is a bug of ours.
    return httpx.AsyncClient(transport=httpx.ASGITransport(app=world.app), base_url="http://127.0.0.1:8000")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(filled: Path, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    """One world for a module whose tests only read; its module is marked `loop_scope="module"`."""
    world = World(folder=copied(filled, tmp_path_factory.mktemp("shared") / "data"))
    await world.start()
    yield world
    await world.stop()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def reader(shared: World) -> AsyncIterator[httpx.AsyncClient]:
    """Calls the shared world."""
    async with client_of(shared) as client:
        yield client


@pytest.fixture
async def client(world: World) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(world) as client:
        yield client


@pytest.fixture
async def make_live(make_world: Callable[..., Awaitable[World]]) -> AsyncIterator[Callable[..., Awaitable[Live]]]:
    """Makes worlds that listen on a free port."""
    lives: list[Live] = []

    async def make(**options: object) -> Live:
        live = Live(await make_world(**options))
        lives.append(live)
        await live.start()
        return live

    yield make
    for live in lives:
        await live.stop()


@pytest.fixture
async def live(make_live: Callable[..., Awaitable[Live]]) -> Live:
    return await make_live()
