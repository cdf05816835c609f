"""The report of a whole folder: finished, partial, broken and hostile ones."""

import csv
import io
import json
import re
from pathlib import Path

import pytest

from engine.core.errors import InputError
from engine.report.collect import is_safe_name, read_experiment
from engine.report.figures import titled
from engine.report.scaling_figures import _side_by_side
from engine.report.system_series import system_rows
from engine.report.tables import export_events
from engine.report.time_figures import _epoch_parts
from engine.report.write import write_report
from engine.store import write_json

SUMMARY_COLUMNS = [
    "strategy", "world_size", "num_devices", "nodes", "n", "lr", "global_batch_size", "steps_per_epoch", "epochs_done",
    "total_s", "epoch_s", "epoch_without_evaluation_s", "samples_per_s", "throughput_speedup", "throughput_speedup_low",
    "throughput_speedup_high", "throughput_efficiency", "time_speedup", "time_efficiency", "time_saved_percent",
    "final_validation_accuracy", "best_validation_accuracy", "final_validation_loss", "best_validation_loss",
    "final_test_accuracy", "best_test_accuracy", "final_test_loss", "best_test_loss", "baseline", "notes",
]  # fmt: skip

PLOTS = {
    "speedup_vs_world_size", "efficiency_vs_world_size", "throughput_vs_world_size", "epoch_time_by_phase",
    "step_time_by_phase", "lost_efficiency", "test_accuracy_vs_epoch", "test_loss_vs_epoch", "loss_vs_epoch",
    "loss_vs_time", "bars_strategy", "system_vs_time",
}  # fmt: skip


