"""One world of LIGHT: rooms, the objects in them, and characters with a persona and a mission.

A JSON file with `nodes`, and `rooms`, `agents` and `objects` that list their ids. Format:
github.com/facebookresearch/LIGHT.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from daydream_motives.exchange.draft import Draft, Imported
from daydream_motives.exchange.foreign import Record, Source
from daydream_motives.exchange.report import Report
from daydream_motives.exchange.voice import retold

_CROWD = 60  # people in one room
_WALK = 3  # minutes between neighbouring rooms: the files give none
_HE = re.compile(r"\b(?:he|his|him)\b", re.I)
_SHE = re.compile(r"\b(?:she|her|hers)\b", re.I)
_THEY = re.compile(r"\btheir\b", re.I)
_GOAL = re.compile(
    r"^(?:my|our) (?:[\w-]+ ){0,3}?(?:goal|mission|motivation|aim|purpose|objective|quest|dream|"
    r"desire)(?: in life)? (?:here )?(?:is|was) (?:simple: )?(?=to\b)",
    re.I,
)
_WISH = re.compile(
    r"^(?:i (?:want|strive|seek|aim|wish|hope|need|aspire|desire|plan) )(?=to\b)", re.I
)
_SENTENCES = re.compile(r"(?<=[.!?])(?<!Mr\.)(?<!Mrs\.)(?<!Dr\.)(?<!St\.)\s+")


class _Nodes:
    """The nodes of one file by id; each is kept whole, whatever is in it."""

    def __init__(self, data: dict[str, Any], report: Report, source: str) -> None:
        self.report, self.source = report, source
        top = Record(data, report, source)
        nodes = top.record("nodes")
        self.records = {
            id: Record(node, report, source, f"nodes.{id}") for id, node in nodes.data.items()
        }
        self.all: dict[str, Any] = nodes.data
        self.contents: dict[str, list[str]] = {}  # what is directly in what
        for id in self.records:
            if container := self.inside(id):
                self.contents.setdefault(container, []).append(id)
        self.listed = {key: list(dict.fromkeys(top.texts(key))) for key in ("rooms", "agents")}

    def of(self, kind: str, flag: str) -> Iterator[tuple[str, Record]]:
        """The nodes listed under `kind` or marked by `flag`, in order."""
        marked = [id for id, node in self.records.items() if node.data.get(flag) is True]
        for id in dict.fromkeys((*self.listed[kind], *marked)):
            if id in self.records:
                yield id, self.records[id]
            else:
                self.report.remark(self.source, kind, repr(id), "listed, but there is no such node")

    def inside(self, id: str) -> str:
        """What a node is directly in; empty for nothing that is known."""
        found = self.records[id].data.get("container_node")
        target = found.get("target_id") if isinstance(found, dict) else found
        return target if isinstance(target, str) and target in self.records else ""

    def objects_in(self, id: str) -> list[str]:
        """The objects that lie directly in a node."""
        inside = self.contents.get(id, ())
        return [other for other in inside if self.records[other].data.get("object") is True]

    def around(self, id: str) -> list[str]:
        """What a node is in, from the nearest outwards; a circle ends where it closes."""
        chain: list[str] = []
        while (id := self.inside(id)) and id not in chain:
            chain.append(id)
        return chain


def read(path: str | Path) -> Imported:
    """The world in one LIGHT file; raises WorldError where there is none in it."""
    source = Source(path, "one LIGHT world: a JSON file with 'nodes', 'rooms' and 'agents'")
    report = Report("light", str(path))
    if source.is_folder:
        raise _choose(source)
    data = source.document(source.path, report)
    if report.refused:
        problem = report.refused[0]
        found = f"{problem.path}: {problem.found}" if problem.path else problem.found
        raise source.wrong(found, "mend the file, or give another")
    if not isinstance(data, dict) or not isinstance(data.get("nodes"), dict):
        raise source.wrong(f"a {type(data).__name__} without 'nodes'")
    nodes = _Nodes(data, report, source.path.name)
    draft = Draft(report)
    rooms = _rooms(draft, nodes)
    people = _people(draft, nodes, rooms)
    _acquaint(draft, nodes, people)
    draft.extensions = {key: value for key, value in data.items() if key != "nodes"}
    _leftovers(draft, nodes, rooms, people)
    name = re.sub(r"[-_]+", " ", source.path.stem).title()
    return draft.finish(name, Record(data, report, nodes.source).text("title"))


def _choose(source: Source) -> Exception:
    """The error for a folder: which of the worlds in it could be meant."""
    worlds = []
    for file in source.files("*.json"):
        data = source.document(file, Report("light", ""))
        if isinstance(data, dict) and isinstance(data.get("nodes"), dict):
            worlds.append(file.name)
    if not worlds:
        return source.wrong("a folder without LIGHT worlds")
    found = f"a folder with {len(worlds)} worlds: {', '.join(worlds)}"
    return source.wrong(found, f"name one, as in --source {source.path / worlds[0]}")


def _rooms(draft: Draft, nodes: _Nodes) -> dict[str, str]:
    """Places from rooms, with what lies there and the ways between them."""
    report, source = draft.report, nodes.source
    places: dict[str, str] = {}
    for id, node in nodes.of("rooms", "room"):
        lying = nodes.objects_in(id)
        things = [nodes.records[thing].text("name")[:120] for thing in lying]
        food = any(nodes.records[thing].data.get("food") in (True, 1, 1.0) for thing in lying)
        bed = any(re.search(r"\bbed(?:ding)?\b", thing) for thing in things)
        places[id] = draft.place(
            node.text("name") or id, source,
            {"node": node.data, "objects": {t: nodes.records[t].data for t in lying}},
            description=" ".join(filter(None, (node.text("desc"), node.text("extra_desc")))),
            things=[thing for thing in dict.fromkeys(things) if thing],
            restores={**({"food": 0.3} if food else {}), **({"rest": 0.1} if bed else {})},
        )  # fmt: skip
    if not places:
        report.note("there are no rooms: everyone is in one place made up for them")
        places[""] = draft.place("Somewhere", source)
    for id in places:
        neighbours = nodes.records[id].record("neighbors") if id else Record(None, report, source)
        for other in neighbours:
            if other in places:
                draft.connect(places[id], places[other], _WALK)
            else:
                neighbours.misread(other, other, "a way to a room that does not exist")
    report.note(f"every way is {_WALK} minutes; beds restore rest and food restores food: made up")
    return places


def _people(draft: Draft, nodes: _Nodes, rooms: dict[str, str]) -> dict[str, str]:
    """Sheets from agents, in the room they are in, with what they carry."""
    people: dict[str, str] = {}
    for id, node in nodes.of("agents", "agent"):
        around = nodes.around(id)
        home = next((rooms[outer] for outer in around if outer in rooms), None)
        if home is None:
            node.misread("container_node", node.data.get("container_node"),
                         "no room around this character")  # fmt: skip
            home = next(iter(rooms.values()))
        name = node.text("name") or id
        look, persona, mission = node.text("desc"), node.text("persona"), node.text("mission")
        subject = _pronoun(look)
        sort = node.text("char_type")
        kind = sort if sort not in ("", "person") else ""
        if kind:
            draft.report.counts[f"of them {kind}s"] += 1
        carried = {other: nodes.records[other].data for other in nodes.contents.get(id, ())}
        told, wants = (_told(node, persona, name, subject),
                       _wants(node, mission, name, subject))  # fmt: skip
        if mission and not wants:
            told = f'{told} In their own words: "{mission}"'.strip()
        known = draft.person(
            name, nodes.source, {"node": node.data, "carried": carried},
            pronouns={"he": "he/him", "she": "she/her"}.get(subject),
            occupation=kind,
            appearance=look,
            description=told,
            wants=wants,
            home=home,
        )  # fmt: skip
        if known:
            people[id] = known
    return people


def _pronoun(look: str) -> str:
    """Whichever of he and she a description uses; "they" where it uses both or neither."""
    he, she = len(_HE.findall(look)), len(_SHE.findall(look))
    if _THEY.search(look) and not he and not she:
        return "they"
    return "he" if he and not she else "she" if she and not he else "they"


def _told(node: Record, persona: str, name: str, subject: str) -> str:
    """A persona in the third person; quoted where the rules are not sure."""
    if not persona:
        return ""
    spoken = spoken_of(name)
    sentences = _SENTENCES.split(persona)
    told = [retold(_introduced(s, name), spoken, subject, named=i > 0)
            for i, s in enumerate(sentences)]  # fmt: skip
    if any(sentence is None for sentence in told):
        node.misread("persona", persona, "no rule puts this into the third person with certainty")
        return f'In their own words: "{persona}"'
    return " ".join(sentence for sentence in told if sentence)


def spoken_of(name: str) -> str:
    """What a text calls someone: "the rat" for "rat", "Ana" for "Ana, the smith"."""
    short = re.split(r",|(?<!\bof)(?<!\bto)(?<!\bin) the |\s*\(", name)[0].strip()
    if short.islower() and short == name:
        return f"the {name}"
    return short[:1].upper() + short[1:] if short else name


def _introduced(sentence: str, name: str) -> str:
    """ "I am Ana, the smith of Ull" names the speaker: only the rest says something."""
    match = re.match(r"(I am|I'm|I’m) (.*)", sentence)
    if not match:
        return sentence
    words = match[2].split(" ")
    own = {re.sub(r"\W", "", word).casefold() for word in name.partition("(")[0].split()}
    taken = article = int(words[0] in ("a", "an", "the"))
    while taken < len(words) and re.sub(r"\W", "", words[taken]).casefold() in own:
        taken += 1
    if not any(word[:1].isupper() for word in words[article:taken]) and taken - article < len(own):
        return sentence
    cuts = range(taken, article, -1)
    for cut in cuts:
        rest = " ".join(words[cut:])
        if words[cut - 1] in ("a", "an", "the"):
            continue
        if re.match(r"and I\b", rest):
            return rest.removeprefix("and ")
        if re.match(r"(?:the|an?|one|[a-z]\w+ of)\b", rest) or (
            words[cut - 1].endswith(",") and re.match(r"[a-z]|(?:[A-Z]\w+ ?)+['’]s ", rest)
        ):
            return f"I am {rest}"
    rest = " ".join(words[taken:])
    return f"I am {rest}" if rest.startswith("of ") else sentence


def _wants(node: Record, mission: str, name: str, subject: str) -> list[str]:
    """A mission as what somebody wants: "to …" where it can be put so."""
    if not mission:
        return []
    first, *rest = _SENTENCES.split(mission)
    aim = re.sub(_WISH, "", re.sub(_GOAL, "", first))
    if not re.match(r"to\b", aim, re.I):
        if not re.match(r"[A-Z][a-z]+ (?!am\b|is\b|was\b)", aim) or re.match(r"(?:My|The)\b", aim):
            node.misread("mission", mission, "this does not say what somebody wants to do")
            return []
        aim = f"to {aim}"  # "Seek the gold": an order to oneself
    told = retold(f"{aim[0].lower()}{aim[1:]}", spoken_of(name), subject, named=True)
    more = [retold(text, spoken_of(name), subject, named=True) for text in rest]
    if told is None or None in more:
        node.misread("mission", mission, "no rule puts this into the third person with certainty")
        return []
    aim = f"{told[0].lower()}{told[1:]}".rstrip(".")
    aim = re.sub(r"^to ([A-Z])", lambda m: f"to {m[1].lower()}", aim)
    return [". ".join((aim, *(text for text in more if text))).rstrip(".")]


def _acquaint(draft: Draft, nodes: _Nodes, people: dict[str, str]) -> None:
    """Who is in the same room knows of the other; who speaks of another knows them."""
    report = draft.report
    together: dict[str | None, list[str]] = {}
    for person in people.values():
        together.setdefault(draft.sheets[person].home, []).append(person)
    called = _called(nodes, people)
    for id, person in people.items():
        node = nodes.records[id]
        name = node.text("name") or id
        spoken, subject = spoken_of(name), draft.sheets[person].subject
        for other, said in _spoken_of_by(node, name, called).items():
            if other != person:
                told = retold(_introduced(said, name), spoken, subject)
                draft.tie(person, other, nodes.source, story=told or f'{spoken} says: "{said}"',
                          familiarity=0.4)  # fmt: skip
                report.counts["relationships because one speaks of the other"] += 1
        here = together[draft.sheets[person].home]
        if len(here) > _CROWD:
            report.note(f"more than {_CROWD} people in one room are a crowd: nobody is acquainted")
            continue
        for other in here:
            if other != person and draft.graph.get(person, other) is None:
                draft.tie(person, other, nodes.source, familiarity=0.2)
                report.counts["relationships because both are in one room"] += 1
    report.note("the format has no relationships: acquaintances are those in the same room, and "
                "those a character speaks of")  # fmt: skip


def _called(nodes: _Nodes, people: dict[str, str]) -> dict[str, str]:
    """Names that are one person's alone and no common noun, and whose they are."""
    found: dict[str, list[str]] = {}
    for id, person in people.items():
        name = nodes.records[id].text("name")
        if len(name) > 2 and not name[0].islower():
            found.setdefault(name, []).append(person)
    return {name: ids[0] for name, ids in found.items() if len(ids) == 1}


