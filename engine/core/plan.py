"""From the text of an experiment file to the runs that it asks for."""

from __future__ import annotations

import fnmatch
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from engine.core.document import parse_document
from engine.core.draft import MAX_RUNS, Draft, too_many_runs
from engine.core.errors import InputError, Problem
from engine.core.experiments import read_experiments
from engine.core.layers import dotted, parse_sets
from engine.core.own_script import script_stem
from engine.core.plan_catalog import PlanCatalog
from engine.core.spec import RunConfig, RunSpec
from engine.core.topology import Topology
from engine.core.wording import count, did_you_mean, list_names

__all__ = ["MAX_RUNS", "ExperimentPlan", "Plan", "PointInfo", "make_plan", "own_targets"]

_MAX_PROBLEMS = 200
_HASH_LENGTH = 6

CodeDigest = Callable[[list[str]], str]


@dataclass(frozen=True, kw_only=True)
class PointInfo:
    """One point of an experiment: what its repeats share.

    Attributes:
        point: its id, ``ddp-w2-3fa9c1``.
        axes: its label on each axis, None where the axis means nothing to its strategy.
        config: with the base seed.
        topology: its sizes; "gpu" counts as 1.
        baseline: the point it is compared with, or None.
        baseline_reason: one line: how it was chosen, or why there is none.
        run_ids: of its repeats.
    """

    point: str
    axes: dict[str, Any]
    config: RunConfig
    topology: Topology
    baseline: str | None
    baseline_reason: str
    run_ids: list[str]


@dataclass(frozen=True, kw_only=True)
class ExperimentPlan:
    """One experiment, ready to be queued.

    Attributes:
        name: with ``-smoke`` for a smoke test.
        description: one line, or "".
        repeats: runs of each point.
        on_error: "continue" or "stop".
        baseline: the partial point in use, as a table of dotted keys; {} for "the fewest devices of the same strategy".
        reference: published figures, or None.
        notes: one line each: what was left out and why.
        points: all of them, in the order of the file.
        run_ids: of all runs, in the order they run (r0 of every point first).
        runs: those that ``only`` selects, in that order.
        toml: the source of the file.
    """

    name: str
    description: str
    repeats: int
    on_error: str
    baseline: dict[str, Any]
    reference: dict[str, Any] | None
    notes: list[str]
    points: list[PointInfo]
    run_ids: list[str]
    runs: list[RunSpec]
    toml: str


@dataclass(frozen=True, kw_only=True)
class Plan:
    """All experiments of a file.

    Attributes:
        sets: the arguments of ``--set`` that it was made with.
        is_smoke: whether it is a smoke test.
    """

    file: str
    experiments: list[ExperimentPlan]
    sets: tuple[str, ...] = ()
    is_smoke: bool = False

    @property
    def runs(self) -> list[RunSpec]:
        """The selected runs of all experiments in their order."""
        return [run for experiment in self.experiments for run in experiment.runs]


def make_plan(
    text: str,
    file: str,
    *,
    catalog: PlanCatalog,
    sets: Sequence[str] = (),
    only: Sequence[str] = (),
    smoke: bool = False,
    project_dir: str = "",
    code_digest: CodeDigest | None = None,
) -> Plan:
    """Plan the runs of an experiment file. The same input gives the same plan.

    Args:
        text: the content of the file.
        file: as the user named it, for messages.
        catalog: what can be named.
        sets: ``a.b=c`` arguments of ``--set``, over every experiment.
        only: shell patterns on experiment names, run ids and points, or beginnings of points; empty for all.
        smoke: every point once, for five steps, in experiments named ``...-smoke``.
        project_dir: the folder of the file.
        code_digest: digest of the user's own code, from what ``own_targets`` gives; it is called only where there is
            some, and may raise InputError.

    Raises:
        InputError: every problem of the file and the arguments, in the order of the file.
    """
    document = parse_document(text, file)
    set_layers, problems = parse_sets(sets)
    experiments, found = read_experiments(document, set_layers, catalog)
    problems += found
    drafts = [Draft(experiment, document, catalog, is_smoke=smoke) for experiment in experiments]
    too_many = too_many_runs(drafts, document)
    problems += [problem for draft in drafts for problem in draft.axis_problems]
    problems += too_many
    for draft in drafts if not too_many else ():
        problems += draft.make()
    digests = _Digests(code_digest)
    if not problems:
        plans = [_finish(draft, digests, project_dir) for draft in drafts]
        problems += digests.problems
    if problems:
        raise InputError(_in_order(problems))
    return Plan(file=file, experiments=_select(plans, only) if only else plans, sets=tuple(sets), is_smoke=smoke)


