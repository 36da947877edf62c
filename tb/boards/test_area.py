"""Area and speed of modules by themselves: what is kept is of what the sources are now, and within its bounds."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from hardwire.boards import area
from hardwire.boards.area import MODULES, RESOURCES, measure, read_areas
from hardwire.sim.cli.app import app
from hardwire.tb.documents import hardwire

SMALL = "mac_tx"
GROWTH = 1.03
SCATTER = 1.1  # Another version of nextpnr places otherwise.


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return measure(SMALL, tmp_path_factory.mktemp("area"), seeds=(1,))


def test_what_is_kept_is_what_comes_out_now(small: dict[str, Any]) -> None:
    kept = read_areas()[SMALL]
    for resource in RESOURCES:
        assert kept[resource] / GROWTH <= small[resource] <= kept[resource] * GROWTH, (
            f"run hardwire bench --area and commit {area.AREA.name}"
        )
    (mhz,) = small["fmax_mhz"]
    assert min(kept["fmax_mhz"]) / SCATTER <= mhz <= max(kept["fmax_mhz"]) * SCATTER


def test_every_module_was_measured_with_all_its_seeds() -> None:
    assert {name: len(found["fmax_mhz"]) for name, found in read_areas().items()} == {
        name: len(seeds) for name, seeds in MODULES.items()
    }


def test_the_nic_is_as_small_and_as_fast_as_promised() -> None:
    areas = read_areas()
    assert areas["nic"]["TRELLIS_COMB"] <= 9000
    assert min(areas["nic"]["fmax_mhz"]) >= 131
    assert areas["bridged_nic"]["TRELLIS_COMB"] <= 11_000
    assert all(mhz >= 125 for found in areas.values() for mhz in found["fmax_mhz"])


def test_the_command_keeps_what_it_measured_beside_the_rest(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, small: dict[str, Any]
) -> None:
    kept = tmp_path / "area.json"
    kept.write_text(json.dumps({"nic": {"TRELLIS_COMB": 1}}))
    monkeypatch.setattr(area, "AREA", kept)
    monkeypatch.setitem(MODULES, SMALL, ())
    result = CliRunner().invoke(app, ["bench", "--area", "--module", SMALL, "--json"])
    assert result.exit_code == 0
    placed_with_none = small | {"fmax_mhz": []}
    assert json.loads(result.stdout) == {SMALL: placed_with_none}
    assert json.loads(kept.read_text()) == {"nic": {"TRELLIS_COMB": 1}, SMALL: placed_with_none}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--module", "nic"], "--module goes with --area"),
        (["--area", "--module", "cpu"], "--module knows nic, bridged_nic, .*, not 'cpu'"),
    ],
)
def test_misuse_is_said(arguments: list[str], message: str) -> None:
    result = hardwire(["bench", *arguments])
    assert result.returncode == 2
    assert re.fullmatch(f"hardwire: {message}\n", result.stderr)
