"""The errors that a user sees: one line each, and an exit code that says whose fault it was."""


class SeqReproError(Exception):
    """Base of all expected errors. The CLI prints the message as one line."""

    exit_code = 1


class InputError(SeqReproError):
    """Something given to us is wrong: a parameter, a file, a row. Exit code 2."""

    exit_code = 2


class CheckFailed(SeqReproError):
    """A check did its work and the answer is no. Exit code 1."""
