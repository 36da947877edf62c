"""The one module of tests for any device, with those that it does not run on by itself."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

MODULE = Path(__file__).parent / "test_device.py"


@pytest.mark.parametrize("device", ["cocotb", "board-sim"])
def test_what_is_true_of_the_simulated_card_is_true_of(device: str, hardwire_seed: int) -> None:
    command = [sys.executable, "-m", "pytest", str(MODULE), "--device", device, "-p", "no:cacheprovider"]
    run = subprocess.run(
        [*command, "--hardwire-seed", str(hardwire_seed)], capture_output=True, text=True, check=False, timeout=500
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert re.search(r"^=+ (\d+) passed in ", run.stdout, re.MULTILINE), run.stdout  # None is skipped.