def read_csv(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_finished_comparison_has_every_table_figure_and_page(comparison):
    written = write_report(comparison.results, comparison.name)
    root = comparison.paths.root
    assert {path.name for path in written} == {
        "summary.csv", "runs.csv", "epochs.csv", "ranks.csv", "partitions.csv", "system.csv",
        "report.md", "report.html",
        *(f"{name}.png" for name in PLOTS),
    }  # fmt: skip
    assert all(path.stat().st_size > 0 for path in written)
    assert all((root / "plots" / f"{name}.png").read_bytes().startswith(b"\x89PNG") for name in PLOTS)


def test_what_the_ranks_saw_of_the_data_is_a_table_a_section_and_a_figure(maker):
    maker.has_coverage = True
    for repeat in range(2):
        maker.add_run("ddp", 2, repeat, num_epochs=2)
    maker.write_plan()
    written = write_report(maker.results, maker.name)
    assert maker.paths.plots / "partitions.png" in written
    rows = read_csv(maker.paths.csv("partitions"))
    assert len(rows) == 2 * 2 * 2, "a row per repeat, epoch and rank"
    assert {row["seen_ratio"] for row in rows} == {"0.75"}
    assert {row["overlap_ratio"] for row in rows} == {"0.333333333"}
    assert {(row["samples"], row["class_counts"]) for row in rows} == {("640", "[320, 320]")}
    section = maker.paths.report_md.read_text().split("## What the ranks saw of the data")[1].split("## ")[0]
    (line,) = [line for line in section.splitlines() if "disjoint" in line]
    assert [cell.strip() for cell in line.split("|")[2:-1]] == [
        "disjoint", "640", "75.0 %", "75.0 %", "33.3 %", "0.0 %", "the same each epoch",
    ]  # fmt: skip


def test_the_latency_of_a_small_all_reduce_and_of_a_barrier_is_a_table_and_columns_where_runs_measure_it(maker):
    maker.has_latency = True
    maker.add_run("single", 1, 0, num_epochs=2)
    for repeat in range(3):
        maker.add_run("ddp", 2, repeat, num_epochs=2)
    maker.write_plan()
    write_report(maker.results, maker.name)
    section = maker.paths.report_md.read_text().split("## Latency of a small all-reduce and of a barrier")[1]
    rows = [[cell.strip(" *") for cell in line.split("|")[1:-1]] for line in section.splitlines() if "|" in line]
    assert rows[2] == ["single", "1", "1", *["n/a"] * 5]
    assert rows[3][1:4] == ["2", "1", "gloo"]
    assert (rows[3][4], rows[3][5]) == ("150 µs (150 to 150)", "100 to 200 µs")
    assert (rows[3][6], rows[3][7]) == ("50.0 µs (50.0 to 50.0)", "50.0 to 50.0 µs")
    single, *others = read_csv(maker.paths.csv("runs"))
    assert (single["all_reduce_latency_s"], others[0]["all_reduce_latency_s"]) == ("n/a", "0.00015")
    assert {row["barrier_latency_p95_s"] for row in others} == {"5e-05"}
    assert [row["all_reduce_latency_s"] for row in read_csv(maker.paths.csv("summary"))] == ["n/a", "0.00015"]


def test_nothing_is_said_of_latency_where_no_run_was_to_measure_it(comparison):
    write_report(comparison.results, comparison.name)
    assert "Latency" not in comparison.paths.report_md.read_text()
    assert not any("latency" in name for name in read_csv(comparison.paths.csv("runs"))[0])


def test_the_summary_has_a_row_per_point_with_all_its_columns(comparison):
    write_report(comparison.results, comparison.name)
    rows = read_csv(comparison.paths.csv("summary"))
    assert [row["strategy"] for row in rows] == ["single", "dp", "ddp", "rpc_pipeline"]
    assert [name for name in SUMMARY_COLUMNS if name not in rows[0]] == []
    ddp = rows[2]
    assert float(ddp["throughput_speedup"]) == pytest.approx(40 / 22, rel=0.1)
    assert float(ddp["throughput_efficiency"]) == pytest.approx(float(ddp["throughput_speedup"]) / 2, rel=1e-6)
    assert (
        float(ddp["throughput_speedup_low"]) < float(ddp["throughput_speedup"]) < float(ddp["throughput_speedup_high"])
    )
    assert (ddp["n"], ddp["global_batch_size"], ddp["steps_per_epoch"], ddp["epochs_done"]) == ("3", "64", "20", "4")
    assert (rows[3]["world_size"], rows[3]["num_devices"]) == ("3", "2")
    assert rows[0]["throughput_speedup_low"] == "n/a"


def test_the_summary_and_the_page_say_where_the_efficiency_went(comparison):
    write_report(comparison.results, comparison.name)
    rows = read_csv(comparison.paths.csv("summary"))
    assert {value for name, value in rows[0].items() if name.startswith("lost_")} == {"n/a"}, (
        "the baseline lost nothing"
    )
    for row in rows[1:]:
        shares = [float(row[name]) for name in row if name.startswith("lost_") and row[name][:1] in "-0123456789"]
        assert row["lost_of"] == "total time"
        assert sum(shares) == pytest.approx(1 - float(row["time_efficiency"]), abs=1e-6)
    assert float(rows[2]["lost_communication_ratio"]) > 0
    assert (rows[2]["lost_bubble_ratio"], rows[3]["lost_bubble_ratio"] == "n/a") == ("n/a", False)
    section = comparison.paths.report_md.read_text().split("## Where the efficiency went")[1].split("## ")[0]
    assert [line.split("|")[1].strip() for line in section.splitlines() if "total time |" in line] == [
        "dp, 2 replicas", "ddp, 2 ranks", "rpc_pipeline, 2 stages",
    ]  # fmt: skip


def test_the_other_tables_are_tidy(comparison):
    write_report(comparison.results, comparison.name)
    runs, epochs = read_csv(comparison.paths.csv("runs")), read_csv(comparison.paths.csv("epochs"))
    assert len(runs) == 12
    assert {row["state"] for row in runs} == {"succeeded"}
    assert runs[0]["axis.strategy"] == "single"
    assert float(runs[0]["phase_forward_s_per_step"]) == pytest.approx(0.36 * 0.04, rel=0.1)
    assert "phase_comm_s_per_step" in runs[0]
    assert runs[0]["phase_comm_s_per_step"] == "n/a"
    assert len(epochs) == 48
    assert float(epochs[0]["epoch_s"]) > float(epochs[0]["epoch_without_evaluation_s"])
    ranks, system = read_csv(comparison.paths.csv("ranks")), read_csv(comparison.paths.csv("system"))
    assert len(ranks) == 3 * (1 + 1 + 2 + 3)
    assert ranks[0]["peak_device_memory_bytes"] == "n/a"
    assert system[0]["net_sent_bytes_per_s"] == "n/a"
    assert float(system[1]["net_sent_bytes_per_s"]) >= 0


def test_further_metrics_are_columns_and_a_table(maker):
    maker.metrics = {"top5": 0.875, "distance": 2.5}
    maker.add_run("single", 1, 0)
    maker.metrics = {}
    maker.add_run("ddp", 2, 0)
    maker.write_plan()
    write_report(maker.results, maker.name)
    epochs, runs = read_csv(maker.paths.csv("epochs")), read_csv(maker.paths.csv("runs"))
    assert {row["test_top5"] for row in epochs if row["run"].startswith("single")} == {"0.875"}
    assert {row["validation_distance"] for row in epochs if row["run"].startswith("ddp")} == {"n/a"}
    assert [row["final_test_distance"] for row in runs] == ["2.5", "n/a"]
    page = maker.paths.report_md.read_text()
    assert "| point | validation top5 | validation distance | test top5 | test distance |" in page
    assert "87.5" in page.partition("Further metrics")[2]


def test_the_pages_name_the_baseline_the_warm_up_the_machine_and_the_command(comparison):
    write_report(comparison.results, comparison.name)
    for page in (comparison.paths.report_html.read_text(), comparison.paths.report_md.read_text()):
        assert "windows after the first epoch" in page
        assert "Baseline: single" in page
        assert "Example CPU 9000" in page
        assert "2.13.0" in page
        assert "ddptui --headless run experiments.toml" in page
        assert "left out: single with world_size 2" in page
        assert "95 % interval" in page
    html = comparison.paths.report_html.read_text()
    assert html.count("data:image/png;base64,") == len(PLOTS)
    assert not re.search(r"<script|https?://|<link", html)


def test_the_page_says_what_was_set_and_how_to_do_that_again(maker):
    maker.add_run("single", 1, 0, data_note="synthetic data in place of mnist")
    maker.write_plan(sets=["synthetic=true", "dataset_size=20"], is_smoke=True)
    write_report(maker.results, maker.name)
    page = maker.paths.report_md.read_text()
    assert (
        "ddptui --headless run experiments.toml --smoke --only digits-comparison --set synthetic=true "
        "--set dataset_size=20\n" in page
    )
    assert "as it was run, but for five steps of every point (--smoke), synthetic=true, dataset_size=20:" in page
    assert "Synthetic data in place of mnist. Medians over" in page
    data = read_experiment(maker.results, maker.name)
    assert titled(data, "Speedup") == "Speedup: digits-comparison (synthetic data)"


def test_a_partial_experiment_says_what_is_missing_and_invents_nothing(maker):
    maker.add_run("single", 1, 0)
    maker.add_run("ddp", 2, 0, state="failed", reason="rank 1: out of memory", with_summary=False)
    maker.add_run("ddp", 4, 0, state="queued")
    maker.write_plan()
    write_report(maker.results, maker.name)
    rows = {row["point"]: row for row in read_csv(maker.paths.csv("summary"))}
    assert rows["single-d1"]["samples_per_s_low"] == "n/a"
    assert (rows["ddp-d2"]["n"], rows["ddp-d2"]["samples_per_s"], rows["ddp-d2"]["throughput_speedup"]) == (
        "0",
        "n/a",
        "n/a",
    )
    runs = {row["run"]: row for row in read_csv(maker.paths.csv("runs"))}
    assert (runs["ddp-d2-r0"]["state"], runs["ddp-d2-r0"]["reason"]) == ("failed", "rank 1: out of memory")
    assert float(runs["ddp-d2-r0"]["samples_per_s"]) > 0
    assert runs["ddp-d4-r0"]["state"] == "queued"
    page = maker.paths.report_md.read_text()
    assert "rank 1: out of memory" in page
    assert "fewer than three repeats have no interval" in page


def test_an_experiment_without_a_step_draws_nothing_and_says_so(maker):
    maker.add_run("single", 1, 0, state="queued")
    maker.write_plan()
    maker.paths.plots.mkdir(parents=True)
    (maker.paths.plots / "speedup_vs_world_size.png").write_bytes(b"of an earlier plan")
    write_report(maker.results, maker.name)
    assert list(maker.paths.plots.iterdir()) == []
    assert "speedup_vs_world_size: not drawn, no run with a known value succeeded" in maker.paths.report_md.read_text()
    assert read_csv(maker.paths.csv("epochs")) == []


def test_a_plan_without_runs_still_has_a_report(maker):
    maker.write_plan()
    write_report(maker.results, maker.name)
    assert "There are no runs yet." in maker.paths.report_html.read_text()


def test_an_unknown_experiment_is_the_users_to_mend(tmp_path):
    for name in ("nothing", "../etc", "", ".ddptui"):
        with pytest.raises(InputError, match="no experiment"):
            write_report(tmp_path, name)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="neither a plan nor runs"):
        write_report(tmp_path, "empty")