class _Digests:
    """Digests of the user's own modules, each set of names asked for once."""

    def __init__(self, code_digest: CodeDigest | None) -> None:
        self.problems: list[Problem] = []
        self._code_digest = code_digest
        self._known: dict[tuple[str, ...], str] = {}

    def of(self, config: RunConfig, draft: Draft) -> str:
        targets = tuple(own_targets(config))
        if not targets or self._code_digest is None:
            return ""
        if targets not in self._known:
            self._known[targets] = ""
            try:
                self._known[targets] = self._code_digest(list(targets))
            except InputError as error:
                named = (key for key in ("model", "dataset", "loss", "metrics") if _names_own(getattr(config, key)))
                key = next(named, "script")
                source = draft.experiment.source
                self.problems += [
                    problem if problem.line else source.problem((key,), problem.message) for problem in error.problems
                ]
        return self._known[targets]


def _names_own(value: str | list[str]) -> bool:
    return ":" in value if isinstance(value, str) else any(":" in name for name in value)


def own_targets(config: RunConfig) -> list[str]:
    """The user's own ``package.module:attribute`` names in ``config``, sorted; or the script and its arguments.

    A file is told from a name by its beginning ``./``, the script comes first.
    """
    if config.script is not None:
        return [f"./{part}" for part in (config.script, *config.args) if isinstance(part, str)]
    return sorted({name for name in (config.model, config.dataset, config.loss, *config.metrics) if ":" in name})


def _finish(draft: Draft, digests: _Digests, project_dir: str) -> ExperimentPlan:
    experiment = draft.experiment
    name = experiment.name + ("-smoke" if draft.is_smoke else "")
    code = [digests.of(point.config, draft) for point in draft.points]
    hashes = _hashes([f"{point.identity}\n{digest}" for point, digest in zip(draft.points, code, strict=True)])
    stems = [f"{_kind(point.config)}-w{point.config.world_size}" for point in draft.points]
    ids = [f"{stem}-{short}" for stem, short in zip(stems, hashes, strict=True)]
    runs = [
        _make_run(
            draft, index, repeat, ids=ids, name=name, code=code[index], project_dir=project_dir, stem=stems[index]
        )
        for repeat in range(draft.repeats)
        for index in range(len(draft.points))
    ]
    points = [
        PointInfo(
            point=ids[index],
            axes=point.axes,
            config=point.config,
            topology=point.topology,
            baseline=_baseline_id(draft, index, ids),
            baseline_reason=draft.choices[index].reason,
            run_ids=[run.id for run in runs[index :: len(draft.points)]],
        )
        for index, point in enumerate(draft.points)
    ]
    partial = draft.baseline
    return ExperimentPlan(
        name=name,
        description=experiment.setting("description"),
        repeats=draft.repeats,
        on_error=experiment.setting("on_error"),
        baseline={dotted(path): value for path, value in partial.keys.items()} | partial.labels,
        reference=experiment.setting("reference") or None,
        notes=draft.notes,
        points=points,
        run_ids=[run.id for run in runs],
        runs=runs,
        toml=draft.document.text,
    )


