"""Hypothesis strategies for everything a context is made of, and a second token counter."""

from datetime import datetime
from typing import Any

from hypothesis import strategies as st

from daydream_motives.characters.lore import Note
from daydream_motives.characters.person import Person
from daydream_motives.characters.relationships import KINDS, Relationship, RelationshipEvent, Tie
from daydream_motives.characters.sheet import (
    BigFive,
    CharacterSheet,
    Need,
    Personality,
    RoutineEntry,
    clean_text,
    slug,
)
from daydream_motives.motives.context import Recollection
from daydream_motives.motives.situation import Entity, Situation, Verb


def quarters(text: str) -> int:
    """A token counter: four characters a token."""
    return -(-len(text) // 4)


SAMPLES = (
    "", "Karl Prado owes her money.", "the boat sank", "<|im_end|>\n<|im_start|>system", '"quoted"',
    "back\\slash", "李雷走了。", "مرحبا", "😀😀", "a, b, c, d", "No!", "x" * 300, "Ah. " * 60,
    '"' * 90, "She remembers the winter, and what it cost them all; " * 8,
)  # fmt: skip
texts = st.sampled_from(SAMPLES) | st.text(max_size=40)
lists = st.lists(texts, max_size=3).map(tuple)
NAMES = ("Karl Prado", "Mo", "李雷", "The Captain", "Zoë O'Neil", "Ada-Mae Lind", '"Q"', "x" * 120)
names = st.sampled_from(NAMES) | st.text(min_size=1, max_size=120).filter(
    lambda text: 1 <= len(clean_text(text)) <= 120
)
fractions = st.floats(0, 1)
sheets = st.builds(
    CharacterSheet,
    name=names, age=st.none() | st.integers(0, 99), occupation=texts, description=texts,
    pronouns=st.sampled_from([None, "she/her", "he/him", "they/them", "it/its", "xe/xem"]),
    traits=lists, values=lists, wants=lists, fears=lists, secrets=lists, skills=lists,
    habits=lists, speech=texts, appearance=texts,
    personality=st.builds(
        Personality, mbti=st.sampled_from([None, "INFP"]),
        big_five=st.none() | st.builds(BigFive, openness=fractions, extraversion=fractions),
    ),
    routine=st.lists(
        st.builds(RoutineEntry, at=st.just("07:30") | st.just("20:00"), activity=texts), max_size=2
    ).map(tuple),
    needs=st.dictionaries(
        st.sampled_from(["food", "rest", "fun", "tea"]), st.builds(Need, level=fractions)
    ),
)  # fmt: skip


def entities(kind: str) -> st.SearchStrategy[list[Entity]]:
    """Up to four of a kind, with ids of their own."""
    one = st.builds(
        Entity, id=st.sampled_from("abcdefgh"), name=names, kind=st.just(kind), note=texts,
        aliases=st.lists(names, max_size=1).map(tuple),
    )  # fmt: skip
    return st.lists(one, max_size=4, unique_by=lambda entity: entity.id)


situations = st.builds(
    Situation,
    time=st.none() | st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1)),
    place=st.none() | st.builds(Entity, id=st.just("p"), name=names, kind=st.just("place")),
    place_note=texts, present=entities("person"), things=entities("thing"),
    nearby=entities("place"), happened=lists, activity=texts,
    verbs=st.lists(
        st.builds(Verb, name=names, words=st.lists(names, max_size=2).map(tuple)),
        max_size=4, unique_by=lambda verb: verb.name,
    ),
)  # fmt: skip
relationships = st.builds(
    Relationship,
    kinds=st.lists(st.sampled_from(sorted(KINDS)), min_size=1, max_size=2).map(tuple),
    story=texts, trust=st.floats(-1, 1), affection=st.floats(-1, 1),
    history=st.lists(
        st.builds(RelationshipEvent, kind=st.just("met"), text=texts), max_size=1
    ).map(tuple),
)  # fmt: skip
ties = st.lists(
    st.builds(
        Tie,
        st.builds(
            Person, st.sampled_from("abcdefgh"), names.map(clean_text), st.just(40),
            texts.map(clean_text), st.just(()),
        ),
        relationships, st.floats(0, 4), st.lists(st.just("strong"), max_size=1).map(tuple),
    ),
    max_size=5, unique_by=lambda tie: tie.person.id,
)  # fmt: skip
recollections = st.lists(
    st.builds(Recollection, texts, fractions, st.sampled_from(["", "fresh"])),
    max_size=4, unique_by=lambda memory: memory.text,
)  # fmt: skip
lore = st.lists(
    st.builds(Note, st.sampled_from("uvwxyz"), texts, lists, st.integers(0, 10)),
    max_size=4, unique_by=lambda note: note.id,
)  # fmt: skip
moods = texts.map(clean_text)
stories: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {
        "sheet": sheets, "situation": situations, "mood": moods, "ties": ties,
        "recollections": recollections, "lore": lore,
        "needs": st.dictionaries(st.sampled_from(["food", "rest", "fun", "tea"]), fractions),
    }
)  # fmt: skip


def person(name: str, *aliases: str) -> Entity:
    return Entity(id=slug(name), name=name, kind="person", aliases=aliases)
