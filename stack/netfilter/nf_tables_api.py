"""Tables, chains and rules, and changing them (Linux: net/netfilter/nf_tables_api.c)."""

from collections.abc import Callable, Sequence
from errno import EBUSY, EEXIST, ELOOP, ENOENT, EOPNOTSUPP
from typing import TYPE_CHECKING

from .core import NF_ACCEPT, NF_IP_PRI_CONNTRACK, NfHookOps
from .nf_tables_core import NFT_GOTO, NFT_JUMP, NFT_JUMP_STACK_SIZE, NftExpr
from .nft_chain import NFT_CHAIN_TYPES
from .nft_immediate import NftImmediate

if TYPE_CHECKING:
    from ..core.net import Net

__all__ = [
    "NetnsNft",
    "NftChain",
    "NftRule",
    "NftTable",
    "NftTransaction",
    "nf_tables_delchain",
    "nf_tables_delrule",
    "nf_tables_deltable",
    "nf_tables_newchain",
    "nf_tables_newrule",
    "nf_tables_newtable",
    "nft_chain_lookup",
    "nft_rule_lookup",
    "nft_table_lookup",
]


class NftRule:
    """A rule: its expressions, and how it reads.

    Members
    -------
    text : tuple[str or callable, ...]
        Its statements in nft's words; a function where they change, as a counter's.
    """

    __slots__ = ("exprs", "handle", "text")

    def __init__(self, exprs: Sequence[NftExpr], text: Sequence[str | Callable[[], str]] = ()) -> None:
        self.exprs = tuple(exprs)
        self.text = tuple(text)
        self.handle = 0


class NftChain:
    """A chain; with ``ops`` a base chain, which a hook leads to.

    Members
    -------
    rules : tuple[NftRule, ...]
        Replaced as a whole, so a packet on its way keeps its own.
    policy : int
        The verdict on packets that its end is reached with.
    """

    __slots__ = ("comment", "handle", "name", "ops", "policy", "rules", "table", "type")

    def __init__(self, table: "NftTable", name: str) -> None:
        self.table = table
        self.name = name
        self.rules: tuple[NftRule, ...] = ()
        self.type = ""
        self.ops: NfHookOps | None = None
        self.policy = NF_ACCEPT
        self.comment = ""
        self.handle = table.next_handle()


class NftTable:
    """A table of family ``ip``: chains by name, in the order in which they were made."""

    __slots__ = ("chains", "comment", "handle", "handles", "name")

    def __init__(self, name: str, handle: int) -> None:
        self.name = name
        self.chains: dict[str, NftChain] = {}
        self.comment = ""
        self.handle = handle
        self.handles = 0

    def next_handle(self) -> int:
        """Return a number for a chain or a rule of this table."""
        self.handles += 1
        return self.handles


class NetnsNft:
    """The tables of a namespace, by name."""

    def __init__(self) -> None:
        self.tables: dict[str, NftTable] = {}
        self.handles = 0


class NftTransaction:
    """Changes that are made as a whole, or not at all; use it in a ``with``, which checks the rules at its end.

    Members
    -------
    undo : list[callable]
        What takes the changes back, the last one first.
    """

    def __init__(self, net: "Net") -> None:
        self.net = net
        self.undo: list[Callable[[], None]] = []

    def __enter__(self) -> "NftTransaction":
        if not hasattr(self.net.nf, "tables"):
            self.net.nf.tables = NetnsNft()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            try:
                _nft_chains_validate(self.net)
            except OSError:
                self.abort()
                raise
        else:
            self.abort()

    def abort(self) -> None:
        """Take all changes back."""
        while self.undo:
            self.undo.pop()()


def nft_table_lookup(net: "Net", name: str) -> NftTable:
    """Return a table.

    Raises
    ------
    OSError
        ``ENOENT``.
    """
    table = net.nf.tables.tables.get(name) if hasattr(net.nf, "tables") else None
    if table is None:
        raise OSError(ENOENT, f"no table ip {name}")
    return table


def nft_chain_lookup(table: NftTable, name: str) -> NftChain:
    """Return a chain.

    Raises
    ------
    OSError
        ``ENOENT``.
    """
    chain = table.chains.get(name)
    if chain is None:
        raise OSError(ENOENT, f"no chain {name} in table ip {table.name}")
    return chain


