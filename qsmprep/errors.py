"""What can go wrong in ways that a user can foresee. Each carries a plain message and an exit code."""


class QsmprepError(Exception):
    """A foreseeable fault: its text is shown to the user as it is, without a traceback."""

    exit_code = 1


class UsageError(QsmprepError):
    """An option, argument or settings file is wrong."""

    exit_code = 2


class NothingToDoError(QsmprepError):
    """Nothing in the dataset can be processed with these options."""

    exit_code = 3


class EnvironmentFault(QsmprepError):
    """The machine stands in the way: disk, memory or permission."""

    exit_code = 4


class InputError(QsmprepError):
    """The data of one run cannot be used; other runs go on."""
