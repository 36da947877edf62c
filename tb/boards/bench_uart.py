"""Bench of the UART."""

from hardwire.tb.bench import Bench
from hardwire.tb.boards.uart_harness import Uart

__all__ = ["BENCH"]

BENCH = Bench(
    name="uart",
    build=Uart,
    module="hardwire.tb.boards.cocotb_uart",
    variants={
        f"baud{baud}": {"clock_khz": clock_khz, "baud": baud}
        for clock_khz, baud in ((125_000, 12_500_000), (125_000, 3_000_000), (100_000, 921_600))
    },
)
