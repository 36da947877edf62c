"""The smallest board neither grows nor gets slower unseen."""

import json
from pathlib import Path

import pytest

from hardwire.boards.board import TOP
from hardwire.boards.flow import make, write_files
from hardwire.boards.placed import blocks
from hardwire.boards.registry import BOARDS, load_board
from hardwire.boards.results import CLOCKS_125_MHZ, read_results
from hardwire.boards.tools import run_tool

BOARD = "colorlight_5a75b"
GROWTH = 1.03


def test_the_card_takes_no_more_of_the_smallest_board_than_last_time(tmp_path: Path) -> None:
    write_files(BOARD, tmp_path)
    run_tool("yosys", ["-q", "-p", f"script {TOP}.ys; check -assert"], tmp_path)
    module = json.loads((tmp_path / f"{TOP}.json").read_text())["modules"][TOP]
    card = next(block for block in blocks(module) if block.name == "card")
    last = read_results()[BOARD]["synthesised"]
    advice = "if it is worth it, run hardwire bench --boards and commit boards/results.json"
    assert card.comb <= GROWTH * last["comb"], advice
    assert card.ff <= GROWTH * last["ff"], advice
    assert card.ram <= last["ram"], advice


def test_all_boards_that_the_open_tools_can_build_had_their_margin() -> None:
    assert set(read_results()) == {name for name in BOARDS if load_board(name).flow == "open"}
    for name, result in read_results().items():
        clocks = result["clocks"]
        assert all(clock["achieved_mhz"] >= clock["wanted_mhz"] for clock in clocks.values()), name
        assert min(clocks[clock]["wanted_mhz"] for clock in CLOCKS_125_MHZ) >= 1.05 * 125, name


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_the_smallest_board_has_its_margin(tmp_path: Path) -> None:
    board, paths = write_files(BOARD, tmp_path)
    placed, _ = make(board, paths, tmp_path, seeds=(read_results()[BOARD]["seed"],))
    assert placed.met, placed.clocks
