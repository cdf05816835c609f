"""The event lines: what each kind carries, and how a line is read.

A line is one JSON object (DESIGN 4.3). ``ddptui.lines.LineWriter`` writes them; ``decode_line`` reads them and never
raises. Readers must accept unknown kinds and keys. ``time_s`` is Unix time, ``mono_s`` the monotonic clock of the host.

Common keys of every line: ``kind, time_s, mono_s, seq, rank, attempt``.

===========  =========================================================================================================
kind         further keys
===========  =========================================================================================================
run_start    world_size, local_rank, node_rank, nodes, num_devices, host, pid, device ("cpu", "NVIDIA ..."), backend,
             torch, num_threads, cores (list), role ("rank" | "driver" | "stage"), strategy, description (one line),
             num_parameters, train_samples, validation_samples, test_samples, num_classes, input_shape,
             global_batch_size, local_batch_size, steps_per_epoch, num_steps (planned, or null), num_epochs (or null),
             lr, seed, data_note ("" or e.g. "synthetic data"), startup_s (process start to here), resumed_from_step
             (the number of the first step that follows; 0 from the beginning), speaks_for_all (a script's only: the
             samples of this rank's steps are those of all ranks, and of no other rank there are any)
latency      world_size, nodes, backend, all_reduce_bytes (4), all_reduce_s and barrier_s (lists: seconds of each repeat
             on this rank, before its first step); only where the run asks for it and two ranks share a process group
epoch_start  epoch, step
step         epoch, step_first, step (last, 0-based, of the window), num_steps, samples and correct (this rank's, summed
             over the window; correct null where not counted; absent for ranks that see no samples), loss, loss_min,
             loss_max, loss_last (means per sample of this rank; null where unknown), lr, window_s (wall seconds of the
             window), nonfinite {step, what ("NaN" | "infinite"), num_steps} (the first such loss of the window and how
             many there are; absent where all are finite), phases {name: s summed over the window}, boundary {step_s,
             phases, spans?}: the last step alone (spans, pipelines only: [[op "F"|"B"|"W", micro_batch, start mono_s,
             end mono_s], ...])
epoch_stop   epoch, step, num_steps, train_s, epoch_s (train_s + eval_s + snapshots within), samples, loss, correct; of
             the whole epoch also where a run was resumed in it, but for the snapshots before
coverage     epoch, step, num_samples (to train on), every (which of them are looked up: 1 for all), num_shares,
             class_counts (of all training samples, or null), shares [{index, samples, unique, seen (bits of the
             samples looked up, little-endian, base64), order (checksum of the index list), classes (counts, or null)}]:
             what this rank's shares loaded in the epoch, before its epoch_stop
eval         epoch, step, split ("validation" | "test"), samples, loss, accuracy (or null), eval_s,
             metrics {name: mean}; written by one rank only, sums over all ranks
metric       name: value pairs of a user's own; samples (of this rank since its last call) or global_samples
snapshot     epoch, step (the last that is in it), path, snapshot_s, is_kept (false: it could not be written)
message      level ("info" | "warning"), text; is_loss where something that was to be kept is not there
error        type, message, file, line (the user's own innermost), traceback (text), is_peer_error; errno and path where
             a system call failed
run_stop     reason (one line: "epochs", "steps", ...), epoch, step, num_steps, train_s, eval_s, snapshot_s, real_s,
             user_s, system_s, peak_memory_bytes (host, maximum resident set), peak_device_memory_bytes (or null);
             train_s, eval_s and snapshot_s (models that were saved included) over all attempts
system       of a node (rank null): node_rank, cpu_percent (of all cores), memory_used_bytes, memory_total_bytes,
             net_sent_bytes, net_received_bytes (since boot), load_1m, ranks {rank: {cpu_percent, rss_bytes}},
             gpus [{index, util_percent, memory_used_bytes, memory_total_bytes}], log_bytes {rank: [out, err],
             "node": [log]} (lengths of the log files that have grown since the sample before; absent where none has)
===========  =========================================================================================================
"""

from __future__ import annotations

import json
from typing import Any

import msgspec

from engine.core.phases import PHASES

__all__ = ["MAX_LINE_BYTES", "PHASES", "Event", "decode_line", "decode_object"]

Event = dict[str, Any]


MAX_LINE_BYTES = 4 * 1024 * 1024
"""A longer line is garbage: counted, not read."""

_decoder = msgspec.json.Decoder(dict[str, Any])


def decode_line(line: bytes) -> Event | None:
    """Return the event in ``line``, or None for anything that is not one (garbage is counted by the caller)."""
    event = decode_object(line)
    return event if event is not None and isinstance(event.get("kind"), str) else None


def decode_object(line: bytes) -> dict[str, Any] | None:
    """Return the JSON object in ``line``, or None where it holds none."""
    if not line.strip() or len(line) > MAX_LINE_BYTES:
        return None
    found: dict[str, Any] | None
    try:
        found = _decoder.decode(line)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        found = _decode_leniently(line)
    return found


def _decode_leniently(line: bytes) -> Event | None:
    """NaN and Infinity are not JSON, and training makes them: the standard library reads them."""
    try:
        event = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return event if isinstance(event, dict) else None