def nft_rule_lookup(chain: NftChain, handle: int) -> NftRule:
    """Return a rule.

    Raises
    ------
    OSError
        ``ENOENT``.
    """
    for rule in chain.rules:
        if rule.handle == handle:
            return rule
    raise OSError(ENOENT, f"no rule with handle {handle} in chain {chain.name}")


def nf_tables_newtable(trans: NftTransaction, name: str, *, exclusive: bool = False) -> NftTable:
    """Return a table, made if needed.

    Raises
    ------
    OSError
        ``EEXIST`` if it is there and must not be.
    """
    nft = trans.net.nf.tables
    table = nft.tables.get(name)
    if table is not None:
        if exclusive:
            raise OSError(EEXIST, f"table ip {name} exists")
        return table
    nft.handles += 1
    table = nft.tables[name] = NftTable(name, nft.handles)
    trans.undo.append(lambda: nft.tables.__delitem__(name))
    return table


def nf_tables_deltable(trans: NftTransaction, table: NftTable) -> None:
    """Delete a table with all that is in it."""
    nf_tables_flush(trans, table)
    for chain in list(table.chains.values()):
        nf_tables_delchain(trans, chain)
    tables = trans.net.nf.tables.tables
    before = dict(tables)
    del tables[table.name]
    trans.undo.append(lambda: _restore(tables, before))


def _restore(
    where: "dict[str, NftTable] | dict[str, NftChain]", before: "dict[str, NftTable] | dict[str, NftChain]"
) -> None:
    where.clear()
    where.update(before)  # type: ignore[arg-type]  # Both are of the same kind.


def nf_tables_flush(trans: NftTransaction, table: NftTable) -> None:
    """Delete all rules of a table."""
    for chain in table.chains.values():
        nf_tables_setrules(trans, chain, ())


def nf_tables_newchain(
    trans: NftTransaction,
    table: NftTable,
    name: str,
    *,
    type: str = "filter",
    hook: int | None = None,
    priority: int = 0,
    policy: int | None = None,
    exclusive: bool = False,
) -> NftChain:
    """Return a chain, made if needed; with ``hook`` a base chain.

    Raises
    ------
    OSError
        ``EEXIST`` if it is there and must not be; ``EOPNOTSUPP`` if there can be no such chain, or it is another one.
    """
    chain = table.chains.get(name)
    if chain is not None:
        _check_same(chain, type, hook, priority, policy, exclusive=exclusive)
    else:
        if hook is None and policy is not None:
            raise OSError(EOPNOTSUPP, f"chain {name} has no hook, so no policy")
        if hook is not None:
            _check_type(type, hook, priority)
        chain = table.chains[name] = NftChain(table, name)
        trans.undo.append(lambda: table.chains.__delitem__(name))
        if hook is not None:
            chain.type = type
            chain.ops = NfHookOps(NFT_CHAIN_TYPES[type].hook, hook, priority, chain)
            NFT_CHAIN_TYPES[type].register(trans.net, chain.ops)
            trans.undo.append(lambda: _unregister(trans.net, chain))
    if policy is not None:
        before = chain.policy
        chain.policy = policy
        trans.undo.append(lambda: setattr(chain, "policy", before))
    return chain


def _check_type(type: str, hook: int, priority: int) -> None:
    if type not in NFT_CHAIN_TYPES:
        raise OSError(ENOENT, f"no chain type {type}")
    if hook not in NFT_CHAIN_TYPES[type].hooks or (type == "nat" and priority <= NF_IP_PRI_CONNTRACK):
        raise OSError(EOPNOTSUPP, f"no chain of type {type} can be there")


def _check_same(
    chain: NftChain, type: str, hook: int | None, priority: int, policy: int | None, *, exclusive: bool
) -> None:
    if exclusive or (hook is not None and chain.ops is None):
        raise OSError(EEXIST, f"chain {chain.name} exists")
    if chain.ops is None:
        if policy is not None:
            raise OSError(EOPNOTSUPP, f"chain {chain.name} has no hook, so no policy")
    elif hook is not None and (chain.type, chain.ops.hooknum, chain.ops.priority) != (type, hook, priority):
        raise OSError(EOPNOTSUPP, f"chain {chain.name} is another one")


