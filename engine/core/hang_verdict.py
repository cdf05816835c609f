"""Who holds a hung run up, in one plain sentence, from what was seen of its ranks.

The order of blame: what the system shows (stopped, held by a debugger, gone, waiting for a disk), then who has left the
others, then who is busy while the others wait in a collective, then who is behind. Where the ranks wait for one another
nobody is blamed: the sentence says what they wait in.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from engine.core.stack_text import Frame, find_collective, innermost_own, main_stack

__all__ = ["AgentLook", "RankLook", "Verdict", "judge"]

DISK, GONE, STOPPED, TRACED, ZOMBIE = "disk wait", "gone", "stopped", "traced", "zombie"

_WAITING_PHASES = frozenset({"comm", "bubble"})
_MAX_NAMED = 4
_PHASE_WORDS = {
    "startup": "its start-up",
    "data": "its data loading",
    "forward": "its forward pass",
    "backward": "its backward pass",
    "optimizer": "its optimizer",
    "eval": "its evaluation",
    "snapshot": "the writing of a snapshot",
    "done": "its end",
    "other": "its own code between phases",
}


@dataclass(frozen=True, kw_only=True)
class RankLook:
    """What was seen of one rank.

    Attributes:
        rank: which.
        node_rank: where.
        step: worked on; -1 before the first; None where its beat could not be read.
        phase: of its beat, "" where that could not be read.
        state: of its process, in words: running, sleeping, stopped, traced, disk wait, zombie, gone.
        exit_code: where it has ended.
        wchan: what its process waits for in the kernel, "" where that cannot be read.
        stack: as printed, "" where there is none.
    """

    rank: int
    node_rank: int = 0
    step: int | None = None
    phase: str = ""
    state: str = ""
    exit_code: int | None = None
    wchan: str = ""
    stack: str = ""

    @property
    def has_left(self) -> bool:
        """Whether it is through, or its process is no more."""
        return self.exit_code is not None or self.state in (GONE, ZOMBIE) or self.phase == "done"


@dataclass(frozen=True, kw_only=True)
class AgentLook:
    """The torchrun of a node, and its process's state."""

    node_rank: int
    state: str


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What holds a run up.

    Attributes:
        kind: stopped, traced, agent, disk, left, busy, behind, deadlock, waiting, unknown.
        sentence: for people.
        ranks: that are to blame; empty where nobody is.
    """

    kind: str
    sentence: str
    ranks: list[int] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class _Seen:
    """A rank with what its stack says."""

    look: RankLook
    frames: list[Frame]
    collective: tuple[str, Frame | None] | None

    @property
    def is_waiting(self) -> bool:
        """Whether it waits for others: its stack says so, or its phase is nothing but that."""
        return self.collective is not None or self.look.phase in _WAITING_PHASES

    @property
    def where(self) -> str:
        """``all_reduce (ddp.py:71 in sum_over_ranks)``, or the phase."""
        if self.collective is None:
            return self.look.phase or "an unknown phase"
        name, caller = self.collective
        return f"{name} ({caller})" if caller else name


def judge(looks: Sequence[RankLook], agents: Sequence[AgentLook] = ()) -> Verdict:
    """Return the verdict over all ranks that were seen."""
    if not looks:
        return Verdict(kind="unknown", sentence="nothing could be learnt of its ranks")
    seen = [_see(look) for look in sorted(looks, key=lambda look: look.rank)]
    rules: list[Callable[[list[_Seen]], Verdict | None]] = [
        _find_stopped,
        _find_traced,
        lambda all_: _find_stopped_agent(all_, agents),
        _find_left,
        _find_disk,
        _find_busy,
        _find_behind,
    ]
    found = (rule(seen) for rule in rules)
    return next((verdict for verdict in found if verdict is not None), None) or _describe_waiting(seen)


def _see(look: RankLook) -> _Seen:
    frames = main_stack(look.stack)
    return _Seen(look=look, frames=frames, collective=find_collective(frames))


def _find_stopped(seen: list[_Seen]) -> Verdict | None:
    return _by_state(seen, STOPPED, "stopped", "stopped (SIGSTOP)")


def _find_traced(seen: list[_Seen]) -> Verdict | None:
    return _by_state(seen, TRACED, "traced", "held by a debugger")


def _by_state(seen: list[_Seen], state: str, kind: str, words: str) -> Verdict | None:
    named = [one for one in seen if one.look.state == state and one.look.exit_code is None]
    if not named:
        return None
    ranks = [one.look.rank for one in named]
    if len(named) == len(seen) > 1:
        return Verdict(kind=kind, sentence=f"all {len(seen)} ranks are {words}{_at_step(named)}", ranks=ranks)
    return Verdict(kind=kind, sentence=f"{_name(ranks)} {_are(ranks)} {words}{_at_step(named)}", ranks=ranks)


def _find_stopped_agent(seen: list[_Seen], agents: Sequence[AgentLook]) -> Verdict | None:
    """One that is stopped holds nobody up who trains, but it never notices that its ranks have ended."""
    stopped = [agent.node_rank for agent in agents if agent.state in (STOPPED, TRACED)]
    if not stopped or not any(one.look.has_left for one in seen):
        return None
    nodes = "" if len(agents) < 2 else f" of node {', '.join(map(str, stopped))}"
    ended = [one.look.rank for one in seen if one.look.has_left]
    sentence = f"torchrun{nodes} is stopped (SIGSTOP) and does not see that {_name(ended)} {_have(ended)} ended"
    return Verdict(kind="agent", sentence=sentence)


def _find_left(seen: list[_Seen]) -> Verdict | None:
    """Somebody is through or gone while others go on."""
    left = [one for one in seen if one.look.has_left]
    others = [one for one in seen if not one.look.has_left]
    if not left:
        return None
    ranks = [one.look.rank for one in left]
    if not others:
        return _describe_no_end(seen)
    told = "; ".join(_end_of(one.look) for one in left[:_MAX_NAMED])
    return Verdict(kind="left", sentence=f"{told}, while {_describe_others(others)}", ranks=ranks)


def _describe_no_end(seen: list[_Seen]) -> Verdict:
    """Training is over, the run is not."""
    named = [one for one in seen if one.look.exit_code is None and one.look.state not in (GONE, ZOMBIE)]
    if not named:
        return Verdict(kind="left", sentence="every rank has ended, and torchrun does not end")
    ranks = [one.look.rank for one in named]
    place = innermost_own(named[0].frames)
    where = f" ({place})" if place is not None else ""
    verb = "does" if len(ranks) == 1 else "do"
    sentence = f"{_name(ranks)} {_are(ranks)} through with the training and {verb} not end{where}"
    return Verdict(kind="left", sentence=sentence, ranks=ranks)


def _end_of(look: RankLook) -> str:
    if look.phase == "done":
        what = "returned from its training"
        where = f" after step {look.step}" if look.step is not None and look.step >= 0 else ""
    else:
        code = "" if look.exit_code is None else f" with exit code {look.exit_code}"
        what = "left the others early" + code if look.exit_code == 0 else f"has ended{code}"
        where = "" if look.step is None or look.step < 0 else f" at step {look.step} (phase {look.phase})"
    is_undead = look.state == ZOMBIE and look.exit_code is None
    return f"rank {look.rank} {what}{where}" + (" and is a zombie: torchrun takes no note of it" if is_undead else "")


def _find_disk(seen: list[_Seen]) -> Verdict | None:
    named = [one for one in seen if one.look.state == DISK]
    if not named:
        return None
    ranks = [one.look.rank for one in named]
    wchan = next((f" ({one.look.wchan})" for one in named if one.look.wchan), "")
    what = f"in the kernel for a disk or a network file system{wchan}{_at_step(named)}, in {_work(named[0].look)}"
    return Verdict(kind="disk", sentence=f"{_name(ranks)} {_wait(ranks)} {what}", ranks=ranks)


def _find_busy(seen: list[_Seen]) -> Verdict | None:
    """Somebody does not wait for the others: it is at its own work, or stuck in it."""
    named = [one for one in seen if not one.is_waiting]
    others = [one for one in seen if one.is_waiting]
    if not named:
        return None
    behind = min((one.look.step for one in named if one.look.step is not None), default=None)
    named = [one for one in named if behind is None or one.look.step == behind]
    is_same_work = len({one.look.phase for one in named}) == 1
    told = _stuck(named) if is_same_work else "; ".join(_stuck([one]) for one in named[:_MAX_NAMED])
    rest = f", while {_describe_others(others)}" if others else ""
    return Verdict(kind="busy", sentence=told + rest, ranks=[one.look.rank for one in named])


def _stuck(named: Sequence[_Seen]) -> str:
    ranks = [one.look.rank for one in named]
    place = innermost_own(named[0].frames)
    where = f" ({place})" if place is not None else ""
    return f"{_name(ranks)} {_are(ranks)} stuck in {_work(named[0].look)}{where}{_at_step(named)}"


def _find_behind(seen: list[_Seen]) -> Verdict | None:
    """All wait, at different steps: they are not in the same collective."""
    steps = {one.look.step for one in seen if one.look.step is not None}
    if len(steps) < 2:
        return None
    least = min(steps)
    named = [one for one in seen if one.look.step == least]
    told = "; ".join(f"rank {one.look.rank} at step {one.look.step} in {one.where}" for one in seen[:_MAX_NAMED])
    ranks = [one.look.rank for one in named]
    told += f"{_and_more(len(seen))}; {_name(ranks)} {_are(ranks)} behind"
    sentence = f"deadlock: all ranks wait for one another at different steps: {told}"
    return Verdict(kind="deadlock", sentence=sentence, ranks=ranks)


def _describe_waiting(seen: list[_Seen]) -> Verdict:
    """All wait at the same step."""
    known = [one for one in seen if one.collective is not None]
    places = {one.where for one in known}
    if len(places) > 1:
        told = "; ".join(f"rank {one.look.rank} in {one.where}" for one in known[:_MAX_NAMED])
        sentence = f"deadlock: the ranks wait in different collectives{_at_step(seen)}: {told}{_and_more(len(known))}"
        return Verdict(kind="deadlock", sentence=sentence)
    where = next(iter(places), None) or seen[0].where
    if len(seen) == 1:
        return Verdict(kind="waiting", sentence=f"rank {seen[0].look.rank} waits in {where}{_at_step(seen)}")
    nodes = len({one.look.node_rank for one in seen})
    network = f"; the network between {nodes} nodes may be the cause, but nothing here shows it" if nodes > 1 else ""
    sentence = f"all {len(seen)} ranks wait for one another in {where}{_at_step(seen)}, and none is behind{network}"
    return Verdict(kind="waiting", sentence=sentence)


def _describe_others(others: Sequence[_Seen]) -> str:
    ranks = [one.look.rank for one in others]
    wheres = {one.where for one in others}
    where = f" in {next(iter(wheres))}" if len(wheres) == 1 else ""
    word = _wait(ranks) if all(one.is_waiting for one in others) else f"{_are(ranks)} still"
    return f"{_name(ranks)} {word}{where}{_at_step(others)}"


def _work(look: RankLook) -> str:
    return _PHASE_WORDS.get(look.phase, f"phase {look.phase}" if look.phase else "its own code")


def _at_step(named: Sequence[_Seen]) -> str:
    steps = sorted({one.look.step for one in named if one.look.step is not None})
    if not steps or steps == [-1]:
        return ""
    return f" at step {steps[0]}" if len(steps) == 1 else f" at steps {steps[0]} to {steps[-1]}"


def _name(ranks: Sequence[int]) -> str:
    if len(ranks) == 1:
        return f"rank {ranks[0]}"
    shown = [str(rank) for rank in ranks[:_MAX_NAMED]]
    more = len(ranks) - len(shown)
    return f"ranks {', '.join(shown)} and {more} more" if more else f"ranks {', '.join(shown[:-1])} and {shown[-1]}"


def _and_more(total: int) -> str:
    return f" and {total - _MAX_NAMED} more" if total > _MAX_NAMED else ""


def _are(ranks: Sequence[int]) -> str:
    return "is" if len(ranks) == 1 else "are"


def _have(ranks: Sequence[int]) -> str:
    return "has" if len(ranks) == 1 else "have"


def _wait(ranks: Sequence[int]) -> str:
    return "waits" if len(ranks) == 1 else "wait"
