"""Small sets of invented people in the formats of others, to be spoiled at will."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

from daydream_motives.engine.engine import MotiveEngine
from daydream_motives.simulation.runner import Simulation
from daydream_motives.simulation.world import World

ODD: tuple[Any, ...] = (None, 5, -3, 1e9, True, "", "odd", [], [1, None], {}, {"a": [5]}, [["x"]])

SMALLVILLE: dict[str, dict[str, Any]] = {
    "Nora Vell": {
        "name": "Nora Vell", "age": 31, "innate": "patient, Dry",
        "learned": "Nora Vell is a clockmaker who keeps the tower clock. She is never late.",
        "currently": "Nora Vell is working on a clock without hands.",
        "lifestyle": "Nora Vell goes to bed around 11pm, awakes up around 6am, eats dinner "
                     "around 17:30pm.",
        "living_area": "Ostwick:Vell house:Nora Vell's room",
        "daily_plan_req": "Nora Vell opens Tower Shop at 9am, and stands there until 5pm, at "
                          "which point she closes the shop.",
    },
    "Anders Huld": {
        "name": "Anders Huld", "age": 40, "innate": "loud",
        "learned": "Anders Huld is a ferryman. He knows every tide.",
        "living_area": "Ostwick:Huld house:main room",
    },
    "Pia Roth": {"name": "Pia Roth", "age": 15, "innate": "quick", "living_area": ""},
}  # fmt: skip
MEMORY = {
    "Ostwick": {
        "Vell house": {"Nora Vell's room": ["bed", "desk"], "kitchen": ["refrigerator"]},
        "Huld house": {"main room": ["bed"], "kitchen": ["cooking area"]},
        "Tower Shop": {"shop": ["counter"]},
    }
}
WHISPERS = (
    "Name,Whisper\n"
    "Nora Vell,\"Anders Hult is your neighbor whom you've known for about a year; You like to "
    "walk by the river; You want to mend the tower clock; You don't like Pia Roth\"\n"
    'Anders Huld,"You have a crush on Nora Vell; You have a crush on Pia Roth; You wonder why '
    'Nora Vell and Pia Roth never talk; Mind the tide"\n'
)


def smallville(folder: Path, people: Any = None, whispers: str | None = WHISPERS) -> Path:
    """A folder of invented townspeople."""
    for name, scratch in (SMALLVILLE if people is None else people).items():
        home = folder / "personas" / name
        home.mkdir(parents=True)
        (home / "scratch.json").write_text(json.dumps(scratch), encoding="utf-8")
        (home / "spatial_memory.json").write_text(json.dumps(MEMORY), encoding="utf-8")
    (folder / "meta.json").write_text(json.dumps({"start_date": "March 3, 2021"}))
    if whispers is not None:
        (folder / "agent_history_init_n3.csv").write_text(whispers, encoding="utf-8")
    return folder


def node(kind: str, name: str, inside: str = "VOID", **more: Any) -> dict[str, Any]:
    """One node of a LIGHT world."""
    flags = {"agent": False, "room": False, "object": False, kind: True}
    return {**flags, "name": name, "container_node": {"target_id": inside}, **more}


LIGHT: dict[str, Any] = {
    "title": "A mill by a river.",
    "rooms": ["mill_0", "yard_1"],
    "agents": ["osk_2", "miller_3", "rat_4"],
    "objects": ["loaf_5", "key_6"],
    "nodes": {
        "mill_0": node("room", "Mill", desc="Dust.", extra_desc="It has always been here.",
                       neighbors={"yard_1": {"target_id": "yard_1"}}),
        "yard_1": node("room", "Yard", desc="Mud.", neighbors={"mill_0": {}}),
        "osk_2": node("agent", "Osk the Carter", "mill_0", char_type="person",
                      desc="He has a crooked hat.",
                      persona="I am Osk, the carter of Lower Fen. I haul flour and I know Wenna "
                              "the Miller well.",
                      mission="My goal is to buy a second horse before my brother does."),
        "miller_3": node("agent", "Wenna the Miller", "mill_0", char_type="person",
                         desc="She is white with flour.", persona="I grind my own corn.",
                         mission="I want to sell the mill."),
        "rat_4": node("agent", "rat", "sack_7", char_type="creature", desc="Small.",
                      persona="I am a rat. I eat what you drop.", mission="Eat everything."),
        "loaf_5": node("object", "loaf", "mill_0", food=True),
        "key_6": node("object", "key", "osk_2"),
        "sack_7": node("object", "sack", "mill_0"),
        "coin_8": node("object", "coin", "sack_7"),
    },
}  # fmt: skip


def light(**changes: Any) -> dict[str, Any]:
    """A copy of the mill with whole sections replaced."""
    return {**copy.deepcopy(LIGHT), **changes}


def agent(name: str, **persona: Any) -> dict[str, Any]:
    """One TinyTroupe agent."""
    full = {
        "name": name, "age": 34, "gender": "Female", "residence": "Tarn, Fells",
        "occupation": {"title": "Glazier", "organization": "Pane & Co",
                       "description": "You cut glass and enjoy your quiet work."},
        "style": "You speak slowly.",
        "personality": {
            "traits": ["You are careful and never rush.", "You have a sense of humour."],
            "big_five": {"openness": "High. You read.", "neuroticism": "Low to Medium. Calm.",
                         "extraversion": "very low"},
        },
        "long_term_goals": ["To open my own workshop."],
        "skills": ["You are skilled in cutting glass."],
        "beliefs": ["You believe in good tools."],
        "preferences": {"interests": ["Kites"], "likes": ["Your garden."], "dislikes": ["Noise"]},
        "behaviors": {
            "general": ["You often whistle."],
            "routines": {"morning": ["Wakes up at 6:15 AM.", "Feeds the cat."],
                         "evening": ["You go to bed around 10:00 PM."]},
        },
        "other_facts": ["You grew up by a lake."],
        "relationships": [{"name": "Tom Ashe", "description": "Your husband, who bakes."},
                          {"name": "Lil", "description": "Your sister, who teases you."}],
    }  # fmt: skip
    return {"type": "TinyPerson", "persona": {**full, **persona}, "mental_faculties": []}


def troupe(folder: Path, *agents: Any) -> Path:
    """A folder of agents, each in a file of its own."""
    folder.mkdir(exist_ok=True)
    for index, data in enumerate(agents):
        (folder / f"a{index}.agent.json").write_text(json.dumps(data), encoding="utf-8")
    return folder


def write(file: Path, data: Any) -> Path:
    """The data as a JSON file."""
    file.write_text(json.dumps(data), encoding="utf-8")
    return file


def lives(world: World, folder: Path, ticks: int = 4) -> World:
    """The world saved, loaded again and let live for a while; it has to be the same world."""
    world.save(folder)
    again = World.load(folder)
    assert again.hash == world.hash
    with MotiveEngine("scripted") as engine:
        for _ in Simulation(again, engine).run(ticks):
            pass
    return again
