"""Real brokers for tests: each on free ports of the loopback, in a folder of its own; killed, frozen, started again."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

START_S = 60.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wanted(binary: str) -> str:
    """The program's path; without it the test is skipped, or fails on CI."""
    # First RabbitMQ's own script: what Debian puts into the path runs it as another user.
    path = shutil.which(binary, path="/usr/lib/rabbitmq/bin") or shutil.which(binary)
    path = path or shutil.which(binary, path="/usr/sbin:/usr/local/sbin")
    if path is None:
        message = f"{binary} is missing: scripts/install-test-tools installs it"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    return path


def version_of(said: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", said)[:2])


class Broker:
    """A process that listens on `port`, durable: what it has confirmed is on its disk."""

    name = ""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix=f"penstock-{self.name}-"))
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        raise NotImplementedError

    def command(self) -> Sequence[str]:
        raise NotImplementedError

    def environment(self) -> dict[str, str]:
        return dict(os.environ)

    def start(self) -> None:
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                self.command(), stdout=log, stderr=log, env=self.environment(), start_new_session=True
            )
        until_s = time.monotonic() + START_S
        while not self.answers():
            if self.process.poll() is not None or time.monotonic() > until_s:
                raise AssertionError((self.folder / "log").read_text(errors="replace")[-3000:])
            time.sleep(0.05)

    def answers(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 0.2):
            return True
        return False

    def kill(self) -> None:
        self._signal(signal.SIGKILL)
        if self.process is not None:
            self.process.wait()
            self.process = None

    def freeze(self) -> None:
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def remove(self) -> None:
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _signal(self, number: int) -> None:
        """To its whole session: RabbitMQ has helpers of its own."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, number)


class Nats(Broker):
    name = "nats"

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self.port}"

    def command(self) -> Sequence[str]:
        program = wanted("nats-server")
        said = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
        # Older servers than 2.10 do not know it; against a kill, which loses no page cache, they hold all the same.
        always = 'sync_interval: "always"' if version_of(said) >= (2, 10) else ""
        config = self.folder / "nats.conf"
        config.write_text(f'jetstream {{ store_dir: "{self.folder}/data"\n{always} }}\n')
        return [program, "-a", "127.0.0.1", "-p", str(self.port), "-c", str(config)]


class Redis(Broker):
    name = "redis"

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def command(self) -> Sequence[str]:
        options = ["--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder), "--save", ""]
        return [wanted("redis-server"), *options, "--appendonly", "yes", "--appendfsync", "always"]


class Rabbit(Broker):
    name = "rabbitmq"

    def __init__(self) -> None:
        super().__init__()
        self._epmd_port = free_port()
        self._dist_port = free_port()

    def remove(self) -> None:
        super().remove()
        # Erlang's name server outlives whoever started it.
        epmd = shutil.which("epmd") or "epmd"
        subprocess.run([epmd, "-port", str(self._epmd_port), "-kill"], capture_output=True, check=False)

    @property
    def url(self) -> str:
        return f"amqp://guest:guest@127.0.0.1:{self.port}/"

    def command(self) -> Sequence[str]:
        return [wanted("rabbitmq-server")]

    def environment(self) -> dict[str, str]:
        (self.folder / "enabled_plugins").write_text("[].")
        (self.folder / "rabbit.conf").write_text(
            f"listeners.tcp.1 = 127.0.0.1:{self.port}\ndistribution.listener.interface = 127.0.0.1\n"
            "disk_free_limit.absolute = 50MB\nvm_memory_high_watermark.absolute = 1GB\n"
        )
        return {
            **os.environ,
            "HOME": str(self.folder),
            "RABBITMQ_NODENAME": f"penstock{self.port}@localhost",
            "RABBITMQ_CONFIG_FILE": str(self.folder / "rabbit.conf"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.folder / "enabled_plugins"),
            "RABBITMQ_MNESIA_BASE": str(self.folder / "mnesia"),
            "RABBITMQ_LOG_BASE": str(self.folder / "logs"),
            "RABBITMQ_PID_FILE": str(self.folder / "pid"),
            "RABBITMQ_DIST_PORT": str(self._dist_port),
            "ERL_EPMD_PORT": str(self._epmd_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+S 1:1 +sbwt none",
        }


BROKERS: dict[str, type[Broker]] = {"nats": Nats, "redis": Redis, "rabbitmq": Rabbit}
