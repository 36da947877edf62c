"""Packet filtering and address translation, with the words of nft(8)."""

from errno import EAFNOSUPPORT, ENOENT
from typing import TYPE_CHECKING, Any

from .netfilter.core import (
    NF_ACCEPT,
    NF_DROP,
    NF_INET_FORWARD,
    NF_INET_LOCAL_IN,
    NF_INET_LOCAL_OUT,
    NF_INET_POST_ROUTING,
    NF_INET_PRE_ROUTING,
)
from .netfilter.nf_tables_api import (
    NftChain,
    NftTable,
    NftTransaction,
    nf_tables_delchain,
    nf_tables_delrule,
    nf_tables_deltable,
    nf_tables_flush,
    nf_tables_newchain,
    nf_tables_newrule,
    nf_tables_newtable,
    nf_tables_setrules,
    nft_chain_lookup,
    nft_rule_lookup,
    nft_table_lookup,
)
from .nft_rule import parse_rule
from .nft_scanner import Scanner

if TYPE_CHECKING:
    from .core.net import Net

__all__ = ["nft"]

_HOOKS = {
    "prerouting": NF_INET_PRE_ROUTING,
    "input": NF_INET_LOCAL_IN,
    "forward": NF_INET_FORWARD,
    "output": NF_INET_LOCAL_OUT,
    "postrouting": NF_INET_POST_ROUTING,
}
_HOOK_NAMES = {hook: name for name, hook in _HOOKS.items()}
_TYPES = ("filter", "nat", "route")
_PRIORITIES = {"raw": -300, "mangle": -150, "filter": 0, "security": 50, "dstnat": -100, "srcnat": 100}
_ONLY_AT = {"dstnat": NF_INET_PRE_ROUTING, "srcnat": NF_INET_POST_ROUTING}
_POLICIES = {"accept": NF_ACCEPT, "drop": NF_DROP}
_FAMILIES = ("ip", "ip6", "inet", "arp", "bridge", "netdev")
_COMMANDS = ("add", "create", "insert", "replace", "delete", "flush", "list", "table", "chain", "rule")


def nft(net: "Net", script: str) -> str:
    """Do what a script says, as a whole or not at all: ``nft -f``.

    Known are the commands ``add``, ``create``, ``insert``, ``replace``, ``delete``, ``flush`` and ``list``, and blocks
    ``table ip NAME { chain NAME { ... } }``. There is only the family ``ip``.

    Returns
    -------
    str
        What ``list`` commands print.

    Raises
    ------
    OSError
        ``EINVAL`` with line and column if the script makes no sense; ``ENOENT``, ``EEXIST``, ``EBUSY``, ``ELOOP``,
        ``EOPNOTSUPP``, ``EAFNOSUPPORT`` as the kernel. Nothing is changed then.
    """
    scanner = Scanner(script)
    with NftTransaction(net) as trans:
        script_ = _Script(scanner, trans)
        scanner.skip_ends()
        while scanner.token.kind != "eof":
            script_.command()
            if scanner.peek("}"):
                scanner.unexpected()
            scanner.end()
        return "".join(script_.listed)


