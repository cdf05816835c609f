"""A digest of the user's own code, so that a changed model is another run. Nothing of theirs is imported for it."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

__all__ = ["make_code_digest"]


def make_code_digest(project_dir: str) -> Callable[[Sequence[str]], str]:
    """Return the function that digests what targets such as ``"package.module:attribute"`` are made of.

    The digest covers the source of the named modules, the packages above them, and every module under ``project_dir``
    that these import in turn, by their path below ``project_dir`` and their bytes. Modules that are not found there
    (installed packages) are not covered. No module found gives "".

    Args:
        project_dir: the folder that is first on the path when the user's modules are imported.
    """
    root = Path(project_dir)

    def code_digest(targets: Sequence[str]) -> str:
        sources = _collect(root, (target.partition(":")[0] for target in targets))
        if not sources:
            return ""
        digest = hashlib.sha256()
        for name in sorted(sources):
            digest.update(f"{name}\0{len(sources[name])}\0".encode())
            digest.update(sources[name])
        return digest.hexdigest()[:16]

    return code_digest


def _collect(root: Path, modules: Iterable[str]) -> dict[str, bytes]:
    """The bytes of every source file that ``modules`` reach, by path below ``root``."""
    sources: dict[str, bytes] = {}
    waiting = list(modules)
    seen: set[str] = set()
    while waiting:
        module = waiting.pop()
        if module in seen:
            continue
        seen.add(module)
        for name, path, is_package in _files_of(root, module):
            key = path.relative_to(root).as_posix()
            if key not in sources:
                sources[key] = _read(path)
                waiting += _imports(sources[key], name, is_package)
    return sources


def _files_of(root: Path, module: str) -> Iterator[tuple[str, Path, bool]]:
    """Yield (module name, file, is it a package) of ``module`` and of each package above it, as far as they exist."""
    parts = module.split(".")
    if not all(part.isidentifier() for part in parts):
        return
    for count in range(1, len(parts) + 1):
        name, path = ".".join(parts[:count]), root.joinpath(*parts[:count])
        if (path / "__init__.py").is_file():
            yield name, path / "__init__.py", True
        elif path.with_name(f"{path.name}.py").is_file():
            yield name, path.with_name(f"{path.name}.py"), False
            return
        elif not path.is_dir():
            return


def _imports(source: bytes, module: str, is_package: bool) -> Iterator[str]:
    """Yield the absolute names of what ``source`` may import: ``from a import b`` may mean module ``a.b``."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError):
        return  # the worker's check says what is wrong with it
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            origin = _absolute(node, module, is_package)
            yield origin
            yield from (f"{origin}.{alias.name}" for alias in node.names if origin and alias.name != "*")


def _absolute(node: ast.ImportFrom, module: str, is_package: bool) -> str:
    if not node.level:
        return node.module or ""
    parts = module.split(".")
    parts = parts[: len(parts) - node.level + is_package]
    return ".".join([*parts, *([node.module] if node.module else [])])


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""
