"""How fast cocotb runs the NIC: the figure that the in-process simulator is compared with by ``hardwire bench``.

Run as ``python -m hardwire.tb.speed``; prints JSON.
"""

import json
import os
import sys
import tempfile
from pathlib import Path

from ..hdl.config import NicConfig
from ..hdl.verilog import nic_verilog
from .bench import Bench, Case, run

__all__ = ["measure"]

BENCH = Bench(
    name="hardwire_nic",
    build=lambda: nic_verilog(NicConfig()),
    module="hardwire.tb.cocotb_speed",
)


def measure() -> dict[str, float]:
    """Return cycles and wall time of a run of 64-octet frames under cocotb.

    Raises
    ------
    RuntimeError
        If the run fails.
    """
    with tempfile.TemporaryDirectory() as folder:
        answer = Path(folder) / "speed.json"
        os.environ["HARDWIRE_SPEED_FILE"] = str(answer)
        result = run(Case(BENCH, ""), run_seed=1, out_dir=Path(folder))
        if result.failures:
            raise RuntimeError(f"{result.failures[0][1]}\n{Path(result.log).read_text()[-2000:]}")
        return dict(json.loads(answer.read_text()))


if __name__ == "__main__":
    sys.stdout.write(json.dumps(measure()) + "\n")