def test_a_loss_that_is_not_a_number_leaves_gaps_and_no_error(maker):
    for repeat in range(3):
        maker.add_run("single", 1, repeat, loss_factor=float("nan") if repeat == 1 else 1.0)
    maker.write_plan()
    write_report(maker.results, maker.name)
    rows = read_csv(maker.paths.csv("epochs"))
    assert {row["train_loss"] for row in rows if row["run"] == "single-d1-r1"} == {"n/a"}
    assert "the training loss was not finite from step 0 on" in maker.paths.report_md.read_text()


def test_ids_that_lead_out_of_the_folder_are_refused_and_named(maker, tmp_path):
    maker.add_run("single", 1, 0)
    outside = tmp_path / "outside"
    outside.mkdir()
    write_json(outside / "run.json", {"id": "secret"})
    (maker.paths.root / "runs" / "linked").symlink_to(outside)
    maker.run_ids += ["../../outside", "linked", "a/b", 7]
    maker.write_plan()
    data = read_experiment(maker.results, maker.name)
    assert [run.run_id for run in data.runs] == ["single-d1-r0"]
    assert len(data.notes) == 4
    assert [is_safe_name(name) for name in ("a-b.c_1", "..", "a/b", "", "-x")] == [True, False, False, False, False]


def test_text_of_a_stranger_is_shown_and_never_obeyed(maker):
    evil = "<script>alert(1)</script> \x1b[31m\u202e $x$ | =cmd()"
    maker.add_run("single", 1, 0, axes={"model": evil.replace("/", "")}, data_note=evil)
    maker.add_run("ddp", 2, 0, state="failed", reason=evil, axes={"model": "=2+2"})
    maker.write_plan(toml="```\n</pre><script>alert(2)</script>", notes=[evil, 5], reference={evil: evil})
    write_report(maker.results, maker.name)
    html, page = maker.paths.report_html.read_text(), maker.paths.report_md.read_text()
    assert "<script" not in html
    assert "&lt;script&gt;alert(1)" in html
    assert not any(character in html + page for character in ("\x1b", "\u202e"))
    prose = page.split("````")[0]
    assert not re.search(r"(?<!\\)<script", prose)
    assert "'=2+2" in maker.paths.csv("runs").read_text()


