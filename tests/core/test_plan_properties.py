"""Generated files: a wrong value is reported at its own line, and no damage gets past as anything but InputError."""

import json
import random

import pytest

from engine.catalog import plan_catalog
from engine.core.document import decode_text
from engine.core.errors import InputError
from engine.core.plan import make_plan

CATALOG = plan_catalog()
MARK = "\x01"
"""Stands before the value to be spoiled while the file is rendered."""

NUMBERS = {"epochs": 3, "seed": 4, "gradient_accumulation_steps": 1, "evaluate_every": 2, "timeout": 60.5}
TEXTS = {"device": "cpu", "precision": "fp32", "partition": None, "lr_scaling": "linear", "loss": "mse"}


class FileMaker:
    """Writes a valid experiment file in a random layout, where asked with one value of it spoiled."""

    def __init__(self, seed):
        self.chance = random.Random(seed)
        self.values = []

    def make(self, *, is_spoiled):
        """Return the text, and the 1-based line of the spoiled value (0 for none)."""
        text = self.defaults() + "".join(self.experiment(number) for number in range(self.chance.randint(1, 3)))
        chosen = self.chance.randrange(len(self.values)) if is_spoiled else None
        for number, (good, bad) in enumerate(self.values):
            text = text.replace(f"{MARK}{number}{MARK}", MARK + bad if number == chosen else good)
        line = text[: text.index(MARK)].count("\n") + 1 if is_spoiled else 0
        return text.replace(MARK, ""), line

    def value(self, good):
        """A value that can be spoiled; every one can become NaN, and each kind something of another kind."""
        if isinstance(good, list):
            gap = self.chance.choice(["", " ", "\n  ", " # why, [not]\n"])
            return (
                "[" + gap + ("," + gap).join(self.value(item) for item in good) + self.chance.choice(["", "\n"]) + "]"
            )
        bad = ["nan", "-inf", "{ a = 1 }", "2020-01-01"]
        if isinstance(good, str):
            written = self.chance.choice([f'"{good}"', f"'{good}'", f'"""{good}"""', f'"""\n{good}"""'])
            bad += ["5", "[1,\n2]"]
        else:
            written = json.dumps(good)
            bad += ['"five"', '"""\nfive\n"""', "-7.25"] + ([] if isinstance(good, bool) else ["true"])
        self.values.append((written, self.chance.choice(bad)))
        return f"{MARK}{len(self.values) - 1}{MARK}"

    def table(self, name, items, header):
        """A table inside another: as an inline table, dotted keys, or (last) under its own header."""
        layout = self.chance.choice(["inline", "dotted", "header"])
        pairs = [f"{self.key(key)} = {self.value(value)}" for key, value in items]
        if layout == "inline":
            return f"{name} = {{ {', '.join(pairs)} }}\n", ""
        if layout == "dotted":
            return "".join(f"{name}.{pair}\n" for pair in pairs), ""
        return "", f"[{header}.{name}]\n" + "\n".join(pairs) + "\n"

    def key(self, key):
        return self.chance.choice([key, f'"{key}"', f"'{key}'"])

    def shuffled(self, lines):
        lines = [line + self.filler() for line in lines]
        self.chance.shuffle(lines)
        return "".join(lines)

    def filler(self):
        return self.chance.choice(["", "", "\n", "# a = [\n", "# '''\n\n"])

    def some(self, items):
        return self.chance.sample(items, self.chance.randint(0, len(items)))

    def defaults(self):
        lines = [f"model = {self.value('lenet5')}\n", f"dataset = {self.value('digits')}\n", "epochs = 1\n"]
        lines.append(f"{self.key('global_batch_size')} = {self.value(64)}\n")
        inline, below = self.table("optimizer", [("name", "sgd"), ("lr", 0.5), ("nesterov", False)], "defaults")
        return "[defaults]\n" + self.shuffled([*lines, inline]) + below

    def experiment(self, number):
        keys = self.some([*NUMBERS.items(), *((k, v) for k, v in TEXTS.items() if v)])
        lines = [f"{self.key(key)} = {self.value(value)}\n" for key, value in keys]
        lines.append(f"name = {self.value(f'x{number}')}\n")
        lines.append(f"augment = {self.value(self.some(['flip', 'crop']))}\n")
        lines.append(f"setup = {self.value(['true', 'echo = [ # '])}\n")
        lines.append('description = """\nname = 5\n[[experiment]]\n"""\n')
        parts = [
            self.table("stop", [("minutes", 2.5), ("loss", 0.5)], "experiment"),
            self.table("ddp", [("bucket_cap_mb", 5), ("comm_hook", "fp16")], "experiment"),
            self.table("baseline", [("strategy", "ddp")], "experiment"),
            self.table("env", [("A", "1")], "experiment"),
        ]
        text = self.filler() + "[[experiment]]\n" + self.shuffled(lines + [inline for inline, _ in parts])
        return text + "".join(below for _, below in parts) + self.matrix()

    def matrix(self):
        lines = ["strategy = ['ddp']\n", f"world_size = {self.value([1, 2])}\n"]
        lines.append(
            f"{self.chance.choice(['optimizer.lr', chr(34) + 'optimizer.lr' + chr(34)])} = {self.value([0.1, 1])}\n"
        )
        text = "[experiment.matrix]\n" + self.shuffled(lines)
        for name in ("a", "b"):
            text += f"[[experiment.matrix.case]]\nname = '{name}'\ncores_per_rank = {self.value(2)}\n"
            text += f'"rpc_pipeline.num_micro_batches" = {self.value(3)}\n'
        return text


