"""Every operation for every kind of caller, with ids of one's own, of others and of nobody: what is not the caller's
looks exactly like what does not exist.

`PENSTOCK_PROBES=50000` asks more often, with other ids and spellings.
"""

from __future__ import annotations

import logging
import os
import random
import re
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from urllib.parse import quote

import pytest
import pytest_asyncio
from starlette.routing import Route

from penstock.gateway.endpoint import Endpoint
from penstock.gateway.operation import Operation
from tests.security.calling import Seen
from tests.security.guarded import CANARY, GROUP_CANARY, Guarded, Ids
from tests.security.probes import PROBES, Probe

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(1800)]

WANTED = int(os.environ.get("PENSTOCK_PROBES", "10000"))
SEED = int(os.environ.get("PENSTOCK_SEED", "0")) or random.SystemRandom().randrange(1, 1 << 32)
NOBODY = ("none", "expired", "revoked")
OPEN = {"/healthz", "/readyz", "/openapi.json"}
CANARIES = (CANARY.encode(), GROUP_CANARY.encode())
VARIABLE = re.compile(
    rb"^(x-request-id|server-timing|date|x-penstock-[a-z-]*timing.*): .*$", re.MULTILINE | re.IGNORECASE
)
SPELLINGS = (
    lambda name: name,
    lambda name: quote(name, safe=""),
    lambda name: "".join(f"%{byte:02x}" for byte in name.encode()),
    lambda name: name.upper(),
    lambda name: name + "%20",
    lambda name: name + "%00",
    lambda name: name[:-1],
    lambda name: name + "'--",
    lambda name: name + "%27%20OR%20%271%27=%271",
    lambda name: "..%2f" + name,
    lambda name: name + "%0d%0aX-Injected:%201",
    lambda name: name + "*",
    lambda name: name.replace("_", "%5f"),
)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def guarded(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Guarded]:
    guarded = Guarded(folder=tmp_path_factory.mktemp("guarded"))
    await guarded.start()
    yield guarded
    await guarded.stop()


def operations(guarded: Guarded) -> list[Operation]:
    """All of the gateway's that need a key."""
    found = []
    for route in guarded.world.app.routes:
        assert isinstance(route, Route)
        assert isinstance(route.endpoint, Endpoint), f"{route.path} goes round the endpoint and its checks"
        operation = route.endpoint.operation
        if operation.scope is None:
            assert operation.path in OPEN or not operation.described, f"{operation.path} is open to everybody"
        else:
            found.append(operation)
    return found


def target(operation: Operation, probe: Probe, ids: Ids, spell: object = SPELLINGS[0]) -> str:
    path = re.sub(r"{(\w+)(?::\w+)?}", lambda found: spell(ids[probe.id_of(found[1])]), operation.path)  # type: ignore[operator]
    return path + re.sub(r"{(\w+)}", lambda found: spell(ids[found[1]]), probe.query)  # type: ignore[operator]


def unknown(ids: Ids, rng: random.Random) -> Ids:
    """Ids of the same form that belong to nobody."""
    return {
        name: re.sub(r"[0-9a-f](?=[0-9a-f]*$)", lambda _digit: rng.choice("0123456789abcdef"), value)
        if re.search("[-_]", value)
        else value
        if name == "model"  # the same ones for everybody
        else "".join(rng.choice("abcdefghijklmnopqrstuvwxyz") for _ in value)
        for name, value in ids.items()
    }


def mixtures(guarded: Guarded, operation: Operation, probe: Probe, rng: random.Random) -> tuple[Ids, Ids]:
    """The intruder's own ids with at least one of the victim's among them; and the same with ids of nobody instead."""
    used = sorted(probe.names | {probe.id_of(name) for name in re.findall(r"{(\w+)", operation.path + probe.query)})
    stolen = set(rng.sample(used, rng.randint(1, len(used)))) if used else set()
    foreign = {name: (guarded.victim if name in stolen else guarded.intruder)[name] for name in guarded.victim}
    nobodys = unknown(guarded.victim, rng)
    return foreign, {name: nobodys[name] if name in stolen else foreign[name] for name in foreign}


def normal(seen: Seen, ids: Ids) -> bytes:
    """What was seen, without what differs between any two requests, and without the ids that were asked for."""
    text = VARIABLE.sub(b"", seen.everything)
    forms = [(form, name) for name, value in ids.items() for form in (value, value.upper(), value[:-1])]
    for form, name in sorted(forms, key=lambda pair: -len(pair[0])):
        text = text.replace(form.encode(), b"<%b>" % name.encode())
    text = re.sub(rb"content-length: \d+", b"content-length: n", text)
    return re.sub(rb'"(id|created|created_at|last_active_at)":("[^"]*"|\d+)', rb'"\1":0', text)


async def test_every_operation_has_its_probes(guarded: Guarded) -> None:
    names = {operation.name for operation in operations(guarded)}

    assert names - set(PROBES) == set(), "say in tests/security/probes.py how these are asked"
    assert set(PROBES) - names == set(), "these are gone"


async def test_the_owner_reaches_everything(guarded: Guarded) -> None:
    """Else a probe that is refused would prove nothing."""
    ids = await guarded.furnish("owner", "throwaway", groups=["board"], secret="nothing")
    by_name = {operation.name: operation for operation in operations(guarded)}

    for name, probes in PROBES.items():
        operation = by_name[name]
        for probe in probes:
            seen = await guarded.ask("owner", operation.method, target(operation, probe, ids), probe.body(ids))
            elsewhere = operation.of_server or operation.scope == "worker"
            assert seen.status == (403 if elsewhere else 200), (name, seen.body)


