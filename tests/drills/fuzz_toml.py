"""``python -m tests.drills.fuzz_toml``: random and mutated experiment files through what ``ddptui validate`` does.

Every file either gives a plan or is refused with an ``InputError`` whose every problem names file and line.
"""

from __future__ import annotations

import argparse
import random
import re
import sys
import tempfile
import time
import traceback
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from engine.core.errors import InputError
from engine.core.spec import RunConfig
from tests.drills.alarm import alarm
from tests.drills.cases import STRATEGIES, make_toml
from tests.drills.mutation import mutate_bytes
from tui.output import strip_escapes
from tui.prepare import read_plan

__all__ = ["fuzz", "main"]

ROOT = Path(__file__).parents[2]
SLOW_S = 60
"""A file that takes so long hangs whoever checks it."""

_VALUES, _TABLES, _GOOD = (
    block.splitlines() for block in (Path(__file__).parent / "toml_pieces.txt").read_text().split("\n\n")
)
"""Odd values for any key, headers of tables, and lines that may well be right."""
_MORE_KEYS = ("name", "repeats", "on_error", "extends", "baseline", "matrix", "exclude", "description", "seed_policy",
              "optimizer.lr", "snapshot.every", "stop.steps", "reference", '"quoted key"', "a.b.c", "")  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> int:
    """Fuzz; return 1 where a file was met as it must not be."""
    parser = argparse.ArgumentParser(prog="python -m tests.drills.fuzz_toml", description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=20_000)
    options = parser.parse_args(arguments)
    begun_s = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        outcomes, failures = fuzz(options.seed, options.count, Path(folder), tell=print)
    print(f"{options.count} files in {time.monotonic() - begun_s:.0f} s: {dict(outcomes)}; {len(failures)} failures")
    return 1 if failures else 0


def fuzz(
    seed: int, count: int, folder: Path, *, tell: Callable[[str], object] = lambda _: None
) -> tuple[Counter[str], list[str]]:
    """Check so many files.

    Args:
        seed: the file of an index is decided by the two.
        count: files.
        folder: where the file is written.
        tell: is told of every failure at once.

    Returns:
        How often a file was planned and how often refused; what went wrong, a text each.
    """
    outcomes: Counter[str] = Counter()
    failures: list[str] = []
    texts = corpus()
    file = folder / "experiments.toml"
    for index in range(count):
        content = make_file(seed, index, texts)
        file.write_bytes(content)
        outcome, wrong = _check(file)
        outcomes[outcome] += 1
        if wrong:
            failures.append(f"seed {seed}, file {index}: {wrong}\n{content!r}")
            tell(failures[-1])
    return outcomes, failures


def corpus() -> list[bytes]:
    """Experiment files that are known: of the repository, of the README, of the drill."""
    texts = [path.read_bytes() for path in (ROOT / "experiments.toml", ROOT / "tui" / "starter.toml")]
    readme = (ROOT / "README.md").read_text()
    texts += [found.encode() for found in re.findall(r"```toml\n(.*?)```", readme, re.DOTALL)]
    return texts + [make_toml(strategy).encode() for strategy in STRATEGIES]


def make_file(seed: int, index: int, texts: Sequence[bytes]) -> bytes:
    """Return one file: of a grammar, of the corpus with lines of the grammar, or either mutated."""
    random_ = random.Random(f"toml {seed} {index}")
    way = random_.randrange(6)
    if way == 0:
        return _grammar(random_)
    text = random_.choice(texts)
    if way >= 4:
        text = _with_good_lines(text, random_)
    if way == 4:
        return text
    if way == 1:
        return _with_odd_lines(text, random_)
    if way == 2:
        return mutate_bytes(text, random_, texts)
    return mutate_bytes(_with_odd_lines(text, random_), random_, texts)


def _grammar(random_: random.Random) -> bytes:
    num_lines = random_.randint(0, 14)
    lines = [random_.choice(_TABLES[:5]) if random_.random() < 0.3 else _odd_line(random_) for _ in range(num_lines)]
    return "\n".join(lines).encode("utf-8", "surrogatepass")


def _with_odd_lines(text: bytes, random_: random.Random) -> bytes:
    lines = text.decode().split("\n")
    for _ in range(random_.randint(1, 3)):
        place = random_.randrange(len(lines))
        key, equals, _ = lines[place].partition("=")
        if equals and random_.random() < 0.6:  # another value of a key that is there
            lines[place] = f"{key}= {random_.choice(_VALUES)}"
        else:
            lines.insert(place, random_.choice(_TABLES) if random_.random() < 0.2 else _odd_line(random_))
    return "\n".join(lines).encode()


def _with_good_lines(text: bytes, random_: random.Random) -> bytes:
    """Lines that may stand where they come to stand, often twice."""
    lines = text.decode().split("\n")
    for line in random_.sample(_GOOD, random_.randint(1, 2)):
        lines.insert(random_.choice([i for i, found in enumerate(lines, 1) if found.startswith("[")] or [0]), line)
    return "\n".join(lines).encode()


def _odd_line(random_: random.Random) -> str:
    return f"{random_.choice([*RunConfig.model_fields, *_MORE_KEYS])} = {random_.choice(_VALUES)}"


def _check(file: Path) -> tuple[str, str]:
    try:
        with alarm(SLOW_S):
            read_plan(str(file))
    except InputError as error:
        return "refused", "; ".join(_complaints(error))
    except Exception:  # noqa: BLE001 - this is what is looked for
        return "raised", traceback.format_exc()
    return "planned", ""


def _complaints(error: InputError) -> list[str]:
    found = [f"no place: {problem!r}" for problem in error.problems if not problem.file or problem.line < 1]
    found += [f"not one line: {problem!r}" for problem in error.problems if not _is_clean(str(problem))]
    return found if error.problems else ["refused without a problem"]


def _is_clean(text: str) -> bool:
    """Whether it is one line that a terminal only shows."""
    return not any(unicodedata.category(character) == "Cc" for character in strip_escapes(text)) and "\n" not in text


if __name__ == "__main__":
    sys.exit(main())
