"""The chart's Redis: its own start, with a real server, and the two users that come of it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import redis

from charts.generate import CHART, redis_script
from mooring.store.acl import USERS
from tests.charts.chartredis import ChartRedis


def test_each_user_has_its_keys_and_nobody_else_has_any(tmp_path: Path) -> None:
    with ChartRedis(tmp_path) as server:
        with redis.Redis.from_url(server.url) as mooring, redis.Redis.from_url(server.web_url) as web:
            mooring.set("mooring:lease:beat", "x")
            web.hset("mooring:ledger:delivery:1", "state", "received")
            assert mooring.hget("mooring:ledger:delivery:1", "state") == b"received"
            for key in ("mooring:lease:beat", "mooring:queue:deploy", "mooring:turns"):
                with pytest.raises(redis.exceptions.NoPermissionError):
                    web.rpush(key, "x")
            with pytest.raises(redis.exceptions.NoPermissionError):
                mooring.set("somebody-elses", "x")
            for words in (
                ("FLUSHALL",),
                ("CONFIG", "SET", "dir", "/"),
                ("ACL", "LIST"),
                ("DEBUG", "SLEEP", "0"),
            ):
                with pytest.raises(redis.exceptions.NoPermissionError):
                    mooring.execute_command(*words)
        with redis.Redis(port=server.port) as stranger:
            assert stranger.ping()  # what the probes ask
            with pytest.raises(redis.exceptions.NoPermissionError):
                stranger.get("mooring:lease:beat")


def test_the_users_may_do_what_the_code_says() -> None:
    script = (CHART / "files/redis.sh").read_text(encoding="utf-8")
    assert redis_script(script) == script, "run: make chart"
    for user in USERS:
        assert re.search(rf"^user {user.name} reset on #\$\w+ ~", script, re.MULTILINE)


def test_passwords_are_on_no_command_line_and_in_no_environment(tmp_path: Path) -> None:
    with ChartRedis(tmp_path) as server:
        process = Path(f"/proc/{server.pid}")
        seen = process.joinpath("cmdline").read_bytes() + process.joinpath("environ").read_bytes()
        seen += (tmp_path / "run/users.acl").read_bytes()
        for password in server.passwords:
            assert password.encode() not in seen
        assert (tmp_path / "run/users.acl").stat().st_mode & 0o077 == 0


def test_what_was_written_is_there_after_a_restart_with_other_passwords(tmp_path: Path) -> None:
    with ChartRedis(tmp_path) as server, redis.Redis.from_url(server.url) as mooring:
        mooring.set("mooring:turns", "kept")
    with ChartRedis(tmp_path) as server, redis.Redis.from_url(server.url) as mooring:
        assert mooring.get("mooring:turns") == b"kept"


@pytest.mark.parametrize(
    ("file", "url"),
    [
        ("url", "redis://:a-password-without-a-user@mooring-redis:6379/0"),
        ("url", "redis://mooring:short@mooring-redis:6379/0"),
        ("web-url", "redis://mooring:the-users-are-mixed-up@mooring-redis:6379/0"),
        ("web-url", "redis://mooring-web:with%20something%20encoded@mooring-redis:6379/0"),
    ],
)
def test_a_url_that_makes_no_user_is_named_without_its_password(file: str, url: str, tmp_path: Path) -> None:
    server = ChartRedis(tmp_path)
    (tmp_path / "urls" / file).write_text(url)
    done = server.run()
    assert done.returncode != 0
    user = "mooring-web" if file == "web-url" else "mooring"
    assert f"the Secret's key {file} must be redis://{user}:PASSWORD@HOST:6379/0" in done.stderr
    assert url.partition("@")[0].rpartition(":")[2] not in done.stderr
