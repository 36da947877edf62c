"""What the README says is true: its Python runs, and its commands and options exist."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from hardwire.tb.documents import ROOT, check_options, hardwire

README = (ROOT / "README.md").read_text()
ADMINISTRATORS = ("ip", "tc", "ethtool", "sysctl", "nft")
COMMANDS = sorted(set(re.findall(r"^    (hardwire .+?)(?: +#.*)?$", README, re.MULTILINE)))


@pytest.mark.parametrize("line", COMMANDS)
def test_command_and_its_options_exist(line: str) -> None:
    words = shlex.split(line)[1:]
    if words[0] in ADMINISTRATORS:  # These have words of their own, and take no time.
        assert hardwire(words).returncode == 0
    else:
        check_options(line)


PRINTS = (
    " ns: 02 00 00 00 00 02 02 00 00 00 00 01 08 00 45 ",
    " ns: 172.16.48.1 says 00 00 99 76 12 34 00 01 " + " ".join(["45"] * 32),
)


BLOCKS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
TESTS = [block for block in BLOCKS if "def test_" in block]


@pytest.mark.parametrize(
    ("block", "prints"), list(zip([block for block in BLOCKS if block not in TESTS], PRINTS, strict=True))
)
def test_python_example_runs(block: str, prints: str, capsys: pytest.CaptureFixture[str]) -> None:
    exec(compile(block, "README.md", "exec"), {})
    assert prints in capsys.readouterr().out


def test_tests_pass(tmp_path: Path) -> None:
    (block,) = TESTS
    (tmp_path / "test_readme.py").write_text(block)
    call = [sys.executable, "-m", "pytest", "-W", "error", "--strict-markers", str(tmp_path)]
    result = subprocess.run(call, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "= 3 passed in" in result.stdout, result.stdout


def test_every_command_is_in_the_readme() -> None:
    listing = hardwire(["--help"]).stdout.split("Commands:")[1]
    for command in re.findall(r"^  (\w+)", listing, re.MULTILINE):
        assert f"hardwire {command}" in README
