"""Our `train` against TRL's SFTTrainer: real tokens a second, peak memory, held-out loss.

    python tests/bench/training_speed.py --records 160 --rounds 3 --trl /path/of/a/venv/bin/python

Both learn from the same tokens of the same records (without what fills up), by the same LoRA and
in as many steps, each in a process of its own, in turn. Ours is the command; TRL and, where there
is one, LLaMA-Factory are as they come, but for what is told below the table. Time is that of the
steps alone, memory that of the whole process. Needs Linux or macOS, the extra `training` and, for
each other side, an environment with it and datasets; it may be another than this one.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

from daydream_motives.bench.figures import machine
from daydream_motives.errors import DaydreamError
from daydream_motives.training.recipe import find_recipe

HERE = Path(__file__).parent
OTHERS = {"trl": "SFTTrainer of TRL", "llamafactory": "LLaMA-Factory"}
FIND = "import sys, importlib.util as u; sys.exit(not all(map(u.find_spec, sys.argv[1:])))"
Round = dict[str, Any]


def main(args: Sequence[str] | None = None) -> str:
    """The report as Markdown, which is also printed."""
    wanted = arguments(args)
    try:
        recipe = str(find_recipe(wanted.recipe).resolve())
    except DaydreamError as exc:
        raise SystemExit(f"{exc.message}; {exc.remedy}") from None
    pythons = {"ours": sys.executable}
    for name in OTHERS:
        python = getattr(wanted, name)
        try:
            there = subprocess.run([python, "-c", FIND, name, "datasets"]).returncode == 0
        except OSError as exc:
            raise SystemExit(f"--{name} {python}: {exc.strerror}") from None
        if there:
            pythons[name] = python
        else:
            say(f"{python} has no {name} with datasets: left out (give another with --{name})")
    with tempfile.TemporaryDirectory(prefix="training-speed-") as folder:
        work = Path(folder)
        changes = {"recipe": recipe, "set": settings(wanted.set)}
        (work / "wanted.json").write_text(json.dumps(vars(wanted) | changes, default=str))
        part("prepare", work)
        rounds: dict[str, list[Round]] = {name: [] for name in pythons}
        for seed in range(wanted.rounds):
            for name in list(pythons)[:: -1 if seed % 2 else 1]:
                found = measure(name, work, pythons[name], seed)
                rounds[name].append(found)
                speed = found["tokens"] / found["seconds"]
                say(f"round {seed + 1}, {name}: {speed:.0f} tokens/s, {found['peak']:,.0f} MiB")
        compare(rounds)
        part("evaluate", work)
        losses = read(work / "losses.json")
        for name, some in rounds.items():
            for seed, found in enumerate(some):
                found["loss"] = losses[f"{name}-{seed}"]
        report = markdown(read(work / "plan.json"), rounds, losses["untuned"])
    if wanted.output:
        wanted.output.write_text(report, encoding="utf-8")
    print(report)
    return report


def arguments(args: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    add = parser.add_argument
    add("--recipe", default="smollm2-135m", help="a name of training/recipes or a .toml file")
    add("--base", help="another base than the recipe's")
    add("--data", default="", help="another dataset than the shipped one")
    add("--records", type=count, default=160, help="how many of its training records, the first")
    add("--held-out", type=count, default=48, help="how many of its test records, the first")
    add("--epochs", type=count, default=1)
    add("--rounds", type=count, default=3, help="of both, each with a seed of its own")
    add("--batch", type=count, default=8, help="records a step (8 is TRL's own)")
    add("--own-batches", action="store_true", help="ours by the recipe's, not in as many steps")
    for name, title in OTHERS.items():
        add(f"--{name}", default=sys.executable, help=f"the Python that has {title} (this one)")
    add(
        "--set",
        action="append",
        default=[],
        metavar="KEY=JSON",
        help="SFTConfig, no longer stock",
    )
    add("-o", "--output", type=Path, help="where the report is written, too")
    return parser.parse_args(args)


def count(text: str) -> int:
    if (number := int(text)) < 1:
        raise ValueError(text)
    return number


def settings(pairs: Sequence[str]) -> dict[str, Any]:
    """KEY=JSON by key."""
    found = {}
    for pair in pairs:
        key, _, value = pair.partition("=")
        try:
            found[key] = json.loads(value)
        except ValueError:
            raise SystemExit(f"--set {pair}: found no JSON after {key}=") from None
    return found


def measure(name: str, work: Path, python: str, seed: int) -> Round:
    """One training: tokens, seconds, steps, trained parameters, versions and the peak in MiB."""
    out = work / f"{name}-{seed}"
    if name == "ours":
        plan, command = read(work / "plan.json"), [python, "-m", "daydream_motives.training"]
        given = ["--base", plan["base"], "--data", plan["data"], "--seed", seed, "-o", out]
        peak = run([*command, "train", work / "recipe.toml", *given], work)
        manifest = read(out / "manifest.json")
        kept = ("tokens", "seconds", "trained_parameters", "versions")
        found = {key: manifest[key] for key in kept} | {"steps": manifest["steps"]["done"]}
    else:
        peak = run([python, HERE / "training_speed_theirs.py", name, work, seed, out], work)
        found = read(out / "found.json")
    return found | {"peak": peak / 2**20}


def part(name: str, work: Path) -> None:
    run([sys.executable, HERE / "training_speed_parts.py", name, work], work)


def run(command: Sequence[object], work: Path) -> int:
    """The most memory of a command in bytes; ends with what it said where it fails.

    This process imports little, as the system counts a child's memory from its parent's.
    """
    log = work / "log.txt"
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    with log.open("w", encoding="utf-8") as stream:
        process = subprocess.Popen(
            [str(word) for word in command], stdout=stream, stderr=stream, env=environment
        )
        try:
            _, status, usage = os.wait4(process.pid, 0)
        except KeyboardInterrupt:
            process.kill()
            raise
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
        raise SystemExit("\n".join([*lines[-30:], f"this failed: {process.args}"]))
    return usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def compare(rounds: dict[str, list[Round]]) -> None:
    """Refuse to compare what did not learn from the same tokens by an adapter of the same size."""
    for key in ("tokens", "trained_parameters"):
        values = {one: {found[key] for found in some} for one, some in rounds.items()}
        if len(set.union(*values.values())) > 1:
            raise SystemExit(f"{key} differ, so nothing is compared: {values}")


def markdown(plan: Round, rounds: dict[str, list[Round]], untuned: float) -> str:
    lora, train, where = plan["lora"], plan["train"], machine()
    rows = [f"| untuned | | | {untuned:.4f} | |"]
    ratios, notes = [], []
    ours = rounds["ours"]
    for name, some in rounds.items():
        title, first = "`train`", some[0]
        if name != "ours":
            title = f"{OTHERS[name]} {first['versions'][name]}"
            pairs = list(zip(ours, some, strict=True))
            speed = [b["seconds"] / a["seconds"] for a, b in pairs]  # of the same tokens
            memory = [a["peak"] / b["peak"] for a, b in pairs]
            loss = [a["loss"] - b["loss"] for a, b in pairs]
            ratios.append(
                f"Ours to {title}, round by round: {told(speed, '.2f')} times the tokens/s, "
                f"{told(memory, '.2f')} times the memory, {told(loss, '+.4f')} in loss."
            )
            notes.append(f"{title}, given: {listed(first['given'])}.")
        its = first.get("stock", train)
        notes.append(f"{title}, its settings: {listed(its)}; {listed(first['versions'])}.")
        cells = [
            told([found["tokens"] / found["seconds"] for found in some], ".0f"),
            told([found["peak"] for found in some], ",.0f"),
            told([found["loss"] for found in some], ".4f"),
            str(first["steps"]),
        ]
        rows.append(f"| {title} | {' | '.join(cells)} |")
    layers = ", ".join(lora["targets"]) or "all linear layers"
    text = [
        f"{plan['records']} records ({plan['tokens']:,} tokens, {plan['learnt']:,} of them learnt) "
        f"× {train['epochs']} epochs; base {plan['name']}; LoRA of rank {lora['rank']}, alpha "
        f"{lora['alpha']:g}, dropout {lora['dropout']:g} on {layers}; learning rate "
        f"{train['learning_rate']:g}. Loss on {plan['held_out']} held-out records. Medians of "
        f"{len(ours)} rounds (least to most), one seed each.",
        f"{where['processor']}, {where['cores']} cores, {where['system']}, "
        f"Python {where['python']}.",
        "| | tokens/s | peak memory, MiB | held-out loss | steps |\n|---|---|---|---|---|\n"
        + "\n".join(rows),
        *ratios,
        *notes,
    ]
    return "\n\n".join(text) + "\n"


def told(values: Sequence[float], form: str) -> str:
    """The median, and the least and most where there are several."""
    middle = format(median(values), form)
    if len(values) == 1:
        return middle
    return f"{middle} ({format(min(values), form)} to {format(max(values), form)})"


def listed(values: dict[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in values.items())


def read(file: Path) -> dict[str, Any]:
    return dict(json.loads(file.read_text(encoding="utf-8")))


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
