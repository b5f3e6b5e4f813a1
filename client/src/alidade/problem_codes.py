"""The codes of failures that the client itself finds; all other codes come from the server."""

from __future__ import annotations

from enum import StrEnum


class ClientCode(StrEnum):
    """A stable code with its meaning."""

    meaning: str

    def __new__(cls, code: str, meaning: str) -> ClientCode:
        member = str.__new__(cls, code)
        member._value_ = code
        member.meaning = meaning
        return member

    ABORTED = "aborted", "The job was stopped before it had a result."
    BAD_ANSWER = "bad_answer", "The answer is not one of Alidade's: something between client and server sent it."
    BAD_OPTION = "bad_option", "An argument or option of the command cannot be used; the message says which."
    NO_RESULTS = "no_results", "The reduction ended without result files; the message gives the reason."
    UNREACHABLE = "unreachable", "No answer from the server: it is not running, or its address is wrong."
    UNREADABLE = "unreadable", "A local file does not exist, may not be read, or has the wrong format."