class _Script:
    """A script while it is carried out."""

    def __init__(self, scanner: Scanner, trans: NftTransaction) -> None:
        self.scanner = scanner
        self.trans = trans
        self.net = trans.net
        self.listed: list[str] = []

    def command(self) -> None:
        """Carry one command out."""
        word = self.scanner.expect(*_COMMANDS).text
        if word in ("table", "chain", "rule"):
            getattr(self, f"_add_{word}")(exclusive=False)
            return
        allowed = {
            "add": ("table", "chain", "rule"),
            "create": ("table", "chain"),
            "insert": ("rule",),
            "replace": ("rule",),
            "delete": ("table", "chain", "rule"),
            "flush": ("table", "chain", "ruleset"),
            "list": ("table", "tables", "chain", "ruleset"),
        }[word]
        what = self.scanner.expect(*allowed).text
        if word in ("add", "create"):
            getattr(self, f"_add_{what}")(exclusive=word == "create")
        elif what == "rule":
            getattr(self, f"_{word}_rule")()
        else:
            getattr(self, f"_{word}")(what)

    def _family(self) -> None:
        token = self.scanner.accept(*_FAMILIES)
        if token is not None and token.text != "ip":
            raise OSError(EAFNOSUPPORT, f"{token.line}:{token.column}: there is no family {token.text} here")

    def _table(self) -> NftTable:
        self._family()
        return nft_table_lookup(self.net, self.scanner.word().text)

    def _chain(self) -> NftChain:
        return nft_chain_lookup(self._table(), self.scanner.word().text)

    def _add_table(self, *, exclusive: bool) -> None:
        scanner = self.scanner
        self._family()
        table = nf_tables_newtable(self.trans, scanner.word().text, exclusive=exclusive)
        if not scanner.accept("{"):
            return
        # Chains may be named before they are there: those of a block are made first.
        start = scanner.mark()
        self._chains_of_block(table, rules=False)
        scanner.reset(start)
        self._chains_of_block(table, rules=True)

    def _chains_of_block(self, table: NftTable, *, rules: bool) -> None:
        scanner = self.scanner
        scanner.skip_ends()
        while not scanner.accept("}"):
            if scanner.accept("comment"):
                table.comment = scanner.name().text
            else:
                scanner.expect("chain")
                name = scanner.word().text
                scanner.expect("{")
                if rules:
                    self._skip_declaration()
                    self._rules(nft_chain_lookup(table, name))
                else:
                    self._declaration(table, name, exclusive=False)
                    scanner.skip_block()
            scanner.end()

    def _skip_declaration(self) -> None:
        scanner = self.scanner
        scanner.skip_ends()
        while scanner.peek("type", "policy", "comment"):
            while not scanner.at_end():
                scanner.next()
            scanner.skip_ends()

    def _rules(self, chain: NftChain) -> None:
        scanner = self.scanner
        scanner.skip_ends()
        while not scanner.accept("}"):
            nf_tables_newrule(self.trans, chain, parse_rule(scanner, self.net, chain.table))
            scanner.end()

    def _add_chain(self, *, exclusive: bool) -> None:
        scanner = self.scanner
        table = self._table()
        name = scanner.word().text
        if not scanner.accept("{"):
            nf_tables_newchain(self.trans, table, name, exclusive=exclusive)
            return
        chain = self._declaration(table, name, exclusive=exclusive)
        self._rules(chain)

    def _declaration(self, table: NftTable, name: str, *, exclusive: bool) -> NftChain:
        """Take what a chain is, and make it."""
        scanner = self.scanner
        values: dict[str, Any] = {}
        comment = None
        scanner.skip_ends()
        while scanner.peek("type", "policy", "comment"):
            word = scanner.next().text
            if word == "type":
                values |= self._type()
            elif word == "policy":
                values["policy"] = _POLICIES[scanner.expect(*_POLICIES).text]
            else:
                comment = scanner.name().text
            scanner.end()
        chain = nf_tables_newchain(self.trans, table, name, exclusive=exclusive, **values)
        if comment is not None:
            chain.comment = comment
        return chain

    def _type(self) -> dict[str, Any]:
        scanner = self.scanner
        if not scanner.peek(*_TYPES):
            scanner.fail("unknown chain type")
        type = scanner.next().text
        scanner.expect("hook")
        if not scanner.peek(*_HOOKS):
            scanner.fail("unknown chain hook")
        hook = _HOOKS[scanner.next().text]
        scanner.expect("priority")
        return {"type": type, "hook": hook, "priority": self._priority(hook)}

    def _priority(self, hook: int) -> int:
        scanner = self.scanner
        sign = scanner.accept("-")
        if sign is not None or scanner.token.text[:1].isdigit():
            return -scanner.number() if sign is not None else scanner.number()
        token = scanner.word()
        if token.text not in _PRIORITIES or _ONLY_AT.get(token.text, hook) != hook:
            scanner.fail("invalid priority expression value in this context.", token)
        priority = _PRIORITIES[token.text]
        sign = scanner.accept("+", "-")
        if sign is None:
            return priority
        return priority + scanner.number() if sign.text == "+" else priority - scanner.number()

    def _add_rule(self, *, exclusive: bool) -> None:
        chain = self._chain()
        at = self._place(chain)
        rule = parse_rule(self.scanner, self.net, chain.table)
        nf_tables_newrule(self.trans, chain, rule, None if at is None else at + 1)

    def _insert_rule(self) -> None:
        chain = self._chain()
        at = self._place(chain)
        nf_tables_newrule(self.trans, chain, parse_rule(self.scanner, self.net, chain.table), at or 0)

    def _replace_rule(self) -> None:
        chain = self._chain()
        self.scanner.expect("handle")
        old = nft_rule_lookup(chain, self.scanner.number())
        at = chain.rules.index(old)
        nf_tables_newrule(self.trans, chain, parse_rule(self.scanner, self.net, chain.table), at)
        nf_tables_delrule(self.trans, chain, old)

    def _delete_rule(self) -> None:
        chain = self._chain()
        self.scanner.expect("handle")
        nf_tables_delrule(self.trans, chain, nft_rule_lookup(chain, self.scanner.number()))

    def _place(self, chain: NftChain) -> int | None:
        """Return which rule ``handle`` or ``index`` names."""
        scanner = self.scanner
        if scanner.accept("handle", "position"):
            return chain.rules.index(nft_rule_lookup(chain, scanner.number()))
        if scanner.accept("index"):
            index = scanner.number()
            if index >= len(chain.rules):
                raise OSError(ENOENT, f"chain {chain.name} has no rule {index}")
            return index
        return None

    def _delete(self, what: str) -> None:
        if what == "table":
            nf_tables_deltable(self.trans, self._table())
        else:
            nf_tables_delchain(self.trans, self._chain())

    def _flush(self, what: str) -> None:
        if what == "ruleset":
            self._family()
            for table in list(self.net.nf.tables.tables.values()):
                nf_tables_deltable(self.trans, table)
        elif what == "table":
            nf_tables_flush(self.trans, self._table())
        else:
            nf_tables_setrules(self.trans, self._chain(), ())

    def _list(self, what: str) -> None:
        if what == "chain":
            chain = self._chain()
            self.listed.append(_table_text(chain.table, [chain]))
        elif what == "table":
            table = self._table()
            self.listed.append(_table_text(table, table.chains.values()))
        else:
            self._family()
            for table in self.net.nf.tables.tables.values():
                shown = f"table ip {table.name}\n" if what == "tables" else _table_text(table, table.chains.values())
                self.listed.append(shown)


