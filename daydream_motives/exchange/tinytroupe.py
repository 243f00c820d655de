"""People of TinyTroupe: `*.agent.json` files with a persona each, spoken to as "you".

Fragments (`*.fragment.json`) are traits without a person, and populations are statistics: both are
kept with the world and reported. Format: github.com/microsoft/TinyTroupe.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from daydream_motives.errors import Problem
from daydream_motives.exchange.draft import Draft, Imported
from daydream_motives.exchange.foreign import Record, Source
from daydream_motives.exchange.hours import clock_times
from daydream_motives.exchange.names import Names
from daydream_motives.exchange.report import Report
from daydream_motives.exchange.routines import Entry, activity_of, entry
from daydream_motives.exchange.statements import roles_in
from daydream_motives.exchange.voice import retold

_TO_SQUARE = 30  # walking minutes: the cities are real and the square is not
_SEX = {"female": ("female", "she/her"), "male": ("male", "he/him"), "woman": ("female", "she/her"),
        "man": ("male", "he/him"), "non-binary": (None, "they/them")}  # fmt: skip
_LEVELS = {"very low": 0.05, "low": 0.15, "medium": 0.5, "moderate": 0.5, "average": 0.5,
           "high": 0.85, "very high": 0.95}  # fmt: skip
_LEVEL = re.compile(r"\b(very low|very high|low|medium|moderate|average|high)\b", re.I)
_FIVE = ("openness", "conscientiousness", "extraversion", "agreeableness", "neuroticism")
_UNUSED = frozenset("n/a none null unemployed self-employed freelance freelancer -".split())
_ABLE = re.compile(
    r"^(?:you are|you're|i am) (?:very |highly )?(?:skilled|proficient|good|adept|experienced|"
    r"knowledgeable|capable|excellent|competent) (?:in|at|with|about|of|on) |"
    r"^(?:skilled|proficient|adept|experienced|competent) (?:in|at|with|on) |"
    r"^(?:you have|you possess|i have) ",
    re.I,
)
_NOT_SHEET = ("nationality", "country_of_residence", "education", "health")
_GONE = re.compile(r"^(?:your|my) late\b", re.I)
_AGE = re.compile(r"\b(\d{1,3})-year-old\b|\bwho is (\d{1,3})\b", re.I)
_OLDER = ("parent", "grandparent", "step_parent")
_YOUNGER = ("child", "grandchild", "step_child")


def read(path: str | Path) -> Imported:
    """The world of a folder of agents, or of one; raises WorldError where there is nobody."""
    source = Source(path, "a folder with *.agent.json files, or one such file")
    report = Report("tinytroupe", str(path))
    files = source.files("*.json") if source.is_folder else [source.path]
    if not files:
        raise source.wrong("a folder without .json files")
    draft = Draft(report)
    agents: list[tuple[Record, dict[str, Any]]] = []
    for file in files:
        report.counts["files"] += 1
        before = len(report.refused)
        data = source.document(file, report)
        if len(report.refused) == before:
            _sort(draft, agents, source.name_of(file), data)
    homes = _homes(draft, [agent.text("residence") for agent, _ in agents])
    people: dict[str, Record] = {}
    for persona, data in agents:
        home = homes[_key(persona.text("residence"))]
        if id := _person(draft, persona, data, home):
            people[id] = persona
    names = Names({id: draft.sheets[id].name for id in people})
    for id, persona in people.items():
        _relationships(draft, names, id, persona)
    report.note("the square, the ways to it and what places restore are made up; so is going to "
                "bed at 22:30 and getting up at 07:00 where no time is given")  # fmt: skip
    return draft.finish(source.path.stem.split(".")[0].title() or "Tinytroupe")


def _sort(draft: Draft, agents: list[tuple[Record, dict[str, Any]]], name: str, data: Any) -> None:
    """A person to make, or something that is none and is kept with the world."""
    report = draft.report
    if not isinstance(data, dict):
        found = type(data).__name__
        report.refused.append(Problem(name, "", f"a {found}", "a mapping with 'persona'"))
        return
    persona = data.get("persona")
    if data.get("type") == "Fragment":
        report.counts["fragments"] += 1
        report.remark(name, "", "a fragment", "traits without a person: kept with the world")
        draft.extensions.setdefault("fragments", {})[name] = data
    elif isinstance(persona, dict):
        agents.append((Record(persona, report, name, "persona"), data))
    elif isinstance(data.get("name"), str):  # an older version has the persona at the top
        agents.append((Record(data, report, name), data))
    else:
        report.counts["other files"] += 1
        report.remark(name, "", str(data.get("title", "a mapping"))[:80],
                      "neither a person nor a fragment: kept with the world")  # fmt: skip
        draft.extensions.setdefault("others", {})[name] = data


def _key(residence: str) -> str:
    return residence.casefold() or "somewhere"


def _homes(draft: Draft, residences: list[str]) -> dict[str, str]:
    """A place for each residence, around a square where all may meet."""
    square = draft.place("The Square", "residence", restores={"company": 0.2, "fun": 0.1})
    homes: dict[str, str] = {}
    for residence in residences:
        if _key(residence) not in homes:
            home = draft.place((residence or "Somewhere")[:120], "residence",
                               restores={"rest": 0.1, "food": 0.4, "company": 0.05})  # fmt: skip
            draft.connect(square, home, _TO_SQUARE)
            homes[_key(residence)] = home
    return homes


def _person(draft: Draft, persona: Record, data: dict[str, Any], home: str) -> str | None:
    name = persona.text("name") or persona.text("full_name")
    short = name.split(" ")[0]
    sex, pronouns = _sex(persona)
    told = _Told(short, (pronouns or "they").split("/")[0], persona)
    traits, sentences = _traits(persona.record("personality"), told)
    occupation = (
        persona.record("occupation")
        if isinstance(persona.data.get("occupation"), dict)
        else Record({"title": persona.data.get("occupation")}, draft.report, persona.source)
    )
    about = [told.say(occupation.text("description"), "occupation"), *sentences]
    routine, habits = _routines(persona, told, home)
    preferences = persona.record("preferences")
    for key in ("interests", "likes", "dislikes"):
        if items := preferences.texts(key):
            listed = "; ".join(told.say(item, key, named=True).rstrip(".") for item in items)
            word = "Is interested in" if key == "interests" else key.title()
            habits.append(f"{word}: {listed}")
    id = draft.person(
        name, persona.source, data, age=persona.age(), sex=sex, pronouns=pronouns,
        occupation=_occupation(occupation),
        description=" ".join(filter(None, about)),
        traits=traits,
        personality=_personality(persona.record("personality")),
        values=[told.say(b, "beliefs").rstrip(".") for b in persona.texts("beliefs")],
        wants=[_want(told, goal) for goal in persona.texts("long_term_goals")],
        skills=[_skill(told, skill) for skill in persona.texts("skills")],
        habits=habits, routine=routine,
        speech=told.say(persona.text("style"), "style"),
        home=home,
    )  # fmt: skip
    if id:
        for fact in persona.texts("other_facts"):
            draft.know(told.say(fact, "other_facts"), known_to=[id], priority=2)
            draft.report.counts["facts as lore of one person"] += 1
        for key in _NOT_SHEET:
            if persona.data.get(key) is not None:
                draft.report.counts[f"{key}: kept, not used"] += 1
        for key in set(persona) - _READ:
            persona.misread(key, persona.data[key], "a field this importer does not know")
    return id


_READ = frozenset(
    """name full_name age gender residence occupation personality preferences beliefs skills style
    long_term_goals behaviors routines relationships other_facts""".split()
) | set(_NOT_SHEET)


class _Told:
    """Retells what is said to one person."""

    def __init__(self, short: str, subject: str, persona: Record) -> None:
        self.short, self.subject, self.persona = short, subject, persona

    def say(self, text: str, key: str, *, named: bool = False) -> str:
        """The text in the third person; quoted, and reported, where the rules are not sure."""
        told = retold(text, self.short, self.subject, named=named)
        if told is None:
            self.persona.misread(key, text, "no rule puts this into the third person for certain")
            return f'In their own words: "{text}"'
        return told


def _sex(persona: Record) -> tuple[str | None, str | None]:
    gender = persona.text("gender")
    if gender and gender.casefold() not in _SEX:
        persona.report.counts["genders the sheet has no word for: kept, not used"] += 1
    return _SEX.get(gender.casefold(), (None, None))


def _occupation(occupation: Record) -> str:
    title, at = occupation.text("title"), occupation.text("organization")
    if title.casefold() in ("", "n/a", "none"):
        return ""
    return title if at.casefold() in _UNUSED or not at else f"{title} at {at}"


def _traits(personality: Record, told: _Told) -> tuple[list[str], list[str]]:
    """What follows "You are", as traits; other sentences, for the description."""
    traits, sentences = [], []
    for text in personality.texts("traits"):
        said = told.say(text, "personality.traits")
        match = re.match(rf"{re.escape(told.short)} is (?!the\b|a\b|an\b)(.+?)\.?$", said)
        if match:
            traits.append(match[1])
        elif len(said.split()) <= 3:
            traits.append(said.rstrip(".").lower())
        else:
            sentences.append(said)
    return traits, sentences


def _personality(personality: Record) -> dict[str, Any]:
    big_five = personality.record("big_five")
    levels: dict[str, float] = {}
    for trait in big_five:
        found = [_LEVELS[m.lower()] for m in
                 _LEVEL.findall(big_five.text(trait).partition(".")[0])]  # fmt: skip
        if trait in _FIVE and found:
            levels[trait] = round(sum(found) / len(found), 3)
        else:
            big_five.misread(trait, big_five.data[trait], "High, Medium or Low was expected here")
    return {"big_five": levels} if levels else {}


def _want(told: _Told, goal: str) -> str:
    said = told.say(goal, "long_term_goals", named=True).rstrip(".")
    said = re.sub(r"^(?:he|she|they) wants? (?=to\b)", "", said, flags=re.I)
    return f"{said[0].lower()}{said[1:]}" if re.match(r"To\b", said) else said


def _skill(told: _Told, skill: str) -> str:
    """ "You are skilled in baking" -> "baking"."""
    bare = _ABLE.sub("", skill)
    said = told.say(bare, "skills", named=True).rstrip(".")
    return f"{said[0].lower()}{said[1:]}" if said[1:2].islower() else said


def _routines(persona: Record, told: _Told, home: str) -> tuple[list[Entry], list[str]]:
    """Entries where a time is given, habits for the rest; everyone sleeps."""
    behaviors = persona.record("behaviors")
    habits = [told.say(text, "behaviors.general") for text in behaviors.texts("general")]
    entries: list[Entry] = []
    routines = behaviors.record("routines")
    for part in routines:
        for text in routines.texts(part):
            said = told.say(text, f"behaviors.routines.{part}", named=True)
            said = re.sub(r"^(?:he|she|they|wake up)\b ?", _start, said, flags=re.I)
            times = clock_times(text)
            if times and part.casefold() not in ("weekend", "weekends"):
                activity = activity_of(said)
                place = home if re.search(r"\bhome\b|sleep|wak", activity) else None
                entries.append(entry(times[0], activity, place))
                persona.report.counts["routine entries with a time"] += 1
            else:
                habits.append(f"{part.replace('_', ' ').capitalize()}: {said.rstrip('.')}")
    for key in behaviors:
        if key not in ("general", "routines"):
            habits += [told.say(text, f"behaviors.{key}") for text in behaviors.texts(key)]
    if not any(e["activity"] == "sleep" for e in entries):
        entries.append(entry("22:30", "sleep", home))
    if not any(e["at"] < "11:00" and e["activity"] != "sleep" for e in entries):
        entries.append(entry("07:00", "getting up", home))
    return entries, habits


def _start(match: re.Match[str]) -> str:
    return "wakes up " if match[0].lower().startswith("wake") else ""


def _relationships(draft: Draft, names: Names, id: str, persona: Record) -> None:
    """Ties to people of the set with this very name; others are what this person knows of."""
    report, sheet = draft.report, draft.sheets[id]
    told = _Told(sheet.short_name, sheet.subject, persona)
    for item in persona.records("relationships"):
        name, said = item.text("name"), item.text("description")
        report.counts["relationships told of"] += 1
        kinds, felt = roles_in(re.split(r"[,.]| who | which ", said)[0])
        story = told.say(said, "relationships")
        # "Ana's best friend, who …" alone says nothing of whom this is.
        note = f"{name} is {story}" if re.match(r"(?:your|my|an?|the)\b", said, re.I) else (
            f"{name}: {story}" if story else f"{sheet.short_name} knows {name}"
        )  # fmt: skip
        note = re.sub(r"(?<= is )(?:An?|The) ", lambda m: m[0].lower(), note)
        other = names.exact(name)
        if other and (doubt := _doubt(draft, id, other, kinds, said)):
            item.misread("name", name, doubt)
            other = None
        if other and other != id:
            given = {"kinds": tuple(kinds) or ("acquaintance",), "story": note, **felt}
            if draft.tie(id, other, persona.source, f"{item.path}", **given):
                report.counts["relationships within the set"] += 1
            else:
                report.counts["relationships refused"] += 1
            continue
        if not name and not said:
            item.misread("name", None, "neither a name nor a description")
            continue
        if _GONE.match(said):
            note = note.replace(" is ", " was ", 1)
        draft.know(note, known_to=[id], priority=4 if set(kinds) & _CLOSE else 3)
        report.counts["relationships to people outside the set, as lore"] += 1
    report.note("relationships are found by whole names alone; a first name is nobody's in "
                "particular")  # fmt: skip


_CLOSE = frozenset("spouse partner child parent best_friend sibling".split())


def _doubt(draft: Draft, id: str, other: str, kinds: list[str], said: str) -> str:
    """Why somebody of the same name is somebody else; empty where nothing speaks against it."""
    mine, theirs = draft.sheets[id].age, draft.sheets[other].age
    if (match := _AGE.search(said)) and theirs is not None:
        stated = int(match[1] or match[2])
        if stated != theirs:
            return f"the one of this name in the set is {theirs}, not {stated}"
    if mine is None or theirs is None:
        return ""
    if set(kinds) & set(_YOUNGER) and theirs >= mine:
        return f"the one of this name in the set is {theirs}: too old for this"
    if set(kinds) & set(_OLDER) and theirs <= mine:
        return f"the one of this name in the set is {theirs}: too young for this"
    return ""
