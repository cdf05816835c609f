"""What one run is: the resolved configuration, every key of which may stand in the experiment file.

The models are frozen and refuse unknown keys. ``RunConfig`` is what ``run.json`` holds and what the worker reads; it
knows nothing of files. Reading the experiment file, with the position of each key, is ``engine.core.document``;
making runs of it is ``engine.core.plan``.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, Field, ValidationError, field_validator, model_validator
from pydantic_core import InitErrorDetails

from engine.core.hang_rule import HangRule, parse_hang_after
from engine.core.image_spec import Augmentation, AugmentationName, Normalise, Resize
from engine.core.own_script import SCRIPT, TRAINING_KEYS, unknown_places
from engine.core.partition_names import PartitionName
from engine.core.snapshot_rule import SnapshotRule, parse_rule
from engine.core.strict import STRICT, NonNegative, Positive, PositiveFloat, Ratio

__all__ = [
    "Augmentation",
    "Ddp",
    "Dp",
    "Fsdp",
    "Normalise",
    "Optimizer",
    "PartitionArgs",
    "Pipeline",
    "Positive",
    "Resize",
    "RpcPipeline",
    "RunConfig",
    "RunSpec",
    "Scheduler",
    "Slow",
    "Snapshot",
    "Stop",
    "Strict",
]


class Strict(BaseModel):
    """What every table here is."""

    model_config = STRICT


class Optimizer(Strict):
    """``optimizer = { name = "sgd", lr = 0.05, momentum = 0.9 }``: torch.optim's by their lower-case name."""

    name: Literal["sgd", "adam", "adamw", "adadelta", "rmsprop"] = "sgd"
    lr: PositiveFloat
    """Learning rate before ``lr_scaling``."""
    momentum: Ratio | None = None
    nesterov: bool | None = None
    dampening: float | None = None
    weight_decay: Annotated[float, Field(ge=0)] | None = None
    betas: Annotated[list[Ratio], Field(min_length=2, max_length=2)] | None = None
    eps: PositiveFloat | None = None
    amsgrad: bool | None = None
    rho: Ratio | None = None
    alpha: Ratio | None = None
    centered: bool | None = None

    @model_validator(mode="after")
    def _only_own_arguments(self) -> Self:
        allowed = {
            "sgd": {"momentum", "nesterov", "dampening", "weight_decay"},
            "adam": {"betas", "eps", "amsgrad", "weight_decay"},
            "adamw": {"betas", "eps", "amsgrad", "weight_decay"},
            "adadelta": {"rho", "eps", "weight_decay"},
            "rmsprop": {"alpha", "eps", "momentum", "centered", "weight_decay"},
        }[self.name]
        wrong = sorted(set(self.arguments()) - allowed)
        if wrong:
            raise ValueError(f"{self.name} does not take {', '.join(wrong)}; it takes lr, {', '.join(sorted(allowed))}")
        if self.nesterov and not self.momentum:
            raise ValueError("nesterov needs momentum > 0")
        return self

    def arguments(self) -> dict[str, Any]:
        """The keyword arguments of the torch optimizer beside ``lr``: those that were given."""
        return self.model_dump(exclude={"name", "lr"}, exclude_none=True)


class Scheduler(Strict):
    """``scheduler = { name = "step", step_size = 1, gamma = 0.7 }``; counted in epochs."""

    name: Literal["constant", "step", "multistep", "exponential", "cosine"] = "constant"
    step_size: Positive = 1
    """``step``: epochs between two decays."""
    milestones: list[Positive] = []
    """``multistep``: the epochs after which the rate decays."""
    gamma: PositiveFloat = 0.1
    """``step``, ``multistep``, ``exponential``: the factor of a decay."""
    t_max: Positive | None = None
    """``cosine``: epochs of half a period; the run's ``epochs`` where not given."""
    eta_min: Annotated[float, Field(ge=0)] = 0.0
    """``cosine``: the rate at the end."""
    warmup_epochs: NonNegative = 0
    """Epochs of a linear warm-up before the schedule begins; ``cosine`` then takes the epochs that are left."""
    warmup_factor: Annotated[float, Field(gt=0, le=1)] = 0.1
    """The share of the rate that the warm-up begins with."""