def test_a_folder_full_of_nonsense_has_a_report_too(comparison):
    for index, run in enumerate(sorted((comparison.paths.root / "runs").iterdir())):
        target = run / ("run.json", "summary.json", "status.json")[index % 3]
        target.write_text(
            ["[]", "{", '{"state": 5, "epochs": [1, {}], "ranks": {"a": []}, "time": 7}'][index % 3 - index % 2]
        )
        (run / "attempts/1/events/rank0.jsonl").write_bytes(b'{"kind":"step","rank":0,"step":{}}\nnonsense\n')
    assert write_report(comparison.results, comparison.name)
    json.loads(json.dumps(dict(read_experiment(comparison.results, comparison.name).runs[0].summary)))


def test_events_are_exported_as_one_tidy_table(maker):
    maker.add_run("single", 1, 0, num_epochs=1)
    maker.write_plan()
    out = io.StringIO()
    num_rows = export_events(read_experiment(maker.results, maker.name), out)
    rows = list(csv.DictReader(io.StringIO(out.getvalue())))
    assert len(rows) == num_rows
    assert list(rows[0]) == [
        "run",
        "kind",
        "time_s",
        "mono_s",
        "seq",
        "rank",
        "attempt",
        "epoch",
        "step",
        "name",
        "value",
    ]
    losses = [row for row in rows if row["kind"] == "step" and row["name"] == "loss"]
    assert len(losses) == 20
    assert {row["run"] for row in rows} == {"single-d1-r0"}
    assert any(row["name"] == "phases.forward" for row in rows)
    assert any(row["kind"] == "system" and row["rank"] == "n/a" for row in rows)