def plan(text):
    return make_plan(text, "f.toml", catalog=CATALOG)


@pytest.mark.parametrize("start", range(0, 600, 50))
def test_one_wrong_value_anywhere_is_reported_at_its_own_line(start):
    for seed in range(start, start + 50):
        text, line = FileMaker(seed).make(is_spoiled=True)
        with pytest.raises(InputError) as caught:
            plan(text)
        lines = [problem.line for problem in caught.value.problems]
        assert line in lines, (seed, line, str(caught.value), text)
        assert all(problem.file == "f.toml" and "\n" not in problem.message for problem in caught.value.problems)


def outcome(text):
    """Anything but a plan or an InputError fails the test that asks."""
    try:
        plan(decode_text(text, "f.toml") if isinstance(text, bytes) else text)
    except InputError as error:
        return "refused" if error.problems else "refused without a word"
    return "planned"


def sound_text(seed):
    return FileMaker(seed).make(is_spoiled=False)[0]


def test_the_generated_files_are_valid_before_they_are_spoiled():
    for seed in range(100):
        assert plan(sound_text(seed)).runs, seed


DAMAGE = [*'"[]{}\n=.,#\0\ud800', "'''", "nan", "-1", "[[experiment]]\n", "name"]


@pytest.mark.parametrize("start", range(0, 600, 100))
def test_a_damaged_file_plans_or_is_refused(start):
    for seed in range(start, start + 100):
        chance = random.Random(seed)
        text = sound_text(seed % 40)
        for _ in range(chance.randint(1, 5)):
            index = chance.randrange(len(text))
            text = text[:index] + chance.choice(DAMAGE) + text[index + chance.randint(0, 12) :]
        assert outcome(text) in ("planned", "refused")


def test_damaged_bytes_plan_or_are_refused():
    for seed in range(300):
        chance = random.Random(seed)
        content = bytearray(sound_text(seed % 20).encode())
        for _ in range(chance.randint(1, 4)):
            content[chance.randrange(len(content))] = chance.randrange(256)
        assert outcome(bytes(content)) in ("planned", "refused")


def test_random_bytes_are_refused():
    for seed in range(200):
        with pytest.raises(InputError):
            plan(decode_text(random.Random(seed).randbytes(seed), "f.toml"))


def test_values_moved_between_keys_plan_or_are_refused():
    """Valid TOML with the right keys and values of every wrong kind."""
    settings = ["name", "extends", "baseline", "repeats", "on_error", "matrix", "exclude", "reference"]
    keys = [*settings, "model", "optimizer", "stop", "dp", "strategy", "slow", "env"]
    values = ['""', '"x"', "0", "-1", "1e300", "true", "[]", "[[]]", "[{}]", "{}", "{ name = 'x' }", "{ x = [1] }"]
    values += [
        "{ strategy = 'ddp' }",
        "[{ strategy = 'ddp' }]",
        "9223372036854775807",
        "{ a = { a = { a = [[{}]] } } }",
    ]
    for seed in range(1000):
        chance = random.Random(seed)
        lines = [f"{key} = {chance.choice(values)}\n" for key in chance.sample(keys, chance.randint(1, 5))]
        header = chance.choice(["[defaults]\n", "[[experiment]]\n", "[experiment]\n", '[[experiment]]\n"a.b".c = 1\n'])
        assert outcome(chance.choice(["", sound_text(seed % 10)]) + header + "".join(lines)) in ("planned", "refused")