def rounds(guarded: Guarded, rng: random.Random) -> Iterator[tuple[Operation, Probe, object]]:
    """Operations, probes and spellings, in an order of their own, without end."""
    everything = [(operation, probe) for operation in operations(guarded) for probe in PROBES[operation.name]]
    while True:
        rng.shuffle(everything)
        for operation, probe in everything:
            yield operation, probe, rng.choice(SPELLINGS)


async def test_nothing_of_another_is_seen(guarded: Guarded, caplog: pytest.LogCaptureFixture) -> None:
    print(f"seed {SEED}")
    caplog.set_level(logging.DEBUG)
    rng = random.Random(SEED)
    asked: Counter[str] = Counter()
    statuses: Counter[int] = Counter()
    for operation, probe, spell in rounds(guarded, rng):
        if asked.total() >= WANTED:
            break
        foreign, missing = mixtures(guarded, operation, probe, rng)

        async def ask(caller: str, ids: Ids) -> Seen:
            asked[caller] += 1
            seen = await guarded.ask(caller, operation.method, target(operation, probe, ids, spell), probe.body(ids))  # noqa: B023
            statuses[seen.status] += 1
            where = (SEED, operation.name, caller, seen)  # noqa: B023
            assert seen.status < 500, where
            assert not any(name.lower() == b"x-injected" for name, _ in seen.headers), where
            return seen

        for caller in NOBODY:
            seen = await ask(caller, foreign)
            assert seen.status == 401 or b'"unknown_path"' in seen.body, (SEED, operation.name, caller, seen)
            assert not any(canary in seen.everything for canary in CANARIES), (SEED, operation.name, caller, seen)
            assert normal(seen, foreign) == normal(await ask(caller, missing), missing)

        if operation.scope != "read":
            seen = await ask("read-only", guarded.victim)
            assert seen.status == 403 or b'"unknown_path"' in seen.body, (SEED, operation.name, seen)
            assert not any(canary in seen.everything for canary in CANARIES), (SEED, operation.name, seen)

        seen = await ask("other tenant", foreign)
        echoed = seen.everything.replace(
            foreign["store_name"].encode(), b""
        )  # a name that was asked for may be said back
        assert not any(canary in echoed for canary in CANARIES), (SEED, operation.name, seen)
        if foreign != missing:
            assert normal(seen, foreign) == normal(await ask("other tenant", missing), missing), (
                SEED,
                operation.name,
                seen,
            )

        if operation.method == "GET" or operation.name in ("searchVectorStore", "createChatCompletion"):
            seen = await ask("other user", guarded.victim | {"file_id": guarded.victim["secret_file_id"]})
            assert GROUP_CANARY.encode() not in seen.everything, (SEED, operation.name, seen)

    assert statuses[200] > WANTED // 100, statuses
    assert statuses[404] > WANTED // 100, statuses
    logged = "\n".join(record.getMessage() + str(record.exc_info or "") for record in caplog.records)
    for word in (CANARY, GROUP_CANARY, *(token for token in guarded.tokens.values() if token)):
        assert word not in logged


async def test_what_was_probed_is_unharmed(guarded: Guarded) -> None:
    store, file = guarded.victim["vector_store_id"], guarded.victim["file_id"]
    seen = (await guarded.ask("owner", "GET", f"/v1/vector_stores/{store}")).json()
    assert (seen["name"], seen["metadata"]) == (CANARY, {"note": CANARY})
    attached = (await guarded.ask("owner", "GET", f"/v1/vector_stores/{store}/files/{file}")).json()
    assert (attached["status"], attached["attributes"]) == ("completed", {"mark": CANARY})
    assert (await guarded.ask("owner", "GET", f"/v1/files/{file}/content")).status == 200


async def test_metrics_speak_of_nobody(guarded: Guarded) -> None:
    """They are of all tenants, and for the server's owner alone."""
    assert (await guarded.ask("other tenant", "GET", "/metrics")).status == 403

    seen = await guarded.ask("server's owner", "GET", "/metrics")

    assert seen.status == 200
    for word in (CANARY, GROUP_CANARY, *(token for token in guarded.tokens.values() if token)):
        assert word.encode() not in seen.everything


async def test_how_long_it_takes_tells_nothing(guarded: Guarded) -> None:
    """A foreign id and an unknown one take as long: telling them apart by time is right half of the time.

    Both are asked for again and again: a path that was met before is found faster, whoever owns what it names.
    """
    path = "/v1/vector_stores/{}/files/{}"
    rng = random.Random(SEED)
    foreign: list[float] = []
    nobodys: list[float] = []
    other = unknown(guarded.victim, rng)
    for _ in range(1_000):
        pair = [(foreign, guarded.victim), (nobodys, other)]
        rng.shuffle(pair)
        for times, ids in pair:
            began_s = time.perf_counter()
            seen = await guarded.ask("other tenant", "GET", path.format(ids["vector_store_id"], ids["file_id"]))
            times.append(time.perf_counter() - began_s)
            assert seen.status == 404

    area = area_under_curve(foreign, nobodys)
    assert 0.45 <= area <= 0.55, area


def area_under_curve(some: list[float], others: list[float]) -> float:
    """How often one of `some` is above one of `others` (Mann-Whitney): 0.5 when nothing tells them apart."""
    ranked = sorted([(value, 1) for value in some] + [(value, 0) for value in others])
    ranks = sum(rank for rank, (_, mine) in enumerate(ranked, start=1) if mine)
    return (ranks - len(some) * (len(some) + 1) / 2) / (len(some) * len(others))
