"""How a command line is read: lists of words after an option, and what is said about an unknown verb."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup, TyperOption

from slrprune.cli.first import FIRST
from slrprune.errors import suggestion


class ListCommand(TyperCommand):
    """A command whose repeatable options take several words after one another, as in `--sparsity 0.9 0.95`.

    Click's options take a fixed number of values. Where further words follow the value of an option that may be
    repeated, the option is written in front of each of them before click reads the line. Where a required argument is
    missing then, the last such word is taken for it.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Click's, on the line written out in full."""
        options = [parameter for parameter in self.params if isinstance(parameter, TyperOption)]
        repeatable = [name for option in options if option.multiple for name in option.opts]
        single = [name for option in options if not option.multiple and not option.is_flag for name in option.opts]
        arguments = sum(parameter.required for parameter in self.params if not isinstance(parameter, TyperOption))
        return super().parse_args(ctx, written_out(args, repeatable, single, arguments))


class VerbGroup(TyperGroup):
    """Says what to do first where there is no verb, and names one that is near where there is none of this name."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Click's; without arguments it says what to do first, before typer imports what parsing needs."""
        if not args and not ctx.resilient_parsing:
            typer.echo(FIRST)
            ctx.exit()
        return super().parse_args(ctx, args)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Click's, with a sentence of our own."""
        if args[0] not in self.commands and not args[0].startswith("-"):
            way_out = suggestion(args[0], self.commands) or "slrprune --help lists what there is."
            ctx.fail(f"there is no verb {args[0]!r}. {way_out}")
        return super().resolve_command(ctx, args)


def written_out(args: Sequence[str], repeatable: Sequence[str], single: Sequence[str], arguments: int) -> list[str]:
    """`args` with the option repeated in front of every further word of its list.

    A list goes on while the words are of one kind: numbers, name=value, or other text.

    Args:
        args: the command line behind the verb.
        repeatable: names of the options that take a list.
        single: names of the options that take one value.
        arguments: number of required arguments, which stay outside the lists.

    Examples:
        >>> written_out(["digits", "--methods", "slr", "dpf", "--seeds", "3"], ["--methods"], ["--seeds"], 1)
        ['digits', '--methods', 'slr', '--methods', 'dpf', '--seeds', '3']
        >>> written_out(["--sparsity", "0.9", "0.95", "digits"], ["--sparsity"], [], 1)
        ['--sparsity', '0.9', '--sparsity', '0.95', 'digits']
    """
    words = _read(args, repeatable, single)
    missing = max(0, arguments - sum(word.is_free for word in words))
    for word in [word for word in reversed(words) if word.option][:missing]:
        word.option = ""
    return [part for word in words for part in ((word.option, word.text) if word.option else (word.text,))]


@dataclass
class _Word:
    """A word; `option` is the one whose list it continues, `is_free` where it belongs to no option."""

    text: str
    option: str = ""
    is_free: bool = False


def _read(args: Sequence[str], repeatable: Sequence[str], single: Sequence[str]) -> list[_Word]:
    words: list[_Word] = []
    option, kind, is_value = "", "", False
    for position, text in enumerate(args):
        if text == "--":
            return [*words, _Word(text), *(_Word(rest, is_free=True) for rest in args[position + 1 :])]
        if is_value:
            words.append(_Word(text))
            kind, is_value = _kind(text), False
        elif text.startswith("-") and not is_numbers(text):
            name, equals, value = text.partition("=")
            option = name if name in repeatable else ""
            is_value = not equals and (name in repeatable or name in single)
            kind = _kind(value)
            words.append(_Word(text))
        elif option and _kind(text) == kind:
            words.append(_Word(text, option))
        else:
            option = ""
            words.append(_Word(text, is_free=True))
    return words


def _kind(word: str) -> str:
    return "numbers" if is_numbers(word) else "setting" if "=" in word else "text"


def is_numbers(word: str) -> bool:
    """Whether a word is a number, or several with commas between them."""
    try:
        return bool([float(part) for part in word.split(",") if part])
    except ValueError:
        return False
