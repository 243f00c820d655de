"""`python -m daydream_motives.training`: parses, calls, shows.

Exit codes are those of `daydream`: 0 done; 1 other failure; 2 wrong usage; 3 the data is wrong;
7 refused, as it would make things worse.
"""

from __future__ import annotations

import click

from daydream_motives.command_group import CommandGroup

# Each stage is a module of commands, imported only when it is asked for.
_STAGES = {
    "data": "data_commands",
    "harvest": "harvest_commands",
    "curate": "curate_commands",
    "preflight": "preflight_commands",
    "train": "train_commands",
    "prefer": "prefer_commands",
    "tune": "tune_commands",
    "evaluate": "judging_commands",
    "compare": "judging_commands",
    "export": "export_commands",
    "retrain": "retrain_commands",
    "promote": "promote_commands",
    "rollback": "promote_commands",
    "export-llamafactory": "llamafactory_commands",
    "report": "report_commands",
}


@click.group(
    cls=CommandGroup,
    modules={name: f"daydream_motives.training.{module}" for name, module in _STAGES.items()},
    spoken="training",
)
def main() -> None:
    """From scenes and journals to better models."""
