"""The dossier of a run that hangs: what the nodes saw of their ranks, put together, judged, and printed for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from engine.core.fields import mapping, number, sequence, text, whole, whole_or
from engine.core.hang_verdict import AgentLook, RankLook, Verdict, judge

__all__ = ["describe_dossier", "hang_reason", "make_dossier"]

MOVING_S = 2.0
"""A run that was looked at on request, and gave a sign of life no longer ago than this, holds nobody up."""

_MOVING = Verdict(kind="moving", sentence="the ranks move")
_MAX_REASON = 300
_COLUMNS = ("rank", "node", "pid", "step", "phase", "quiet", "state", "waits in", "")


def make_dossier(
    parts: Mapping[int, Mapping[str, Any]],
    *,
    claims: Sequence[Mapping[str, Any]],
    exits: Mapping[int, Mapping[str, Any]],
    missing: Sequence[int],
    **about: object,
) -> dict[str, Any]:
    """Put together what the nodes saw.

    Args:
        parts: node rank -> what its node runner wrote.
        claims: what the nodes said of their silence; none where somebody only asked for the stacks.
        exits: node rank -> the exit file of a node that has ended before.
        missing: nodes that run and did not answer.
        about: further fields, for readers.
    """
    ranks = [_rank(int(rank), node_rank, value) for node_rank, part in parts.items() for rank, value in _ranks(part)]
    for node_rank, node_exit in exits.items():
        ended = ((rank, {"exit_code": value.get("exit_code")}) for rank, value in _ranks(node_exit))
        ranks += [_rank(int(rank), node_rank, {**value, "state": "gone"}) for rank, value in ended]
    ranks.sort(key=lambda rank: whole_or(rank, "rank", -1))
    agents = [
        AgentLook(node_rank=node_rank, state=text(mapping(part, "agent"), "state") or "")
        for node_rank, part in sorted(parts.items())
    ]
    claim = min(claims, key=lambda one: number(one, "quiet_s") or 0.0, default={})
    quiet_s = _quiet_s(ranks, number(claim, "quiet_s"))
    is_moving = not claims and quiet_s is not None and quiet_s < MOVING_S
    verdict = _MOVING if is_moving else judge([_look(rank) for rank in ranks], agents)
    median_s = next((found for one in claims if (found := number(one, "median_s")) is not None), None)
    sign = text(claim, "sign") or "step"
    unanswered = ", ".join(map(str, sorted(missing)))
    sentence = verdict.sentence + (f" (node {unanswered} did not answer)" if missing else "")
    return {
        "format": 1,
        **about,
        "since_s": number(claim, "since_s"),
        "quiet_s": quiet_s,
        "limit_s": number(claim, "limit_s"),
        "median_s": median_s,
        "kind": verdict.kind,
        "verdict": sentence,
        "sign": sign,
        "reason": hang_reason(quiet_s, median_s, verdict, sentence, sign=sign),
        "blamed_ranks": verdict.ranks,
        "missing_nodes": sorted(missing),
        "agents": {str(node_rank): mapping(part, "agent") for node_rank, part in sorted(parts.items())},
        "ranks": ranks,
    }


def hang_reason(
    quiet_s: float | None, median_s: float | None, verdict: Verdict, sentence: str = "", *, sign: str = "step"
) -> str:
    """Return the reason as one line: ``no step for 12 s (median 0.02 s): rank 1 is stopped (SIGSTOP) at step 340``."""
    times = f"no {sign}" if quiet_s is None else f"no {sign} for {_seconds(quiet_s)}"
    if median_s is not None:
        times += f" (median {_seconds(median_s)})"
    line = f"{times}: {sentence or verdict.sentence}"
    return line if len(line) <= _MAX_REASON else f"{line[: _MAX_REASON - 3]}..."


def describe_dossier(dossier: Mapping[str, Any]) -> list[str]:
    """Return the dossier as lines for people; what is missing or odd in it is left out or n/a."""
    ranks = [rank for rank in sequence(dossier, "ranks") if isinstance(rank, dict)]
    lines = [
        f"{text(dossier, 'run') or 'run'}, attempt {_shown(whole(dossier, 'attempt'))}, {_moment(dossier)}",
        f"verdict: {text(dossier, 'verdict') or 'n/a'}",
        *_rule_lines(dossier),
        "",
        *_table([_COLUMNS, *(_row(rank) for rank in ranks)]),
    ]
    for node_rank, agent in mapping(dossier, "agents").items():
        if isinstance(agent, dict):
            lines.append(f"torchrun of node {node_rank}: pid {_shown(whole(agent, 'pid'))}, {text(agent, 'state')}")
    for rank in ranks:
        lines += ["", *_stack_lines(rank)]
    return lines


def _ranks(part: Mapping[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    found = mapping(part, "ranks").items()
    return [(rank, value) for rank, value in found if rank.isdecimal() and isinstance(value, dict)]


def _rank(rank: int, node_rank: int, value: Mapping[str, Any]) -> dict[str, Any]:
    return {"rank": rank, "node_rank": node_rank, **value}


def _look(rank: Mapping[str, Any]) -> RankLook:
    return RankLook(
        rank=whole_or(rank, "rank", -1),
        node_rank=whole_or(rank, "node_rank", 0),
        step=whole(rank, "step"),
        phase=text(rank, "phase") or "",
        state=text(rank, "state") or "",
        exit_code=whole(rank, "exit_code"),
        wchan=text(rank, "wchan") or "",
        stack=text(rank, "stack") or "",
    )


def _quiet_s(ranks: Sequence[Mapping[str, Any]], claimed_s: float | None) -> float | None:
    """By the ranks that still run where that is known: they may have been silent for long when they were looked at."""
    running = [rank for rank in ranks if not _look(rank).has_left]
    return min((s for rank in running if (s := number(rank, "quiet_s")) is not None), default=claimed_s)


def _rule_lines(dossier: Mapping[str, Any]) -> list[str]:
    limit_s, quiet_s = number(dossier, "limit_s"), number(dossier, "quiet_s")
    if limit_s is None:
        return ["asked for by a person: no rule has fired"]
    median_s = number(dossier, "median_s")
    sign = text(dossier, "sign") or "step"
    of_steps = f"no {sign} was measured yet" if median_s is None else f"median {sign} {_seconds(median_s)}"
    quiet = "n/a" if quiet_s is None else _seconds(quiet_s)
    what = {"wait": "the run is left as it is", "end": "the attempt is ended"}.get(text(dossier, "on_hang") or "", "")
    hang_after = dossier.get("hang_after")
    rule = f"rule: no sign of life of any rank for {quiet}, {_seconds(limit_s)} may pass (hang_after = {hang_after})"
    return [f"{rule}; {of_steps}", *([f"on_hang: {what}"] if what else [])]


def _row(rank: Mapping[str, Any]) -> tuple[str, ...]:
    quiet_s, exit_code = number(rank, "quiet_s"), whole(rank, "exit_code")
    return (
        _shown(whole(rank, "rank")),
        _shown(whole(rank, "node_rank")),
        _shown(whole(rank, "pid")),
        _shown(whole(rank, "step")),
        text(rank, "phase") or "n/a",
        "n/a" if quiet_s is None else _seconds(quiet_s),
        text(rank, "state") or "n/a",
        text(rank, "wchan") or "n/a",
        "" if exit_code is None else f"exit code {exit_code}",
    )


def _table(rows: Sequence[tuple[str, ...]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _stack_lines(rank: Mapping[str, Any]) -> list[str]:
    note, stack, source = text(rank, "stack_note"), text(rank, "stack"), text(rank, "stack_from")
    who = f"rank {_shown(whole(rank, 'rank'))}"
    if not stack:
        return [f"{who}: no stack{f'; it {note}' if note else ''}"]
    aside = f"; it {note}" if note else ""
    return [f"{who}, stack by {source or 'an unknown tool'}{aside}:", *(f"  {line}" for line in stack.splitlines())]


def _moment(dossier: Mapping[str, Any]) -> str:
    time_s = number(dossier, "time_s")
    try:
        return "n/a" if time_s is None else datetime.fromtimestamp(time_s, UTC).isoformat(timespec="seconds")
    except (OverflowError, ValueError, OSError):
        return "n/a"


def _seconds(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.2g} s"


def _shown(value: int | None) -> str:
    return "n/a" if value is None else str(value)
