"""Failures that a user can cause or meet, each with the exit code of the fp4lab command."""

from __future__ import annotations


class AnalysisError(Exception):
    """One clear line: what is wrong, where, and what would be right."""

    exit_code = 1


class InputError(AnalysisError):
    """The caller's input is wrong: a name, or a file that is foreign, damaged or unfinished."""

    exit_code = 2


class NotInData(InputError):
    """The files are fine but hold nothing of the asked kind."""


class EnvironmentError_(AnalysisError):
    """The machine lacks something: a module, a writable place, space on the disk."""

    exit_code = 3
