"""Every code that a service or the client can answer with is on the page of problem codes."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "problems.md"
SOURCES = sorted(
    path
    for pattern in ("services/*/src", "shared/src", "client/src")
    for folder in ROOT.glob(pattern)
    for path in folder.rglob("*.py")
    if "testing" not in path.parts
)
# of an error that carries the code of another, or is never raised itself
NO_ANSWERS = {"error", "relayed_error", "run_failed", "task_crashed", "task_failed"}


def given_as_code(node):
    """Expressions that ``node`` gives as a problem code."""
    if isinstance(node, ast.ClassDef):
        for item in node.body:
            targets = item.targets if isinstance(item, ast.Assign) else [getattr(item, "target", None)]
            if any(isinstance(target, ast.Name) and target.id == "code" for target in targets):
                yield item.value
    elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        positional = node.args.posonlyargs + node.args.args
        pairs = [*zip(reversed(positional), reversed(node.args.defaults), strict=False)]
        pairs += zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True)
        yield from (default for argument, default in pairs if argument.arg == "code")
    elif isinstance(node, ast.Call):
        yield from (keyword.value for keyword in node.keywords if keyword.arg == "code")
        name = getattr(node.func, "attr", None)
        if name == "crash_means" or (name == "get" and len(node.args) == 2 and constant(node.args[0]) == "code"):
            yield node.args[0 if name == "crash_means" else 1]
    elif isinstance(node, ast.Dict):
        yield from (value for key, value in zip(node.keys, node.values, strict=True) if constant(key) == "code")


def constant(node):
    return node.value if isinstance(node, ast.Constant) else None


def codes_in(text):
    given = (expression for node in ast.walk(ast.parse(text)) for expression in given_as_code(node) if expression)
    return {code for expression in given for code in strings_of(expression)}


def strings_of(expression):
    """Texts that ``expression`` may have as its value; the keys and examples in it are none."""
    if isinstance(expression, ast.Constant):
        return {expression.value} if isinstance(expression.value, str) else set()
    if isinstance(expression, ast.BoolOp):
        return set().union(*map(strings_of, expression.values))
    if isinstance(expression, ast.IfExp):
        return strings_of(expression.body) | strings_of(expression.orelse)
    is_str = isinstance(expression, ast.Call) and getattr(expression.func, "id", None) == "str"
    return set().union(*map(strings_of, expression.args)) if is_str else set()


@pytest.mark.parametrize(
    "text",
    [
        "class E(AlidadeError):\n    code = 'one'",
        "raise ClientError('no', code='one')",
        "context.crash_means('one', 'it is damaged')",
        "def f(message, code='one'): ...",
        "def f(message, *, code: str = 'one'): ...",
        "answer({'code': 'one', 'message': ''})",
        "code = Relayed(code=str(problem.get('code') or 'one'))",
        "problem.get('code', 'one')",
    ],
)
def test_a_code_is_found_wherever_a_source_gives_it(text):
    assert codes_in(text) == {"one"}


def test_every_code_that_a_source_gives_is_on_the_page():
    known = set(re.findall(r"^\| `(\w+)` \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE)) | NO_ANSWERS
    given = {path.relative_to(ROOT).as_posix(): codes_in(path.read_text(encoding="utf-8")) for path in SOURCES}
    assert sum(map(len, given.values())) > 100
    assert {path: codes - known for path, codes in given.items() if codes - known} == {}
