"""The two ways a command can fail that are not a bug: the caller's mistake and the infrastructure's."""

from __future__ import annotations


class LongoddsError(Exception):
    """Base: carries one clear line for the user and an exit code."""

    exit_code = 1


class UserError(LongoddsError):
    """The caller's mistake: name the file, the field and the remedy. Exit code 2, no traceback."""

    exit_code = 2


class InfraError(LongoddsError):
    """Ours or the machine's, after retries; what was done is kept. Exit code 3."""

    exit_code = 3
