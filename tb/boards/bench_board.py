"""Bench of a whole ECP5 board, from its pins inwards."""

from hardwire.boards.simulated import board_sim_verilog
from hardwire.tb.bench import Bench

__all__ = ["BENCH"]

BENCH = Bench(
    name="board",
    build=board_sim_verilog,
    module="hardwire.tb.boards.cocotb_board",
    top="hardwire_board",
    variants={"": {"board": "ecpix5_85"}},
)