def _unregister(net: "Net", chain: NftChain) -> None:
    assert chain.ops is not None
    NFT_CHAIN_TYPES[chain.type].unregister(net, chain.ops)


def _register(net: "Net", chain: NftChain) -> None:
    assert chain.ops is not None
    NFT_CHAIN_TYPES[chain.type].register(net, chain.ops)


def nf_tables_delchain(trans: NftTransaction, chain: NftChain) -> None:
    """Delete a chain with its rules.

    Raises
    ------
    OSError
        ``EBUSY`` if a rule leads to it.
    """
    if any(target is chain for other in chain.table.chains.values() for target in _targets(other)):
        raise OSError(EBUSY, f"a rule leads to chain {chain.name}")
    nf_tables_setrules(trans, chain, ())
    if chain.ops is not None:
        _unregister(trans.net, chain)
        trans.undo.append(lambda: _register(trans.net, chain))
    chains = chain.table.chains
    before = dict(chains)
    del chains[chain.name]
    trans.undo.append(lambda: _restore(chains, before))


def nf_tables_setrules(trans: NftTransaction, chain: NftChain, rules: tuple[NftRule, ...]) -> None:
    """Give a chain other rules; those that come and go get and give back what they need."""
    before = chain.rules
    _change(trans.net, chain, rules)
    trans.undo.append(lambda: _change(trans.net, chain, before))


def _change(net: "Net", chain: NftChain, rules: tuple[NftRule, ...]) -> None:
    before, chain.rules = chain.rules, rules
    old, new = set(before), set(rules)
    for rule in rules:
        if rule not in old:
            for expr in rule.exprs:
                expr.init(net)
    for rule in before:
        if rule not in new:
            for expr in rule.exprs:
                expr.destroy(net)


def nf_tables_newrule(trans: NftTransaction, chain: NftChain, rule: NftRule, at: int | None = None) -> None:
    """Add a rule at a place, or at the end."""
    rule.handle = chain.table.next_handle()
    place = len(chain.rules) if at is None else at
    nf_tables_setrules(trans, chain, (*chain.rules[:place], rule, *chain.rules[place:]))


def nf_tables_delrule(trans: NftTransaction, chain: NftChain, rule: NftRule) -> None:
    """Delete a rule."""
    nf_tables_setrules(trans, chain, tuple(other for other in chain.rules if other is not rule))


def _targets(chain: NftChain) -> list[NftChain]:
    """Return the chains that a chain leads to."""
    return [
        expr.chain
        for rule in chain.rules
        for expr in rule.exprs
        if isinstance(expr, NftImmediate) and expr.verdict in (NFT_JUMP, NFT_GOTO) and expr.chain is not None
    ]


def _nft_chains_validate(net: "Net") -> None:
    """Check that what each base chain leads to may be there, and comes to an end (``nft_table_validate``)."""
    for table in net.nf.tables.tables.values():
        for chain in table.chains.values():
            if chain.ops is not None:
                _nft_chain_validate(chain, chain, 0, set())


def _nft_chain_validate(base: NftChain, chain: NftChain, depth: int, done: set[tuple[str, int]]) -> None:
    assert base.ops is not None
    if depth >= NFT_JUMP_STACK_SIZE:
        raise OSError(ELOOP, f"chains lead too far, or round, from {base.name}")
    if (chain.name, depth) in done:
        return
    done.add((chain.name, depth))
    for rule in chain.rules:
        for expr in rule.exprs:
            if expr.nat and base.type != "nat":
                raise OSError(EOPNOTSUPP, f"chain {base.name} is not of type nat")
            if expr.hooks is not None and base.ops.hooknum not in expr.hooks:
                raise OSError(EOPNOTSUPP, f"a rule of chain {chain.name} cannot be at the hook of {base.name}")
    for target in _targets(chain):
        if target.ops is not None:
            raise OSError(EOPNOTSUPP, f"no rule may lead to base chain {target.name}")
        _nft_chain_validate(base, target, depth + 1, done)
