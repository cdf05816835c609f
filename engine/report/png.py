"""Every figure of an experiment, as PNG files in its ``plots`` folder."""

from __future__ import annotations

from engine.report.collect import ExperimentData
from engine.report.epoch_figures import draw_loss_vs_epoch, draw_loss_vs_time, draw_test_accuracy, draw_test_loss
from engine.report.figures import Drawn
from engine.report.loss_figures import draw_losses
from engine.report.partition_figures import draw_partitions
from engine.report.scaling_figures import draw_axis_bars, draw_efficiency, draw_speedup, draw_throughput
from engine.report.system_figures import draw_system
from engine.report.time_figures import draw_epoch_time, draw_step_time

__all__ = ["draw_figures"]


def draw_figures(data: ExperimentData) -> list[Drawn]:
    """Draw all; one that has no data is not written (an older one of its name is taken away) and says why.

    Raises:
        OSError: as the file system raised it.
    """
    folder = data.paths.plots
    drawn = [
        draw_speedup(data, folder),
        draw_efficiency(data, folder),
        draw_throughput(data, folder),
        draw_losses(data, folder),
        draw_epoch_time(data, folder),
        draw_step_time(data, folder),
        draw_test_accuracy(data, folder),
        draw_test_loss(data, folder),
        draw_loss_vs_epoch(data, folder),
        draw_loss_vs_time(data, folder),
        *draw_axis_bars(data, folder),
        draw_partitions(data, folder),
        draw_system(data, folder),
    ]
    for figure in drawn:
        if figure.path is None:
            (folder / f"{figure.name}.png").unlink(missing_ok=True)
    return drawn