def _kind(config: RunConfig) -> str:
    return config.strategy if config.script is None else script_stem(config.script)


def _hashes(identities: Sequence[str]) -> list[str]:
    """Short hashes, longer where two of the experiment would be the same."""
    digests = [hashlib.sha256(identity.encode()).hexdigest() for identity in identities]
    shorts: dict[str, list[str]] = {}
    for digest in digests:
        shorts.setdefault(digest[:_HASH_LENGTH], []).append(digest)
    return [digest[: _HASH_LENGTH if len(shorts[digest[:_HASH_LENGTH]]) == 1 else 16] for digest in digests]


def _baseline_id(draft: Draft, index: int, ids: Sequence[str]) -> str | None:
    chosen = draft.choices[index].index
    return None if chosen is None else ids[chosen]


def _make_run(
    draft: Draft,
    index: int,
    repeat: int,
    *,
    ids: Sequence[str],
    name: str,
    code: str,
    project_dir: str,
    stem: str,
) -> RunSpec:
    point = draft.points[index]
    config = point.config
    if repeat and config.seed_policy == "per_repeat":
        config = config.model_copy(update={"seed": config.seed + repeat})
    return RunSpec(
        id=f"{stem}-r{repeat}-{ids[index].removeprefix(f'{stem}-')}",
        experiment=name,
        point=ids[index],
        repeat=repeat,
        axes=point.axes,
        baseline=_baseline_id(draft, index, ids),
        baseline_reason=draft.choices[index].reason,
        config=config,
        num_devices=point.topology.num_devices,
        project_dir=project_dir,
        code_digest=code,
    )


def _select(plans: Sequence[ExperimentPlan], only: Sequence[str]) -> list[ExperimentPlan]:
    matched: set[str] = set()
    selected = []
    for plan in plans:
        runs = []
        for run in plan.runs:
            names = (plan.name, plan.name.removesuffix("-smoke"), run.id, run.point, f"{plan.name}/{run.id}")
            beginnings = (run.id, run.point)
            hits = [pattern for pattern in only if _is_meant(pattern, names, beginnings)]
            matched.update(hits)
            if hits:
                runs.append(run)
        if runs:
            selected.append(_with_runs(plan, runs))
    problems = [_no_match(pattern, plans) for pattern in only if pattern not in matched]
    if problems:
        raise InputError(problems)
    return selected


def _is_meant(pattern: str, names: Sequence[str], beginnings: Sequence[str]) -> bool:
    """Whether ``--only`` names one of ``names``, or the beginning of a point up to a dash, as ``--fail-if`` does."""
    is_named = any(fnmatch.fnmatchcase(name, pattern) for name in names)
    return is_named or any(fnmatch.fnmatchcase(name, f"{pattern}-*") for name in beginnings)


def _with_runs(plan: ExperimentPlan, runs: list[RunSpec]) -> ExperimentPlan:
    return replace(plan, runs=runs)


def _no_match(pattern: str, plans: Sequence[ExperimentPlan]) -> Problem:
    names = [plan.name for plan in plans]
    points = [info.point for plan in plans for info in plan.points]
    some = list_names(points[:12]) + (f" and {len(points) - 12:,} more" if len(points) > 12 else "")
    message = (
        f"matches no experiment, point or run; experiments: {list_names(names[:20])}; "
        f"{count(len(points), 'point')}: {some}{did_you_mean(pattern, names + points)}"
    )
    return Problem(message=message, key=f"--only {pattern}")


def _in_order(problems: Sequence[Problem]) -> list[Problem]:
    ordered = sorted(dict.fromkeys(problems), key=lambda problem: (problem.line, problem.column))
    if len(ordered) <= _MAX_PROBLEMS:
        return ordered
    rest = Problem(message=f"and {len(ordered) - _MAX_PROBLEMS:,} more problems", file=ordered[0].file)
    return [*ordered[:_MAX_PROBLEMS], rest]