class Stop(Strict):
    """What ends a run beside ``epochs``; the first that is reached ends it."""

    steps: Positive | None = None
    minutes: PositiveFloat | None = None
    """Wall time since the first step of the run, in minutes; looked at after every step."""
    test_accuracy: Ratio | None = None
    """Reached when an evaluation's test accuracy is at least this ratio."""
    loss: PositiveFloat | None = None
    """Reached when an epoch's mean training loss is at most this."""


class Dp(Strict):
    """Data parallel in one process."""

    num_replicas: Positive | Literal["gpu"] = 2
    """Replicas of the model, one a thread on CPU, one a device on CUDA ("gpu" takes all)."""


class Ddp(Strict):
    """DistributedDataParallel, or the textbook ways beside it."""

    comm_hook: Literal["none", "fp16", "bf16", "powersgd"] = "none"
    powersgd_rank: Positive = 1
    bucket_cap_mb: PositiveFloat = 25.0
    gradient_sync: Literal["bucketed", "allreduce", "allgather"] = "bucketed"
    """``bucketed`` is DDP; the others: one collective per parameter after the backward pass, then the mean."""


class RpcPipeline(Strict):
    """The model in stages on RPC workers, one rank each, and a driver rank."""

    num_stages: Annotated[int, Field(ge=2)] = 2
    num_micro_batches: Positive = 4
    split: Literal["auto"] | list[str] = "auto"
    """``auto`` balances stages by measured time; else the names of the layers that begin stage 1, 2, ..."""
    autograd: Literal["local", "distributed"] = "local"
    schedule: Literal["gpipe", "1f1b"] = "gpipe"


class Fsdp(Strict):
    """Fully sharded data parallel (``fully_shard``)."""

    shard: Literal["children", "whole"] = "children"
    """What is gathered at once: each child of the model by itself, or the model as a whole."""
    reshard_after_forward: bool = True
    """Forget gathered parameters after the forward pass and gather them again (less memory, more traffic)."""


class Pipeline(Strict):
    """The model in stages, one a rank, by torch.distributed.pipelining; ``world_size`` is the number of stages."""

    num_micro_batches: Positive = 4
    split: Literal["auto"] | list[str] = "auto"
    """``auto`` balances stages by measured time; else the names of the layers that begin stage 1, 2, ..."""
    schedule: Literal["gpipe", "1f1b"] = "gpipe"


class Slow(Strict):
    """A straggler made on purpose: ``slow = { rank = 1, phase = "forward", factor = 3 }``, or ``delay_s = 0.02``."""

    rank: NonNegative
    phase: Literal["data", "forward", "backward", "comm", "optimizer"]
    factor: Annotated[float, Field(gt=1, allow_inf_nan=False)] | None = None
    """How many times as long this phase of every step of this rank takes: it sleeps for what it has just measured."""
    delay_s: PositiveFloat | None = None
    """Seconds slept in this phase of every step of this rank."""

    @model_validator(mode="after")
    def _one_amount(self) -> Self:
        if (self.factor is None) == (self.delay_s is None):
            raise ValueError("slow needs exactly one of factor (times as long) and delay_s (seconds a step)")
        return self

    @property
    def words(self) -> str:
        """``rank 1 made slow on purpose: forward x 3``."""
        amount = f"x {self.factor:g}" if self.factor is not None else f"+ {self.delay_s:g} s a step"
        return f"rank {self.rank} made slow on purpose: {self.phase} {amount}"


class PartitionArgs(Strict):
    """``partition_args = { alpha = 0.5 }``."""

    alpha: PositiveFloat = 0.5
    """``dirichlet``: small gives each rank few classes, large gives all ranks the classes of the data."""
    reshuffle: bool = True
    """False: every epoch is the first one again, as with a DistributedSampler that is never told the epoch."""


