"""The one exception of this package that is meant for a person to read."""


class LsegreproError(ValueError):
    """Something the user can mend: one line that names the thing and the cure.

    The command line prints it after ``lsegrepro:`` and exits with code 2; a
    notebook shows it as the last line of the traceback.
    """


def one_line(error: BaseException | str) -> str:
    """What any error says, in one line; its kind if it says nothing.

    >>> one_line(ValueError("two\\n  lines")), one_line(EOFError())
    ('two lines', 'EOFError')
    """
    return " ".join(str(error).split()) or type(error).__name__