def test_the_bar_of_an_epoch_is_as_long_as_the_epochs_after_the_first(maker):
    maker.add_run("rpc_pipeline", 2, 0, step_s=0.02, num_epochs=3)
    (run,) = read_experiment(maker.results, maker.name).runs
    first, *later = run.summary["epochs"]
    first |= {"epoch_s": 99.0, "eval_s": 50.0}
    parts = _epoch_parts(run)
    assert sum(parts.values()) == pytest.approx(sum(row["epoch_s"] for row in later) / 2)
    assert parts["evaluation"] == pytest.approx(sum(row["eval_s"] for row in later) / 2)
    assert all(value >= 0 for value in parts.values())
    for row in run.summary["epochs"]:
        row["num_steps"] = 3
    assert _epoch_parts(run) == {}  # no whole epoch: there is no bar to draw


def test_points_of_one_size_stay_beside_their_tick(maker):
    for number in range(30):
        maker.add_run("ddp", 2, 0, axes={"seed": number}, num_epochs=1)
    maker.add_run("single", 1, 0, num_epochs=1)
    points = read_experiment(maker.results, maker.name).points
    places = _side_by_side(points, [1, 2])
    assert len(set(places.values())) == 31
    assert all(abs(places[point.point] - point.num_devices) <= 0.2 for point in points)


def test_the_use_of_some_ranks_does_not_pass_for_that_of_all(maker):
    paths = maker.add_run("ddp", 2, 0)
    events = paths.attempt(1).node_events(0)
    lines = [json.loads(line) for line in events.read_text().splitlines()]
    lines[0]["ranks"]["1"]["cpu_percent"] = None
    events.write_text("".join(json.dumps(line) + "\n" for line in lines))
    rows = list(system_rows(read_experiment(maker.results, maker.name).runs[0]))
    assert rows[0]["ranks_cpu_percent_of_one_core"] is None
    assert rows[1]["ranks_cpu_percent_of_one_core"] == 200.0
    assert rows[0]["ranks_rss_bytes"] == 2 * 280 * 2**20


def test_the_series_of_the_machines_are_of_every_attempt_and_node_and_rates_begin_anew_with_each(maker):
    paths = maker.add_run("ddp", 2, 0, num_epochs=1)
    first = [json.loads(line) for line in paths.attempt(1).node_events(0).read_text().splitlines()]
    others = ((paths.attempt(1), 1, 0.25), (paths.attempt(2), 0, 100.0))
    for attempt, node_rank, later_s in others:
        events = attempt.node_events(node_rank)
        events.parent.mkdir(parents=True, exist_ok=True)
        moved = [line | {"node_rank": node_rank, "time_s": line["time_s"] + later_s} for line in first]
        events.write_text("".join(json.dumps(line) + "\n" for line in moved))
    maker.write_plan()
    written = write_report(maker.results, maker.name)
    rows = read_csv(maker.paths.csv("system"))
    found = {(row["attempt"], row["node_rank"]): row for row in reversed(rows)}
    assert len(rows) == 3 * len(first)
    assert {key: row["elapsed_s"] for key, row in found.items()} == {
        ("1", "0"): "0",
        ("1", "1"): "0.25",
        ("2", "0"): "100",
    }
    assert {row["net_sent_bytes_per_s"] for row in found.values()} == {"n/a"}
    assert maker.paths.plots / "system_vs_time.png" in written


def test_published_figures_stand_beside_ours_row_by_row(comparison):
    reference = {
        "source": "Smith 2024, table 3",
        "points": {"ddp-w2": {"throughput_speedup": 1.5, "epoch_s": 60.0, "test_accuracy": 0.5, "gpu": "V100"}},
    }
    comparison.write_plan(reference=reference)
    point = read_experiment(comparison.results, comparison.name).points[2]
    comparison.write_plan(reference={**reference, "points": {point.point: reference["points"]["ddp-w2"]}})
    write_report(comparison.results, comparison.name)
    ours = point.throughput_speedup.value
    row = read_csv(comparison.paths.csv("summary"))[2]
    assert (row["published_throughput_speedup"], row["published_epoch_s"]) == ("1.5", "60")
    assert read_csv(comparison.paths.csv("summary"))[0]["published_epoch_s"] == "n/a"
    report = (comparison.paths.root / "report.md").read_text()
    (line,) = [line for line in report.splitlines() if "throughput_speedup | 1.50" in line]
    assert line.split("|")[1:-1] == [
        f" {cell} " for cell in (point.label, "throughput_speedup", "1.50", f"{ours:.2f}", f"{ours / 1.5:.2f}")
    ]
    assert "Smith 2024, table 3" in report
    assert "V100" in report
