"""The one exception of this package that is meant for a person to read."""


class LsegreproError(ValueError):
    """Something the user can mend: one line that names the thing and the cure.

    The command line prints it after ``lsegrepro:`` and exits with code 2; a
    notebook shows it as the last line of the traceback. Whatever a file's name or a
    decoder puts into it, it stays one line (`printable`).

    >>> print(LsegreproError("no such photograph: new\\nline.jpg"))
    no such photograph: new\\nline.jpg
    """

    def __init__(self, message: object = "") -> None:
        super().__init__(printable(str(message)))


def one_line(error: BaseException | str) -> str:
    """What any error says, in one line; its kind if it says nothing.

    >>> one_line(ValueError("two\\n  lines")), one_line(EOFError())
    ('two lines', 'EOFError')
    """
    return printable(" ".join(str(error).split())) or type(error).__name__


def printable(text: str) -> str:
    """The same text with whatever a terminal would obey, or could not show, written as in Python.

    A file may be called anything: new lines, escape sequences that clear the screen, bytes that are no UTF-8.

    >>> print(printable("Kätzchen \\x1b[2J\\n.jpg"))
    Kätzchen \\x1b[2J\\n.jpg
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)
