"""Output as text or as JSON from the same calls (iproute2: lib/json_print.c, lib/json_writer.c)."""

from json import dumps
from typing import Any, TypeAlias

__all__ = ["Printer"]

Json: TypeAlias = "dict[str, Json] | list[Json] | str | float | None"


class Printer:
    """Collects what a command prints.

    Parameters
    ----------
    json : bool
        As JSON (``-j``); otherwise as text.
    pretty : bool
        JSON with line breaks (``-p``).
    oneline : bool
        Text with a backslash instead of each line break within an object (``-o``).
    """

    def __init__(self, *, json: bool = False, pretty: bool = False, oneline: bool = False) -> None:
        self.is_json = json
        self._pretty = pretty
        self.nl = "\\" if oneline else "\n"  # _SL_
        self._text: list[str] = []
        self._root: list[Any] = []
        self._open: list[Any] = [self._root]

    def text(self, text: str) -> None:
        """Print something that is in the text only."""
        if not self.is_json:
            self._text.append(text)

    def json(self, key: str | None, value: Any) -> None:
        """Print something that is in the JSON only; of a list's members the key is None."""
        if not self.is_json:
            return
        parent = self._open[-1]
        if isinstance(parent, dict):
            parent[key] = value
        else:
            parent.append(value)

    def any(self, key: str | None, text: str, value: Any) -> None:
        """Print a value: in the text as ``text``, in the JSON under ``key``."""
        if self.is_json:
            self.json(key, value)
        else:
            self._text.append(text)

    def open(self, key: str | None, container: "list[Any] | dict[str, Any]") -> None:
        """Begin a list or an object of the JSON."""
        self.json(key, container)
        self._open.append(container)

    def close(self) -> None:
        """End the list or object that was begun last."""
        self._open.pop()

    def result(self) -> str:
        """Return all that was printed."""
        if not self.is_json:
            return "".join(self._text)
        return (_pretty(self._root, 0) if self._pretty else dumps(self._root, separators=(",", ":"))) + "\n"


def _pretty(value: Json, depth: int) -> str:
    """Return JSON as ``ip -p -j`` lays it out: objects on lines of their own, lists of plain values on one."""
    indent = "    "
    if isinstance(value, dict):
        if not value:
            return "{ }"
        inner = indent * (depth + 1)
        lines = [f"{inner}{dumps(key)}: {_pretty(member, depth + 1)}" for key, member in value.items()]
        return "{\n" + ",\n".join(lines) + "\n" + indent * depth + "}"
    if isinstance(value, list):
        return "[ " + ",".join(_pretty(item, depth + 1) for item in value) + (" ]" if value else "]")
    return dumps(value)
