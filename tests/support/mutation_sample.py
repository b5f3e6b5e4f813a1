"""A seeded sample of mutants of ``algorithms/`` and ``domain/`` of every service, each against the tests of its module.

Needs cosmic-ray 8.7.0, which makes the mutants, in an environment of its own; the tests run with the project's Python
on a copy of the tree, so that nothing here changes:

    python -m venv mutants && mutants/bin/pip install cosmic-ray==8.7.0
    cp -r . ../mutated
    nice -n 15 mutants/bin/python tests/support/mutation_sample.py --tree ../mutated --python .venv/bin/python

Rounds of one mutant per module, in a seeded order, until the time is over. The tests of a module are the test files that
import it by name, the smallest first, at most three. An operator of cosmic-ray is drawn first, by its kind, then a place.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import subprocess
import sys
import time
from collections import Counter, defaultdict
from pathlib import Path

from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator, operator_names

SERVICES = ("photometry", "astrometry", "catalogs", "gateway", "auth")
MOST_TEST_FILES = 3
# types are written with |; the others need arguments
LEFT_OUT = re.compile(r"BitOr|VariableReplacer|VariableInserter")
BASELINE_LIMIT_S = 45.0


def modules(tree: Path) -> list[Path]:
    return sorted(
        path
        for service in SERVICES
        for room in ("algorithms", "domain")
        for path in (tree / "services" / service / "src" / f"{service}_service" / room).rglob("*.py")
        if path.name != "__init__.py"
    )


def tests_of(tree: Path, module: Path) -> list[Path]:
    """Test files of the module's service that import it."""
    parts = module.relative_to(tree).with_suffix("").parts[3:]
    service, name, package = parts[0].removesuffix("_service"), parts[-1], re.escape(".".join(parts[:-1]))
    dotted = re.compile(rf"\b{package}\.{name}\b|from {package} import [^\n]*\b{name}\b")
    files = [path for path in (tree / "tests" / service).rglob("test_*.py") if dotted.search(path.read_text())]
    return sorted(files, key=lambda path: (path.stem != f"test_{name}", path.stat().st_size))[:MOST_TEST_FILES]


def kind_of(operator: str) -> str:
    return re.sub(r"(Operator_\w+?)_.*", r"\1", operator)


def places(source: str) -> dict[str, list[tuple[str, int, int]]]:
    """Operator, occurrence and line of every mutant, by kind of operator."""
    tree, found = get_ast(source), defaultdict(list)
    nodes = list(ast_nodes(tree))
    for operator in operator_names():
        if LEFT_OUT.search(operator):
            continue
        made = get_operator(operator)()
        positions = [start for node in nodes for start, _ in made.mutation_positions(node)]
        found[kind_of(operator)] += [(operator, number, line) for number, (line, _) in enumerate(positions)]
    return {kind: items for kind, items in found.items() if items}


def passes(arguments: argparse.Namespace, tree: Path, files: list[Path], limit_s: float) -> str:
    sources = [
        str(path) for path in sorted(tree.glob("services/*/src")) + [tree / "shared" / "src", tree / "client" / "src"]
    ]
    environment = {
        **os.environ, "PYTHONPATH": os.pathsep.join(sources), "PYTHONDONTWRITEBYTECODE": "1",
        "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1",
    }  # fmt: skip
    command = [arguments.python, "-m", "pytest", "-q", "-x", "-n", "0", "-p", "no:cacheprovider", *map(str, files)]
    running = subprocess.Popen(
        command, cwd=tree, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        return "survived" if running.wait(limit_s) == 0 else "killed"
    except subprocess.TimeoutExpired:
        os.killpg(running.pid, 9)
        running.wait()
        return "timeout"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--tree", type=Path, required=True)
    parser.add_argument("--python", required=True)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=40.0)
    arguments = parser.parse_args()
    arguments.python = str(Path(arguments.python).absolute())
    tree, random_state = arguments.tree.resolve(), random.Random(arguments.seed)
    until = time.monotonic() + 60 * arguments.minutes
    outcomes: dict[str, Counter[str]] = {service: Counter() for service in SERVICES}
    waiting = modules(tree)
    baseline_s: dict[Path, float] = {}
    while waiting:
        random_state.shuffle(waiting)
        for module in list(waiting):
            if time.monotonic() > until:
                waiting = []
                break
            service = module.parts[-3].removesuffix("_service")
            files = tests_of(tree, module)
            if module not in baseline_s:
                begun = time.monotonic()
                state = passes(arguments, tree, files, BASELINE_LIMIT_S) if files else "untested"
                if state != "survived":
                    reason = {"killed": "fails", "timeout": "slow"}.get(state, state)
                    outcomes[service][f"module {reason}"] += 1
                    print(f"module {reason}: {module.relative_to(tree)}", flush=True)
                    waiting.remove(module)
                    continue
                baseline_s[module] = time.monotonic() - begun
            source = module.read_text()
            by_kind = places(source)
            if not by_kind:
                waiting.remove(module)
                continue
            operator, number, line = random_state.choice(by_kind[random_state.choice(sorted(by_kind))])
            mutated = mutate_code(source, get_operator(operator)(), number)
            if mutated is None or mutated == source:
                continue
            module.write_text(mutated)
            try:
                outcome = passes(arguments, tree, files, 15.0 + 4.0 * baseline_s[module])
            finally:
                module.write_text(source)
            outcomes[service][outcome] += 1
            print(
                f"{outcome}: {module.relative_to(tree)}:{line} {operator}: {source.splitlines()[line - 1].strip()}",
                flush=True,
            )
    for service, counted in outcomes.items():
        print(service, dict(counted))


if __name__ == "__main__":
    sys.exit(main())