def _spoken_of_by(node: Record, name: str, called: dict[str, str]) -> dict[str, str]:
    """Whom a persona or mission names, and the first sentence that does."""
    if not called:
        return {}
    longest = sorted(called, key=len, reverse=True)
    names = re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, longest))})(?!\w)")
    # Whoever is called "Ana Sol" speaks not of "Ana" by saying so.
    own = re.compile(rf"{re.escape(name)}(?!['’]s)", re.I)
    text = own.sub(
        lambda m: m[0].replace(" ", "_"), f"{node.text('persona')} {node.text('mission')}"
    )
    found: dict[str, str] = {}
    for sentence in _SENTENCES.split(text):
        for match in names.finditer(sentence):
            found.setdefault(called[match[0]], sentence.strip().replace("_", " "))
    return found


def _leftovers(draft: Draft, nodes: _Nodes, rooms: dict[str, str], people: dict[str, str]) -> None:
    """Nodes that no place and no sheet keeps are kept with the world."""
    kept = {*rooms, *people}
    for id in people:
        kept.update(nodes.contents.get(id, ()))
    for id in rooms:
        kept.update(nodes.objects_in(id))
    apart = {id: node for id, node in nodes.all.items() if id not in kept}
    if apart:
        draft.extensions["nodes"] = apart
        draft.report.counts["other nodes, kept with the world"] += len(apart)