class Snapshot(Strict):
    """``snapshot = { every = "60 s", keep = 2 }``: what a run needs to go on after a fault as if nothing had been."""

    every: str = "60 s"
    """``never``, ``epoch``, ``5 epochs``, ``200 steps``, ``30 s``, ``10 min``, ``2 h``. Unless it is ``never``, one is
    also taken when the run is asked to leave (SIGTERM, SIGUSR2)."""
    keep: Positive = 2
    """How many of the newest stay."""

    @field_validator("every")
    @classmethod
    def _is_interval(cls, every: str) -> str:
        parse_rule(every)
        return every

    @property
    def rule(self) -> SnapshotRule:
        """``every`` as a value."""
        return parse_rule(self.every)


class RunConfig(Strict):
    """Everything that says how one run trains. Each field is a key of the experiment file and may be a matrix axis."""

    model: str = ""
    """A name of the catalog (``ddptui ls models``) or ``"package.module:attribute"``."""
    model_args: dict[str, Any] = {}
    weights: str | None = None
    """Where the model begins: a file with a state_dict, seen from the folder of the experiment file, or a name of
    torchvision's (``IMAGENET1K_V1``). All layers are trained; a head of another size begins anew."""
    dataset: str = ""
    """A name of the catalog or ``"package.module:attribute"``."""
    dataset_args: dict[str, Any] = {}
    dataset_size: Positive | None = None
    """Use only this many training samples, drawn with the seed."""
    long_tail: Annotated[float, Field(ge=1, allow_inf_nan=False)] | None = None
    """Thin the classes of the training samples out until the last one has this many times fewer than the first."""
    partition: PartitionName = "disjoint"
    """How the samples of an epoch are shared out among data-parallel ranks (``ddptui ls partitions``)."""
    partition_args: PartitionArgs = PartitionArgs()
    data_root: str | None = None
    """Where the data set's files are, seen from the folder of the experiment file; ``data`` if not given."""
    synthetic: bool = False
    """Take made-up data of the data set's shape and classes in place of its files; every table and title says so."""
    validation: Ratio | Positive = 0.0
    """Share (below 1) or number of training samples held out, drawn with the seed; 0 for none."""
    evaluation: Literal["sharded", "every_rank"] = "sharded"
    evaluate_every: NonNegative = 1
    """Epochs between two evaluations (the last epoch is always evaluated); 0 for never."""
    resize: Resize | None = None
    """The size in which the model sees images, where it is not that of the data."""
    normalise: bool | Normalise = True
    """Subtract the data set's mean and divide by its deviation (true), scale to 0..1 only (false), or by these."""
    augment: list[AugmentationName | Augmentation] = []
    """Batched augmentation of training images, in this order: names, or tables with a name and arguments."""

    script: Annotated[str, Field(min_length=1)] | None = None
    """The user's own program instead of a model, a dataset and a strategy; a path from the folder of this file."""
    args: list[str | int | float] = []
    """Arguments of the script; {world_size}, {nodes}, {seed}, {repeat}, {attempt} and {run_dir} are filled in."""
    tensorboard: str | None = None
    """A folder where the script writes TensorBoard events; their scalars become curves."""

    strategy: str = "single"
    world_size: Positive | Literal["gpu"] = 1
    """Ranks that torchrun starts, the RPC driver included; "gpu" for one per GPU."""
    nodes: Positive = 1
    launcher: Literal["local"] = "local"
    launch: Literal["torchrun", "torch.distributed.launch"] = "torchrun"
    """The command that starts the ranks of a node. torch.distributed.launch is deprecated by torch; it starts the same
    agent, and a script of your own gets ``--local-rank=N`` as its first argument."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    backend: Literal["auto", "gloo", "nccl"] = "auto"
    cores_per_rank: Positive | Literal["all"] = 1
    """CPU cores each rank (each replica of dp) is pinned to, and its intra-op threads; "all" shares all cores."""

    global_batch_size: Positive | None = None
    """Samples of one optimizer step over all ranks; exactly one of this and ``local_batch_size`` is given."""
    local_batch_size: Positive | None = None
    """Samples of one optimizer step per device and accumulation step."""
    gradient_accumulation_steps: Positive = 1
    epochs: Positive | None = None
    stop: Stop = Stop()
    optimizer: Optimizer | None = None
    lr_scaling: Literal["none", "linear", "sqrt"] = "none"
    """Multiply ``lr`` by the number of data-parallel devices, or its square root."""
    scheduler: Scheduler = Scheduler()
    loss: str = "cross_entropy"
    """``cross_entropy``, ``nll``, ``mse``, ``bce`` or ``"package.module:attribute"``."""
    loss_args: dict[str, Any] = {}
    """Arguments of the loss: ``{ label_smoothing = 0.1 }`` for ``cross_entropy``; those of your own."""
    metrics: list[str] = ["accuracy"]
    """``accuracy``, ``top1``, ``top3``, ``top5``, ``top10``, or ``"package.module:attribute"``: a function of (outputs,
    targets) giving the sum over samples."""
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    compile: bool = False
    channels_last: bool = False
    seed: NonNegative = 0
    seed_policy: Literal["per_repeat", "fixed"] = "per_repeat"
    """``per_repeat``: repeat k uses seed + k."""

    dp: Dp = Dp()
    ddp: Ddp = Ddp()
    rpc_pipeline: RpcPipeline = RpcPipeline()
    fsdp: Fsdp = Fsdp()
    pipeline: Pipeline = Pipeline()
    slow: Slow | None = None
    measure_latency: bool = False
    """Before the first step, time an all-reduce of one float32 and a barrier over the run's own process group (less
    than a second). Off unless asked for, since it is in the real, user and system time of the ranks that do it, and a
    single process has none of it. The training is the same bit for bit."""

    snapshot: Snapshot = Snapshot()
    max_restarts: NonNegative = 0
    """Attempts that the supervisor adds by itself after a fault, each from the newest snapshot."""
    hang_after: float | str = "auto"
    """A run hangs when no rank gives a sign of life for so long: seconds, ``30 s``, ``2 min``, ``never``, or ``auto``:
    120 s in steps, 600 s beside them (evaluation, snapshots; in steps too with ``compile``), or 50 median steps of this
    run, or three times the longest pause it has come through, whichever is most. Start-up, the first step included, has
    30 minutes (or this, where it is more). With ``script`` a sign of life is a line that it logs, and it is ``never``
    unless you give it; ``auto`` then begins after ten lines, with 600 s."""
    on_hang: Literal["end", "wait"] = "end"
    """What follows once the stacks of all ranks are written down: end the attempt (and restart, see ``max_restarts``),
    or wait, in the state stalled, until somebody ends it or it goes on."""
    on_nonfinite: Literal["warn", "stop"] = "warn"
    """A loss that is NaN or infinite: ``warn`` says so and goes on; ``stop`` ends all ranks after the same step, as
    failed and without a restart; with ``script`` it is a logged ``loss``, and SIGTERM follows within two seconds. What
    a run computes until then is the same, so the id of the run does not know it."""
    on_disk_full: Literal["continue", "stop"] = "continue"
    """No room for event lines or snapshots (disk full, quota, read-only): ``continue`` goes on training without them
    and says what was lost; ``stop`` ends all ranks after the same step, to be resumed once there is room."""
    timeout: PositiveFloat | None = None
    """Seconds after which the run is ended as failed."""
    python: str | None = None
    """The interpreter of the ranks; ddptui and torch must be installed there."""
    env: dict[str, str] = {}
    setup: list[str] = []
    """Shell lines run before the ranks start (``module load ...``)."""

    @field_validator("hang_after")
    @classmethod
    def _is_time(cls, hang_after: float | str) -> float | str:
        parse_hang_after(hang_after)
        return hang_after

    @property
    def hang_rule(self) -> HangRule:
        """``hang_after`` as a value."""
        return parse_hang_after(self.hang_after, is_compiled=self.compile, is_script=self.script is not None)

    @field_validator("env")
    @classmethod
    def _variables_have_names(cls, env: dict[str, str]) -> dict[str, str]:
        wrong = [f'"{name}"' for name in env if not name or "=" in name]
        if wrong:
            raise ValueError(f"{', '.join(wrong)} cannot name a variable; a name is not empty and holds no =")
        return env

    @model_validator(mode="before")
    @classmethod
    def _script_has_defaults_of_its_own(cls, values: Any) -> Any:
        """No strategy, and no rule about hangs unless asked for: it may log as seldom as it likes."""
        if isinstance(values, dict) and values.get("script") is not None:
            return {"strategy": SCRIPT, "hang_after": "never", **values}
        return values

    @property
    def augmentations(self) -> tuple[Augmentation, ...]:
        """``augment`` with every name as a table."""
        return tuple(Augmentation(name=item) if isinstance(item, str) else item for item in self.augment)

    @model_validator(mode="after")
    def _keys_agree(self) -> Self:
        """All rules over several keys in one validator: pydantic stops at the first that raises."""
        broken = self._broken_rules_of_script() if self.script is not None else self._broken_rules_of_training()
        if broken:
            raise ValueError("; ".join(broken))
        return self

    def _broken_rules_of_training(self) -> list[str]:
        missing = [key for key in ("model", "dataset", "optimizer") if not getattr(self, key)]
        if missing:
            errors = [InitErrorDetails(type="missing", loc=(key,), input={}) for key in missing]
            raise ValidationError.from_exception_data(type(self).__name__, errors)
        broken = []
        if self.args or self.tensorboard is not None:
            broken.append("args and tensorboard go with script only")
        if (self.global_batch_size is None) == (self.local_batch_size is None):
            broken.append("give exactly one of global_batch_size (strong scaling) and local_batch_size (weak scaling)")
        if self.epochs is None and self.stop.steps is None and self.stop.minutes is None:
            broken.append("nothing is sure to end the run: give epochs, stop.steps or stop.minutes")
        return broken

    def _broken_rules_of_script(self) -> list[str]:
        fields = type(self).model_fields
        wrong = [key for key in fields if key in TRAINING_KEYS - {"strategy"} and self._is_given(key)]
        wrong += ["strategy"] if self.strategy != SCRIPT else []
        wrong += [f"stop.{key}" for key in ("minutes", "test_accuracy", "loss") if getattr(self.stop, key) is not None]
        broken = []
        if wrong:
            verb = "does" if len(wrong) == 1 else "do"
            broken.append(f"{', '.join(wrong)} {verb} not go with script: the script decides that itself (see args)")
        if places := unknown_places(self.args):
            broken.append(places)
        return broken

    def _is_given(self, key: str) -> bool:
        default = type(self).model_fields[key].default
        return bool(getattr(self, key) != default)


class RunSpec(Strict):
    """One run as ``run.json`` holds it: who it is, and its frozen configuration.

    ``id`` is ``point`` with the repeat in it: point ``ddp-w2-3fa9c1``, run ``ddp-w2-r0-3fa9c1``.
    """

    format: Literal[1] = 1
    id: str
    experiment: str
    point: str
    repeat: NonNegative
    axes: dict[str, Any]
    """This run's value on each axis of the matrix, in the order of the file (named tables by their name)."""
    baseline: str | None
    """The point this run is compared with (itself for the baseline), or None where there is none."""
    baseline_reason: str
    """One line: how the baseline was chosen, or why there is none."""
    config: RunConfig
    """With the seed of this repeat."""
    num_devices: Positive
    """What computes: ranks, dp replicas, pipeline stages (the RPC driver apart). 1 until known where it is "gpu"."""
    project_dir: str
    """The folder of the experiment file: first on the path when the user's own modules are imported."""
    code_digest: str
    """Digest of the user's own modules that the configuration names, or ""."""
