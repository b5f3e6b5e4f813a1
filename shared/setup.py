"""Compile the kernels (``*.pyx``); everything else is in pyproject.toml."""

import platform
from pathlib import Path

from setuptools import Extension, setup

# A fixed CPU baseline and no contraction to fused operations: the same result on every machine of an architecture.
FLAGS = ["-O3", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math"]
if platform.machine() in ("x86_64", "AMD64"):
    FLAGS.append("-march=x86-64-v3")


def kernels() -> list[Extension]:
    """One extension for every Cython file below ``src``, named by its place."""
    sources = sorted(Path("src").rglob("*.pyx"))
    return [
        Extension(".".join(path.with_suffix("").parts[1:]), [str(path)], extra_compile_args=FLAGS) for path in sources
    ]


def build() -> None:
    """Compile what there is; a package without kernels needs no compiler."""
    if not kernels():
        setup()
        return
    from Cython.Build import cythonize

    setup(ext_modules=cythonize(kernels(), language_level=3, build_dir="build"))


build()
