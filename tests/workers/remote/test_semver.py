"""Ranges mean what Helm says they mean: `helm` itself is asked."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devcluster.build import tool
from devcluster.chartserver import ChartServer
from workers.remote.semver import Range, Version, newest

VERSIONS = (
    *("0.0.1", "0.0.3", "0.1.0", "0.2.3", "0.2.9", "1.0.0", "1.2.0", "1.2.3", "1.2.9", "1.3.0-rc.1"),
    *("1.3.0", "2.0.0-alpha.2", "2.0.0-alpha.10", "2.0.0", "2.1.5", "3.0.0-beta", "v3.1.0", "4.0.0+b.1"),
)
RANGES = (
    *("", "*", "x", "1", "1.2", "1.x", "1.X.x", "v1.2.x", "0.0", "1.2.3", "4.0.0", "3.1.0", "v3.1.0", "9"),
    *("^1", "^1.2", "^1.2.3", "^0", "^0.0", "^0.0.3", "^0.2.3", "^*", "^2.0.0-0", "~1", "~1.2", "~>1.2.3"),
    *(
        "~0.0.0",
        "~*",
        ">1",
        ">1.2",
        ">1.2.3",
        ">=1.2.3 <2",
        ">=1,<2",
        "=>2",
        "<2",
        "<=1.x",
        "=<1.2",
        "<=1.2.0",
    ),
    *(
        "!=4.0.0",
        "!=4.x",
        "!=1.2.x <1.3",
        "=1.2.3",
        "1.2 - 2",
        "1.2.3 - 1.2.8",
        "^0.2 || ~1.2",
        "<1 || >3 <4",
    ),
    *(">2.0.0-0 <2.0.1", ">=2.0.0-alpha.2 <2.0.0", "~2.0.0-alpha", "!=1.2.x-0 <1.3"),
    *("> 1 , < 2.0", "<1 || >3 <4", "<=1.2.0"),
    *("nonsense", "latest", "1.2.3,", ">", "1..2", "^1.2.3.4", "1 2 x y", ">=1 &&"),
)


@pytest.fixture(scope="module")
def helm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], str | None]]:
    """Which version Helm takes of a repository with all of VERSIONS; None when it takes none."""
    home = tmp_path_factory.mktemp("helm")
    with ChartServer() as charts:
        for version in VERSIONS:
            charts.chart("web", version)
        charts.index()

        def show(wanted: str) -> str | None:
            done = subprocess.run(
                [tool("helm", print), "show", "chart", "web", "--repo", charts.url, f"--version={wanted}"],
                env={"HOME": str(home)},
                capture_output=True,
                text=True,
            )
            lines = [line for line in done.stdout.splitlines() if line.startswith("version: ")]
            return lines[0].removeprefix("version: ") if done.returncode == 0 else None

        yield show


def test_each_range_means_what_helm_takes(helm: Callable[[str], str | None]) -> None:
    def ours(wanted: str) -> str | None:
        try:
            return newest(VERSIONS, wanted)
        except ValueError:
            return None

    assert {wanted: ours(wanted) for wanted in RANGES} == {wanted: helm(wanted) for wanted in RANGES}


def test_what_is_no_range_is_told_from_one_that_nothing_fits() -> None:
    assert newest(VERSIONS, ">9") is None
    with pytest.raises(ValueError, match="nonsense"):
        newest(VERSIONS, "nonsense")


def test_order_is_that_of_the_specification() -> None:
    # The example of https://semver.org/#spec-item-11
    texts = ["1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-alpha.beta", "1.0.0-beta", "1.0.0-beta.2"]
    texts += ["1.0.0-beta.11", "1.0.0-rc.1", "1.0.0"]
    versions = [version for text in texts if (version := Version.parse(text))]
    assert versions == sorted(versions)
    assert [version.text for version in versions] == texts


@pytest.mark.parametrize(
    "text", ["", "1.2.3.4", "1.2.3-", "1.2.3-01", "\u0661.0.0", "1.2.3\n", "9" * 300, "9" * 25]
)
def test_what_is_no_version_is_none(text: str) -> None:
    assert Version.parse(text) is None


@given(st.text(alphabet="0123456789.xX*v-+ |,<>=!~^ab", max_size=60))
def test_no_text_is_more_than_a_range_or_none(text: str) -> None:
    found = Range.parse(text)
    assert found is None or found.permits(Version("1.2.3", (1, 2, 3), "")) in (True, False)
