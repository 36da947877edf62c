"""What the pages in docs say is true: links lead somewhere, code runs, and what they name exists."""

import json
import os
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver.common.keys import Keys

from hardwire.tb.documents import (
    ROOT,
    check_options,
    code_spans,
    defined_in,
    fenced,
    hardwire,
    words_of_sources,
)
from hardwire.tb.sim.browser import Browser

DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
TEXTS = {path.relative_to(DOCS).as_posix(): path.read_text() for path in PAGES}
PYTHON = [
    pytest.param(block, id=f"{page}-{number}")
    for page, text in TEXTS.items()
    for number, (kind, _, block) in enumerate(fenced(text))
    if kind == "python"
]
# These need root, a network, or more time than reading takes: only that they exist is tested here.
NOT_RUN = ("tap", "wire", "tb", "formal")
OTHERS = ("make", "source", "ip", "pip", "apt-get")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    options = "-W --keep-going -n -q -E -b html".split()
    call = [sys.executable, "-m", "sphinx", *options, str(DOCS), str(folder)]
    result = subprocess.run(call, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr) == (0, "")
    return folder


class Links(HTMLParser):
    """Places that a page leads to or loads, and those in it that can be led to."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.targets: list[str] = []
        self.loaded: list[str] = []
        self.ids: set[str] = set()
        self.feed(path.read_text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """See a tag."""
        values = dict(attrs)
        self.ids.add(values.get("id") or "")
        place = values.get("href") or values.get("src")
        if place is not None:
            (self.targets if tag == "a" else self.loaded).append(place)


def test_every_link_leads_somewhere_and_nothing_comes_from_the_network(site: Path) -> None:
    pages = [path for path in site.rglob("*.html") if path.parent.name not in ("journeys", "_static")]
    assert len(pages) >= len(PAGES)
    found = {path: Links(path) for path in pages}
    for path, links in found.items():
        assert not [place for place in links.loaded if "//" in place], path
        for place in links.targets + links.loaded:
            if place.startswith("https://"):
                continue
            name, _, fragment = place.partition("#")
            target = (path.parent / name.partition("?")[0]).resolve() if name else path
            assert target.exists(), f"{path.name}: {place}"
            if fragment and target in found:
                assert fragment in found[target].ids, f"{path.name}: {place}"


def test_search_works_without_a_server(site: Path, tmp_path: Path) -> None:
    browser = Browser(tmp_path)
    try:
        browser.open(site / "index.html")
        browser.click(".sidebar-search")
        browser.press("neigh_timer_handler", Keys.ENTER)
        deadline = time.monotonic() + 30
        while not browser.all("#search-results li a") and time.monotonic() < deadline:
            browser.settle()
        assert "B. Raw sockets, routes, neighbours" in browser.texts("#search-results li a")
        assert browser.complaints() == []
        assert {address.partition(":")[0] for address in browser.requests()} <= {"file", "data"}
    finally:
        browser.close()


def test_the_generated_pages_have_every_register_and_every_command(site: Path) -> None:
    from hardwire.sim.regs import RECORDS
    from hardwire.stack.abi import BLOCKS

    registers = (site / "reference/registers.html").read_text()
    for name in [f.name for b in BLOCKS for r in b.registers for f in (r, *r.fields)] + [
        member.name for record in RECORDS for member in record.members
    ]:
        assert f">{name}</span>" in registers
    commands = (site / "reference/commands.html").read_text()
    for command in re.findall(r"^  (\w+)", hardwire(["--help"]).stdout.split("Commands:")[1], re.MULTILINE):
        assert f'id="hardwire-{command}"' in commands


@pytest.mark.parametrize("block", PYTHON)
def test_python_of_the_pages_runs(block: str, tmp_path: Path) -> None:
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", block], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (result.returncode, result.stderr) == (0, "")


def _steps(text: str) -> Iterator[tuple[str, str]]:
    """Yield what a page has a person do, in order: write (path, text), call ("", line), and see ("text", lines)."""
    for kind, options, block in fenced(text):
        caption = re.search(r":caption: (\S+)", options)
        if kind == "{code-block} python" and caption:
            yield caption[1], block
        elif kind == "sh":
            yield from (("", line) for line in block.splitlines())
        elif kind == "text":
            yield "text", block


@pytest.mark.parametrize("page", TEXTS)
def test_commands_of_the_pages_do_what_the_page_says(page: str, tmp_path: Path) -> None:
    output = ""
    for what, text in _steps(TEXTS[page]):
        if what == "text":
            at = 0
            for part in re.split(r"\.\.\.|\n", text):
                assert part in output[at:], output
                at += output[at:].index(part) + len(part)
        elif what:
            (tmp_path / what).write_text(text)
        else:
            output = _output(text, tmp_path)


def _output(line: str, cwd: Path) -> str:
    words = shlex.split(line, comments=True)
    if words[0] == "pytest":
        call = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *words[1:]]
        result = subprocess.run(call, cwd=cwd, capture_output=True, text=True, check=False)
    elif words[0] != "hardwire":
        assert words[0] in OTHERS
        return ""
    elif words[1] in NOT_RUN and "--list" not in words:
        check_options(shlex.join(words))
        return ""
    else:
        result = hardwire(words[1:], cwd)
    assert result.returncode == 0, result.stderr + result.stdout
    return result.stdout


@pytest.mark.parametrize("page", TEXTS)
def test_what_the_pages_name_exists(page: str) -> None:
    own = {caption for what, _ in _steps(TEXTS[page]) if (caption := what)}
    for span in set(code_spans(TEXTS[page])) - own:
        name, call = span.removesuffix("()"), span.endswith("()")
        if re.match(r"(stack|hdl|sim|tb|boards|docs|examples)/", span) or re.fullmatch(r"[\w/*-]+\.(py|cpp)", span):
            assert list(ROOT.glob(span)) or list(ROOT.glob(f"tb/**/{span}")), f"{page}: there is no file {span}"
        elif re.fullmatch(r"[A-Za-z_][\w.]*", name) and name.split(".")[0] not in sys.stdlib_module_names:
            last = name.split(".")[-1]
            assert last in words_of_sources(), f"{page}: nothing is called {span}"
            if call:
                assert any(last in defined_in(path) for path in ROOT.glob("s*/**/*.py")), f"{page}: no function {span}"


# A table of a page: the comment above it, which says of which run the functions are, if there is one.
TABLE = re.compile(
    r"^(?:% walk: (\S+) (\S+)\n\n)?\| (?:function|block|class) \| file \|.*\n\| --- .*\n((?:\|.*\n)+)", re.M
)
TABLES = [
    pytest.param(match[1], match[2], match[3].splitlines(), id=f"{page}-{number}")
    for page, text in TEXTS.items()
    for number, match in enumerate(TABLE.finditer(text))
]


@pytest.mark.parametrize(("journey", "host", "lines"), TABLES)
def test_functions_are_where_the_tables_say_and_run_in_that_order(
    journey: str | None, host: str, lines: list[str], site: Path
) -> None:
    rows = [(name.strip(" `"), path.strip(" `")) for name, path in (line.split("|")[1:3] for line in lines)]
    for name, path in rows:
        assert name in defined_in(ROOT / path), f"{path} has no {name}"
    if journey is None:
        return
    stem = journey if journey[-1].isdigit() else f"{journey}-0"
    calls = iter(_calls(json.loads((site / f"journeys/{stem}.json").read_text()), host))
    for name, path in rows:
        assert (name, path) in calls, f"{name} does not run, or before those above it"  # Goes on from the last one.


def _calls(journey: dict[str, Any], host: str) -> list[tuple[str, str]]:
    hosts = [track["host"] for track in journey["tracks"]]
    return [
        (step["name"], f"stack/{step['what']}")
        for step in journey["steps"]
        if step["kind"] == "call" and hosts[step["track"]] == host
    ]


def test_pictures_are_small_and_all_of_them_are_shown() -> None:
    shown = set(re.findall(r"\{figure\} (?:\.\./)?pictures/(\S+)", "\n".join(TEXTS.values())))
    assert {path.name for path in (DOCS / "pictures").iterdir()} == shown
    for name in shown:
        assert os.path.getsize(DOCS / "pictures" / name) < 150 * 1024, name


def test_journeys_end_as_the_pages_say(site: Path) -> None:
    def fates(name: str) -> list[str]:
        return [packet["fate"] for packet in json.loads((site / f"journeys/{name}.json").read_text())["packets"]]

    assert set(fates("sending-0")) == {"received", "consumed"}
    assert "dropped: NEIGH_FAILED" in fates("routing-0")
    assert {"dropped: PKT_TOO_BIG", "dropped: IP_INHDR"} < set(fates("forwarding-0"))
    assert {"dropped: NO_SOCKET", "dropped: NETFILTER_DROP", "dropped: SOCKET_RCVBUFF"} < set(fates("drops-0"))
    assert {"arrived", "lost on the wire"} < set(fates("drops-0"))
    assert fates("offloads-0") == fates("offloads-1") == fates("misses-1") == ["received"]
