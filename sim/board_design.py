"""What a simulated board is built from."""

from dataclasses import dataclass, field
from pathlib import Path

from ..hdl.config import NicConfig
from .verilate import Report, verilate

__all__ = ["BoardDesign"]


@dataclass(frozen=True, kw_only=True)
class BoardDesign:
    """Parameters of a board's gateware, pins and all.

    Parameters
    ----------
    board : str
        Its name, as ``boards`` has it.
    config : NicConfig
        Parameters of the NIC in it.
    baud : int
        Bits per second on its serial line.
    """

    board: str = "ecpix5_85"
    config: NicConfig = field(default_factory=NicConfig)
    baud: int = 12_500_000

    def verilog(self) -> str:
        """Return the Verilog of module ``hardwire_board``, models of the vendor's cells included."""
        from ..boards.simulated import board_sim_verilog

        return board_sim_verilog(self.board, nic=self.config, baud=self.baud)

    def verilate(self, *, waves: bool, verilator: Path, generated: Path, report: Report) -> list[str]:
        """Write the C++ of the board into ``generated``; return what to tell the harness' compiler."""
        report("Writing Verilog", 0, 4)
        texts = {"board.v": self.verilog()}
        verilate(
            texts,
            top="hardwire_board",
            prefix="Vboard",
            waves=waves,
            verilator=verilator,
            generated=generated,
            report=report,
        )
        return []
