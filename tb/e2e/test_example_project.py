"""The project in ``examples/``, as another team has it: from a wheel, in an environment that holds nothing else."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PROJECT = ROOT / "examples/telemetry"
# One more test of theirs: what is imported is the installed package, and their own folders.
ORIGIN = """
import sys
from pathlib import Path

import hardwire.hdl.packet
import hardwire.sim.link
import hdl.packet
import sim.link

HERE = Path(__file__).parents[1]


def test_every_module_is_from_where_it_should_be():
    assert Path(hardwire.__file__).is_relative_to(sys.prefix)
    assert Path(hardwire.hdl.packet.__file__).is_relative_to(sys.prefix)
    assert Path(hardwire.sim.link.__file__).is_relative_to(sys.prefix)
    assert Path(hdl.packet.__file__) == HERE / "hdl/packet.py"
    assert Path(sim.link.__file__) == HERE / "sim/link.py"
"""

BROKEN = """
from sim.link import PORT


def test_broken(two_hosts):
    a, b = two_hosts
    a.net.socket().sendto(b"not a reading", (b.address, PORT))
    two_hosts.world.advance(1_000_000)
    raise AssertionError
"""


def call(*command: object, cwd: Path, status: int = 0) -> str:
    """Run a program that finds nothing of this environment; return what it writes."""
    env = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "PYTEST", "VIRTUAL"))}
    done = subprocess.run(
        [str(word) for word in command], cwd=cwd, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert done.returncode == status, done.stdout
    return done.stdout


def test_example_project_passes_from_a_wheel_alone_and_on_two_workers(tmp_path: Path) -> None:
    pip = (sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check")
    call(*pip, "wheel", "--no-deps", "--wheel-dir", tmp_path, ROOT, cwd=tmp_path)
    (wheel,) = tmp_path.glob("hardwire-*.whl")
    call(sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv", cwd=tmp_path)
    python = tmp_path / "venv/bin/python"
    project = shutil.copytree(PROJECT, tmp_path / "telemetry", ignore=shutil.ignore_patterns(".*", "__pycache__"))
    needs = tomllib.loads((project / "pyproject.toml").read_text())["project"]
    assert needs["dependencies"] == ["hardwire"]
    call(*pip, "--python", python, "install", wheel, *needs["optional-dependencies"]["test"], cwd=tmp_path)
    (project / "tests/test_origin.py").write_text(ORIGIN)
    for arguments in ([], ["-n", "2"]):
        output = call(python, "-m", "pytest", *arguments, cwd=project)
        assert re.search(r"= 19 passed in", output), output
        assert not (project / ".hardwire").exists()
    (project / "tests/test_broken.py").write_text(BROKEN)
    output = call(python, "-m", "pytest", "tests/test_broken.py", cwd=project, status=1)
    assert "host2, stack: dropped 1 NO_SOCKET" in output
    named = {name for name in re.findall(r"^\S+/(\S+)$", output, re.MULTILINE) if list(project.rglob(name))}
    kinds = ("fst", "pcapng")
    assert named == {"journey.html", "journey.json"} | {f"host{n}-eth0.{kind}" for n in (1, 2) for kind in kinds}
