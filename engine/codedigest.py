"""A digest of the user's own code, so that a changed model is another run. Nothing of theirs is imported for it."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from os.path import relpath
from pathlib import Path

from engine.core.errors import InputError
from engine.core.wording import did_you_mean

__all__ = ["make_code_digest"]

MAX_ARGUMENT_BYTES = 1 << 20
"""A larger file that an argument of a script names is data, not configuration."""


def make_code_digest(project_dir: str) -> Callable[[Sequence[str]], str]:
    """Return the function that digests what targets such as ``"package.module:attribute"`` or ``"./train.py"`` are.

    The digest covers the source of the named modules, the packages above them, and every module under ``project_dir``
    that these import in turn, by their path below ``project_dir`` and their bytes. Modules that are not found there
    (installed packages) are not covered. No module found gives "". Of a script (the first target that begins with
    ``./``) it covers the file and what it imports from its own folder, and those of its arguments that name a small
    file: a configuration.

    Args:
        project_dir: the folder that is first on the path when the user's modules are imported.
    """
    root = Path(project_dir)

    def code_digest(targets: Sequence[str]) -> str:
        if targets[:1] and targets[0].startswith("./"):
            sources = _collect_script(root, [target.removeprefix("./") for target in targets])
        else:
            sources = _collect(root, (target.partition(":")[0] for target in targets))
        if not sources:
            return ""
        digest = hashlib.sha256()
        for name in sorted(sources):
            digest.update(f"{name}\0{len(sources[name])}\0".encode())
            digest.update(sources[name])
        return digest.hexdigest()[:16]

    return code_digest


def _collect_script(root: Path, names: Sequence[str]) -> dict[str, bytes]:
    """The bytes of a script, of all that it imports from its folder, and of the files that its arguments name."""
    script = root / names[0]
    if not script.is_file():
        what = "is a folder" if script.is_dir() else "there is no such file"
        near = [path.relative_to(root).as_posix() for path in sorted(root.glob("*.py"))]
        raise InputError(f"{names[0]!r}: {what} (looked for from {root}){did_you_mean(names[0], near)}")
    source = _read(script)
    sources = {relpath(script, root): source}
    for below, content in _collect(script.parent, _imports(source, script.stem, is_package=False)).items():
        sources[relpath(script.parent / below, root)] = content
    for name in names[1:]:
        path = root / name
        if _is_small_file(path):
            sources[relpath(path, root)] = _read(path)
    return sources


def _is_small_file(path: Path) -> bool:
    try:
        return path.is_file() and path.stat().st_size <= MAX_ARGUMENT_BYTES
    except (OSError, ValueError):  # an argument that no file can be called
        return False


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