def _table_text(table: NftTable, chains: Any) -> str:
    comment = f'\tcomment "{table.comment}"\n' if table.comment else ""
    return f"table ip {table.name} {{\n{comment}" + "\n".join(_chain_text(chain) for chain in chains) + "}\n"


def _chain_text(chain: NftChain) -> str:
    lines = [f"\tchain {chain.name} {{"]
    if chain.comment:
        lines.append(f'\t\tcomment "{chain.comment}"')
    if chain.ops is not None:
        hook = chain.ops.hooknum
        policy = "accept" if chain.policy == NF_ACCEPT else "drop"
        priority = _priority_text(chain.ops.priority, hook)
        lines.append(f"\t\ttype {chain.type} hook {_HOOK_NAMES[hook]} priority {priority}; policy {policy};")
    for rule in chain.rules:
        lines.append("\t\t" + " ".join(text if isinstance(text, str) else text() for text in rule.text))
    return "\n".join(lines) + "\n\t}\n"


def _priority_text(priority: int, hook: int) -> str:
    """Return a priority as nft shows it: by its name, or up to 10 beside one."""
    for name, number in _PRIORITIES.items():
        if _ONLY_AT.get(name, hook) == hook and abs(priority - number) <= 10:
            delta = priority - number
            return name + (f" {'+' if delta > 0 else '-'} {abs(delta)}" if delta else "")
    return str(priority)
