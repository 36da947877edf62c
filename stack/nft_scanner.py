"""The words of nft(8), with their places."""

import re
from dataclasses import dataclass
from errno import EINVAL
from typing import NoReturn

__all__ = ["Scanner", "Token"]

_TOKEN = re.compile(
    r"""(?P<space>(?:[ \t\r]|\\\n|\#[^\n]*)+)
    | (?P<end>[\n;])
    | (?P<string>"[^"\n]*")
    | (?P<word>[A-Za-z0-9_./*][A-Za-z0-9_./*]*(?:-[A-Za-z0-9_./*]+)*)
    | (?P<symbol>==|!=|<=|>=|[-{}(),:&|^<>!+=@])""",
    re.VERBOSE,
)
_END = "end"


@dataclass(frozen=True, slots=True)
class Token:
    """A word, a string (without its quotes), a symbol, or the end of a statement."""

    kind: str
    text: str
    line: int
    column: int


class Scanner:
    """Tokens of a text, looked at one after the other.

    Raises
    ------
    OSError
        ``EINVAL`` with line and column, for a character that begins none.
    """

    def __init__(self, text: str) -> None:
        self._tokens: list[Token] = []
        self._at = 0
        line, start, at = 1, 0, 0
        while at < len(text):
            match = _TOKEN.match(text, at)
            if match is None:
                raise OSError(EINVAL, f"{line}:{at - start + 1}: syntax error, unexpected {text[at]!r}")
            kind, word = match.lastgroup or "", match.group()
            if kind != "space":
                shown = word[1:-1] if kind == "string" else word
                self._tokens.append(Token(kind, shown, line, at - start + 1))
            at = match.end()
            newlines = word.count("\n")
            if newlines:
                line += newlines
                start = match.start() + word.rindex("\n") + 1
        self._tokens.append(Token("eof", "end of file", line, len(text) - start + 1))

    @property
    def token(self) -> Token:
        """The next one."""
        return self._tokens[self._at]

    def fail(self, message: str, token: Token | None = None) -> NoReturn:
        """Raise ``EINVAL`` with the place of a token, the next one if none is given."""
        token = token or self.token
        raise OSError(EINVAL, f"{token.line}:{token.column}: {message}")

    def unexpected(self) -> NoReturn:
        """Say that the next token cannot be here."""
        token = self.token
        shown = {"\n": "newline", ";": "semicolon"}.get(token.text, token.text)
        self.fail(f"syntax error, unexpected {shown}")

    def next(self) -> Token:
        """Take the next token."""
        token = self.token
        if token.kind != "eof":
            self._at += 1
        return token

    def peek(self, *texts: str) -> bool:
        """Return whether the next token is one of these; strings are none."""
        return self.token.kind not in ("string", "eof") and self.token.text in texts

    def accept(self, *texts: str) -> Token | None:
        """Take the next token if it is one of these."""
        return self.next() if self.peek(*texts) else None

    def expect(self, *texts: str) -> Token:
        """Take the next token, which must be one of these."""
        if not self.peek(*texts):
            self.unexpected()
        return self.next()

    def word(self) -> Token:
        """Take the next token, which must be a word."""
        if self.token.kind != "word":
            self.unexpected()
        return self.next()

    def name(self) -> Token:
        """Take the next token, which must be a word or a string."""
        if self.token.kind not in ("word", "string"):
            self.unexpected()
        return self.next()

    def number(self) -> int:
        """Take the next token, which must be a number."""
        token = self.word()
        try:
            return int(token.text, 0) if token.text[:1].isdigit() else int("")
        except ValueError:
            self.fail(f"{token.text!r} is no number", token)

    def at_end(self) -> bool:
        """Return whether a statement ends here."""
        return self.token.kind in ("eof", _END) or self.peek("}")

    def skip_ends(self) -> None:
        """Skip ends of lines, and semicolons."""
        while self.token.kind == _END:
            self._at += 1

    def end(self) -> None:
        """Take the end of a statement; a closing brace stays."""
        if not self.at_end():
            self.unexpected()
        self.skip_ends()

    def mark(self) -> int:
        """Return where the scanner is, for ``reset``."""
        return self._at

    def reset(self, mark: int) -> None:
        """Go back."""
        self._at = mark

    def skip_block(self) -> None:
        """Skip what is left of a block, its closing brace included."""
        depth = 1
        while depth:
            if self.token.kind == "eof":
                self.unexpected()
            depth += self.peek("{") - self.peek("}")
            self._at += 1
