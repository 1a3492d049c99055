"""The chart's Redis as a process: its own script and configuration, in a directory of a test's."""

from __future__ import annotations

import os
import secrets
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Self

import redis

from charts.generate import CHART
from devcluster.redis import find_server
from tests.ports import free_port
from tests.stories.ship import until


class ChartRedis:
    """A context manager. `directory` holds the Secret's files, as they are mounted, and the data."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.port = free_port()
        self.passwords = secrets.token_hex(16), secrets.token_hex(16)
        self.url = f"redis://mooring:{self.passwords[0]}@127.0.0.1:{self.port}/0"
        self.web_url = f"redis://mooring-web:{self.passwords[1]}@127.0.0.1:{self.port}/0"
        for name in ("urls", "run", "data", "bin"):
            (directory / name).mkdir(exist_ok=True)
        (directory / "urls/url").write_text(self.url)
        (directory / "urls/web-url").write_text(f"{self.web_url}\n")  # `kubectl create --from-file` keeps it
        server = directory / "bin/redis-server"
        if not server.exists():
            server.symlink_to(find_server())
        self._child: subprocess.Popen[str] | None = None

    @property
    def pid(self) -> int:
        assert self._child
        return self._child.pid

    def run(self) -> subprocess.CompletedProcess[str]:
        """Runs the script to its end, where it has one."""
        return subprocess.run(self._argv(), env=self._environ(), capture_output=True, text=True, timeout=30)

    def _argv(self) -> list[str]:
        where = [str(self.directory / "urls"), str(CHART / "files"), str(self.directory / "run")]
        here = ["--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.directory / "data")]
        return ["sh", str(CHART / "files/redis.sh"), *where, *here]

    def _environ(self) -> dict[str, str]:
        return {"PATH": f"{self.directory / 'bin'}:{os.environ['PATH']}"}

    def _answers(self) -> bool:
        assert self._child
        assert self._child.poll() is None, (self.directory / "redis.log").read_text()
        with redis.Redis(port=self.port) as client:
            try:
                return bool(client.ping())
            except redis.RedisError:
                return False

    def __enter__(self) -> Self:
        with (self.directory / "redis.log").open("a") as log:
            self._child = subprocess.Popen(
                self._argv(), env=self._environ(), stdout=log, stderr=log, text=True
            )
        try:
            until("the chart's Redis", self._answers)
        except BaseException:
            self._child.kill()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._child
        self._child.terminate()
        self._child.wait(10)
