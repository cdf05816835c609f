"""A results folder as somebody would make it who means harm to the one who opens it."""

from __future__ import annotations

import json
import os
import pickle
from pathlib import Path
from typing import Any

from made_results import MadeResults

from engine.processes import this_process
from engine.store import AttemptPaths, read_json

NASTY = (
    "\x1b]52;c;cHduZWQ=\x07\x1b[2J\x9b31m\x1b]8;;http://bad/\x1b\\link\x1b]8;;\x1b\\\u202egpj.exe\u2066\ud800"
    "<script>alert(1)</script>[bold]markup[/bold] | `code` ![i](x)\rover\x7f\x00"
)
"""Clipboard, cleared screen, C1, link, turned direction, half a character, HTML, markup, Markdown."""

FORMULA = "=cmd|'/c calc'!A1"


class _Bomb:
    def __init__(self, command: str) -> None:
        self._command = command

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (self._command,)


class Stranger:
    """The folder, and what must not happen to what is around it.

    Attributes:
        root: the results folder.
        outside: a folder beside it, into which links of the folder lead.
        proof: is there as soon as anything of the folder was executed.
    """

    def __init__(self, base: Path) -> None:
        self.root = base / "results"
        self.outside = base / "outside"
        self.proof = base / "executed"
        self._results = MadeResults(self.root)
        self._make_outside()
        self._make_ended()
        self._make_active()
        self._make_odd_names()
        self._make_links_and_pipes()
        self._make_control()

    def outside_content(self) -> dict[str, bytes]:
        return {str(path): path.read_bytes() for path in sorted(self.outside.rglob("*")) if path.is_file()}

    def _make_outside(self) -> None:
        run = self.outside / "exp" / "runs" / "secret-w1-r0-000000"
        run.mkdir(parents=True)
        (run / "run.json").write_text(json.dumps({"id": "secret", "config": {}}))
        (self.outside / "exp" / "report.md").write_text("mine")

    def _orders(self) -> dict[str, Any]:
        """What would start programs, were it obeyed."""
        program = self.outside / "program.sh"
        program.write_text(f"#!/bin/sh\ntouch '{self.proof}'\n")
        program.chmod(0o755)
        return {
            "python": str(program),
            "setup": [f"touch '{self.proof}'"],
            "env": {"PYTHONSTARTUP": NASTY, "LD_PRELOAD": "/nowhere.so"},
            "script": str(program),
            "nodes": 10**9,
            "world_size": 10**12,
            "strategy": NASTY,
            "launcher": "os:system",
            "model": f"os:system{NASTY}",
        }

    def _rewrite(self, path: Path, **changes: Any) -> None:
        path.write_text(json.dumps({**(read_json(path) or {}), **changes}))

    def _make_ended(self) -> None:
        run = self._results.run("ddp-w2-r0-aaaaaa", experiment="nasty", world_size=2).begin().steps(5).evaluate(0, 0.5)
        run.sample_node(2)
        for rank in range(2):
            run.log(rank, f"plain\n{NASTY.replace(chr(0xD800), '')}\n{FORMULA}\n")
            run.log(rank, NASTY.replace(chr(0xD800), ""), is_err=True)
        run.line(0, kind="message", text=NASTY, level=NASTY)
        run.line(0, kind="error", type=NASTY, message=NASTY, file=NASTY, line="x", traceback=NASTY)
        run.line(0, kind="metric", name=NASTY, value=FORMULA, values={NASTY: 1.0, FORMULA: 2.0})
        with run.paths.attempt(1).events(0).open("ab") as file:
            file.write(b"\xff\xfe garbage\n" + b'{"a":' * 5000 + b"\n" + json.dumps({"kind": NASTY}).encode() + b"\n")
        run.end("failed", NASTY)
        spec = {"axes": {NASTY: FORMULA}, "baseline_reason": NASTY, "baseline": NASTY, "id": "../../../etc/passwd"}
        config = {**run.spec["config"], **self._orders()}
        self._rewrite(run.paths.run, **spec, project_dir=f"/{NASTY}", config=config, point=NASTY)
        odd = {"ranks": ["x", {"rank": NASTY, "host": NASTY, "cores": NASTY}], "confounds": [NASTY, 3], "env": [NASTY]}
        self._rewrite(run.paths.summary, **odd, reason=NASTY, data_note=NASTY, final={"train_loss": NASTY})
        self._rewrite(run.paths.annotation, note=NASTY, is_pinned=True)
        self._rewrite(
            self.root / "nasty" / "plan.json",
            run_ids=["../../outside/exp/runs/secret-w1-r0-000000", "/etc/passwd", NASTY, 5, "ddp-w2-r0-aaaaaa"],
            toml=NASTY,
            description=NASTY,
            reference={NASTY: NASTY},
            notes=[NASTY, {}],
            baseline=NASTY,
            file=NASTY,
        )
        self._make_failure(run.paths.attempt(1))
        self._make_bombs(run.paths.root)

    def _make_failure(self, attempt: AttemptPaths) -> None:
        ranks = {"9" * 5000: {"exit_code": 1}, "7": {"exit_code": 1, "signal": NASTY}, NASTY: {}}
        self._rewrite(attempt.exit(0), exit_code=1, reason=NASTY, ranks=ranks, ranks_left=[NASTY])
        attempt.error(0).parent.mkdir()
        error = {"type": NASTY, "message": NASTY, "file": NASTY, "line": 3, "traceback": NASTY, "time_s": 1e300}
        self._rewrite(attempt.error(0), **error)
        attempt.err(2).symlink_to("/dev/zero")
        os.mkfifo(attempt.err(3))
        os.mkfifo(attempt.error(1))
        self._rewrite(attempt.dossier, ranks=[NASTY, {"rank": NASTY, "stack": NASTY}], sentence=NASTY, reason=NASTY)

    def _make_bombs(self, root: Path) -> None:
        bomb = pickle.dumps(_Bomb(f"touch '{self.proof}'"))
        snapshot = root / "snapshots" / "000000000005"
        snapshot.mkdir(parents=True)
        for path in (root / "model_final.pt", root / "model_best.pt", snapshot / "shared.pt", snapshot / "rank0.pt"):
            path.write_bytes(bomb)
        (snapshot / "manifest.json").write_text(
            json.dumps({"num_steps": 5, "world_size": 1, "parts": {"../../../x": {"bytes": len(bomb)}}})
        )
        (root / "command.sh").write_text(f"#!/bin/sh\ntouch '{self.proof}'\n")
        (root / "command.sh").chmod(0o755)

    def _make_active(self) -> None:
        """Their handles name us: whoever believed them would end the test."""
        me = this_process().to_json()
        run = self._results.run("ddp-w1-r0-bbbbbb", experiment="nasty").begin().steps(3)
        (run.paths.attempt(1).handle(0)).write_text(json.dumps(me))
        run.status("running", NASTY, handle=me, queued_s=NASTY, restarts=10**30)
        waiting = self._results.run("ddp-w1-r0-cccccc", experiment="nasty")
        self._rewrite(waiting.paths.run, config={**waiting.spec["config"], **self._orders()})

    def _make_odd_names(self) -> None:
        name = "odd\x1b]0;title\x07\u202e<b>x"
        run = self.root / name / "runs" / f"r{name}"
        run.mkdir(parents=True)
        (run / "run.json").write_text(json.dumps({"id": NASTY, "config": 7, "axes": [], "point": None}))
        (run / "status.json").write_text(json.dumps({"state": ["succeeded"], "reason": {}, "attempt": "x"}))
        bad = os.fsencode(self.root / "nasty" / "runs") + b"/\xff\xfe-w1"
        os.mkdir(bad)
        with open(bad + b"/run.json", "w") as file:
            file.write("{}")

    def _make_links_and_pipes(self) -> None:
        runs = self.root / "nasty" / "runs"
        (self.root / "linked").symlink_to(self.outside / "exp")
        (runs / "linked-w1-r0-000000").symlink_to(self.outside / "exp" / "runs" / "secret-w1-r0-000000")
        (self.root / "half").mkdir()
        (self.root / "half" / "plan.json").write_text("{}")
        (self.root / "half" / "runs").symlink_to(self.outside / "exp" / "runs")
        (self.root / "nasty" / "plots").symlink_to(self.outside)
        (self.root / "nasty" / "report.md").symlink_to(self.outside / "exp" / "report.md")
        piped = self._results.run("ddp-w1-r0-dddddd", experiment="nasty").begin()
        for path in (piped.paths.status, piped.paths.summary, piped.paths.annotation):
            path.unlink(missing_ok=True)
            os.mkfifo(path)
        piped.paths.attempt(1).out(0).parent.mkdir(parents=True, exist_ok=True)
        os.mkfifo(piped.paths.attempt(1).out(0))
        piped.paths.attempt(1).err(0).symlink_to("/dev/zero")
        piped.paths.attempt(1).events(5).symlink_to("/dev/zero")

    def _make_control(self) -> None:
        self._results.queue("nasty/ddp-w1-r0-cccccc", "../outside/exp", "/etc/passwd", "nasty/../../outside")
        self._results.paths.lock.write_text(json.dumps({**this_process().to_json(), "host": NASTY}))
        self._results.paths.commands.mkdir()
        (self._results.paths.commands / f"1{'x' * 30}.json").write_text('{"op": "stop", "runs": "all"}')
