"""One planned run in full, as labelled lines: its sizes, its baseline, its data, what it will cost, its command."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from engine.core.partition_names import PARTITIONS
from engine.core.plan import ExperimentPlan
from engine.core.plan_catalog import StrategyTraits
from engine.core.spec import RunSpec
from engine.core.topology import Topology
from engine.core.wording import count, plain
from tui.output import format_bytes, format_duration, format_number, format_ratio
from tui.view.plan_shares import Coverage, Share, shares_of
from tui.view.plan_view import NEW
from tui.view.table import Pieces

__all__ = ["Checked", "Fact", "describe_run"]

MAX_SHARES = 16
MUTED = "text-muted"

_WHAT_LAUNCH_DOES: Mapping[str, str] = {
    NEW: "a launch queues it",
    "queued": "waits already",
    "succeeded": "a launch skips it, unless all are run again",
    "failed": "a launch runs it again",
    "stopped": "a launch runs it again",
    "lost": "a launch runs it again",
}


@dataclass(frozen=True, kw_only=True)
class Fact:
    """A label and the lines beside it.

    Attributes:
        label: one word.
        lines: each in pieces with their styles.
        is_table: the lines are aligned with one another: they are cut, not wrapped.
        begins_group: an empty line stands before it.
    """

    label: str
    lines: tuple[Pieces, ...]
    is_table: bool = False
    begins_group: bool = False


@dataclass(frozen=True, kw_only=True)
class Checked:
    """What the check of a run said.

    Attributes:
        is_running: it is on its way.
        facts: of the run's point: train_samples, num_steps, step_s, ...
        problems: why the run cannot train here.
        coverage: of the data, counted.
        num_gpus: what "gpu" stands for; 0 where unknown.
        time_s, disk_bytes: expected; None is unknown.
    """

    is_running: bool = False
    facts: Mapping[str, Any] = field(default_factory=dict)
    problems: tuple[str, ...] = ()
    coverage: Coverage | None = None
    num_gpus: int = 0
    time_s: float | None = None
    disk_bytes: int | None = None

    @property
    def unknown(self) -> str:
        """Why something is n/a."""
        if self.is_running:
            return "n/a yet: asking the interpreter that will train"
        if self.problems:
            return "n/a: the check failed"
        return "" if self.facts else "n/a: enter asks the interpreter that will train"


def describe_run(
    spec: RunSpec,
    experiment: ExperimentPlan,
    topology: Topology,
    traits: StrategyTraits,
    *,
    state: str,
    reason: str,
    commands: Sequence[str],
    checked: Checked,
) -> tuple[Fact, ...]:
    """Describe a run.

    Args:
        spec: the run.
        experiment: it belongs to.
        topology: its sizes.
        traits: of its strategy.
        state: in the results folder, or ``NEW``.
        reason: of that state, or "".
        commands: torchrun's command line per node.
        checked: what is known of it beyond the plan.
    """
    facts = [
        *_problems(checked),
        _fact("state", ((state, _STATE_STYLES.get(state, "primary")), (f"  {_launch_words(state, reason)}", MUTED))),
        _axes(spec),
        *_baseline(spec),
        _sizes(spec, topology, checked),
        *_seen(spec, topology, traits, checked),
        _training(spec, checked),
        _fact("expected", ((_expected(checked), ""))),
        _commands(commands),
    ]
    if experiment.notes:
        facts.append(Fact(label="notes", lines=tuple(_line(note) for note in experiment.notes), begins_group=True))
    note = checked.facts.get("note")
    if note:
        facts.append(_fact("of data", ((str(note), MUTED))))
    return tuple(fact for fact in facts if fact.lines)


_STATE_STYLES = {NEW: "accent", "succeeded": "success", "failed": "error", "lost": "error", "queued": MUTED}


def _line(text: str, style: str = "") -> Pieces:
    return ((text, style),)


def _fact(label: str, pieces: Any, *, begins_group: bool = False) -> Fact:
    """One line: a piece, or several."""
    line: Pieces = (pieces,) if isinstance(pieces[0], str) else pieces
    return Fact(label=label, lines=(line,), begins_group=begins_group)


def _problems(checked: Checked) -> list[Fact]:
    lines = tuple(_line(problem, "error") for problem in checked.problems)
    return [Fact(label="problem", lines=lines)] if lines else []


def _launch_words(state: str, reason: str) -> str:
    words = _WHAT_LAUNCH_DOES.get(state, "goes on already")
    return f"{reason}; {words}" if reason else words


def _axes(spec: RunSpec) -> Fact:
    pieces: list[tuple[str, str]] = []
    for name, value in spec.axes.items():
        if value is not None:
            pieces += [(" " * 2 * bool(pieces) + f"{name} ", MUTED), (plain(value), "")]
    return Fact(label="axes", lines=(tuple(pieces),) if pieces else ())


def _baseline(spec: RunSpec) -> list[Fact]:
    name = "none" if spec.baseline is None else spec.baseline
    if spec.baseline == spec.point:
        name = "this point itself"
    return [Fact(label="baseline", lines=(_line(name, "" if spec.baseline else "warning"), _why(spec)))]


def _why(spec: RunSpec) -> Pieces:
    return _line(spec.baseline_reason, MUTED)


def _sizes(spec: RunSpec, topology: Topology, checked: Checked) -> Fact:
    config = spec.config
    is_open = not checked.num_gpus and "gpu" in (config.world_size, config.dp.num_replicas)
    if is_open and (config.world_size == "gpu" or config.strategy == "dp"):
        return _fact("sizes", (("one rank or replica per GPU; how many there are is known after the check", MUTED)))
    factors = [str(topology.num_data_parallel)] if topology.num_data_parallel > 1 else []
    factors += [str(config.gradient_accumulation_steps)] if config.gradient_accumulation_steps > 1 else []
    product = f" = {' x '.join([*factors, str(topology.local_batch_size)])}" if factors else ""
    if not topology.knows_batch:
        return _fact("sizes", ((f"{count(topology.world_size, 'rank')}, seed {config.seed}", "")))
    words = (
        f"{count(topology.world_size, 'rank')}, {count(topology.num_devices, 'device')}, "
        f"global batch {topology.global_batch_size:,}{product}, lr {topology.lr:g}, seed {config.seed}"
    )
    return _fact("sizes", ((words, "")))


def _seen(spec: RunSpec, topology: Topology, traits: StrategyTraits, checked: Checked) -> list[Fact]:
    """Who sees what of the data; what a script does with which is its own."""
    if spec.config.script is not None:
        return [
            _fact("script", ((shlex.join([spec.config.script, *map(str, spec.config.args)]), "")), begins_group=True)
        ]
    return [
        _fact("data", ((_data(spec, checked), "")), begins_group=True),
        _shares(shares_of(topology, traits), checked),
        *_epoch(spec, checked),
    ]


def _data(spec: RunSpec, checked: Checked) -> str:
    facts = checked.facts
    if facts.get("train_samples") is None:
        return f"{spec.config.dataset}: {checked.unknown or 'n/a'}"
    sizes = [f"{format_number(facts['train_samples'], 12)} to train on"]
    for key, words in (("validation_samples", "held out for validation"), ("test_samples", "to test on")):
        if facts.get(key):
            sizes.append(f"{format_number(facts[key], 12)} {words}")
    return f"{spec.config.dataset}: {', '.join(sizes)}"


def _shares(shares: Sequence[Share], checked: Checked) -> Fact:
    """The table of who sees what; in the middle of many it is cut."""
    coverage = checked.coverage
    room = max(len(share.who) for share in shares)
    lines = [_line(f"{'':{room}}  {'of each batch':>15}  {'per epoch':>10}  {'of the data':>11}", MUTED)]
    shown = shares if len(shares) <= MAX_SHARES else (*shares[: MAX_SHARES - 1], shares[-1])
    for place, share in enumerate(shown):
        if len(shown) < len(shares) and place == MAX_SHARES - 1:
            lines.append(_line(f"{'...':{room}}", MUTED))
        index = len(shares) - 1 if share is shares[-1] else place
        lines.append(_share_line(share, index, room, coverage))
    return Fact(label="", lines=tuple(lines), is_table=True)


def _share_line(share: Share, index: int, room: int, coverage: Coverage | None) -> Pieces:
    if share.first is None:
        return ((f"{share.who:{room}}", ""), (f"  {'activations of all samples':>15}", MUTED))
    seen = coverage.per_share[index] if coverage is not None and index < len(coverage.per_share) else None
    ratio = seen / coverage.num_samples if coverage is not None and seen is not None else None
    places = f"{share.num_samples:,} ({share.first:,}-{share.last:,})"
    return _line(f"{share.who:{room}}  {places:>15}  {format_number(seen, 12):>10}  {format_ratio(ratio):>11}")


def _epoch(spec: RunSpec, checked: Checked) -> list[Fact]:
    coverage = checked.coverage
    if coverage is None:
        return []
    overlap = f"{format_ratio(coverage.overlap_ratio)} of the samples seen are seen by more than one"
    if not coverage.overlap_ratio:
        overlap = "none: nobody sees a sample of somebody else"
    facts = [
        _fact("partition", ((_partition(spec), ""))),
        _fact("overlap", ((overlap, "warning" if coverage.overlap_ratio else ""))),
        _fact("left out", ((_left_out(coverage), ""))),
    ]
    if spec.config.partition != "disjoint":
        order = {True: "new each epoch", False: "the same each epoch", None: "n/a: one epoch"}[coverage.order_changed]
        skew = format_ratio(coverage.class_skew_ratio)
        facts.append(_fact("classes", ((f"class skew {skew} of the most uneven rank; order {order}", ""))))
    return facts


def _partition(spec: RunSpec) -> str:
    config = spec.config
    alpha = f" (alpha {config.partition_args.alpha:g})" if config.partition == "dirichlet" else ""
    stuck = "" if config.partition_args.reshuffle else ", every epoch the first one again"
    return f"{config.partition}{alpha}: {PARTITIONS[config.partition]}{stuck}"


def _left_out(coverage: Coverage) -> str:
    if not coverage.num_left_out:
        return "nothing: an epoch is whole global batches"
    left = f"{coverage.num_left_out:,} of {coverage.num_samples:,} in each epoch"
    if coverage.num_epochs < 2:
        return left
    if coverage.seen_so_far_ratio > coverage.seen_ratio:
        return f"{left}, not the same ones"
    return f"{left}, always the same ones"


def _training(spec: RunSpec, checked: Checked) -> Fact:
    config, facts = spec.config, checked.facts
    ends = [f"{count(config.epochs, 'epoch')}" if config.epochs else ""]
    stop = config.stop
    ends += [
        count(stop.steps, "step") if stop.steps else "",
        f"{stop.minutes:g} minutes" if stop.minutes else "",
        f"test accuracy {format_ratio(stop.test_accuracy)}" if stop.test_accuracy else "",
        f"loss {stop.loss:g}" if stop.loss else "",
    ]
    words = " or ".join(end for end in ends if end)
    if facts.get("steps_per_epoch"):
        words += f"; {count(facts['steps_per_epoch'], 'step')} an epoch"
        words += f", {format_number(facts.get('num_steps'), 12)} in all" if facts.get("num_steps") else ""
    return _fact("ends after", ((words or "when the script ends", "")))


def _expected(checked: Checked) -> str:
    if checked.time_s is None:
        return checked.unknown or "n/a"
    return f"about {format_duration(checked.time_s)}, {format_bytes(checked.disk_bytes)} on disk"


def _commands(commands: Sequence[str]) -> Fact:
    many = len(commands) > 1
    lines = tuple(_line(f"node {number}: {line}" if many else line) for number, line in enumerate(commands))
    return Fact(label="torchrun", lines=lines, begins_group=True)
