"""What Python imports before a program: puts the program on its simulated host, or does not let it start."""

import importlib
import os
import sys

__all__: list[str] = []

_here = os.path.dirname(__file__)
sys.path.remove(_here)
_rest = [place for place in os.environ["PYTHONPATH"].split(os.pathsep) if place != _here]
if _rest:
    os.environ["PYTHONPATH"] = os.pathsep.join(_rest)
else:
    del os.environ["PYTHONPATH"]
try:
    from hardwire.sim.dropin.install import install

    install()
except SystemExit as error:  # The simulation is over, and has said why.
    os._exit(int(error.code or 0))
except BaseException:  # Python would go on, on the real network.
    sys.excepthook(*sys.exc_info())
    os._exit(1)
_this = sys.modules.pop("sitecustomize")
try:
    importlib.import_module("sitecustomize")  # The machine's own.
except ImportError:
    sys.modules["sitecustomize"] = _this
