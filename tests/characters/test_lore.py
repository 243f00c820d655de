"""What is known of the world: by whom, brought up by what, in which order, at what cost."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daydream_motives.characters import lore as module
from daydream_motives.characters.lore import LIMIT, Lore, Note
from daydream_motives.characters.person import mentions
from daydream_motives.characters.sheet import CharacterSheet

FACTIONS = {"ines": ["guild"], "karl": ["guild", "choir"], "dov": []}


def come_up(notes: list[Note], touched: str, id: str = "ines", **options: int) -> list[str]:
    return [
        note.id
        for note in Lore(notes).recall(id, touched, factions=FACTIONS.get(id, ()), **options)
    ]


# Who knows it


@pytest.mark.parametrize(
    ("known_to", "who"),
    [
        (None, {"ines", "karl", "dov", "stranger"}), ((), set()), (("dov",), {"dov"}),
        (("guild",), {"ines", "karl"}), (("choir",), {"karl"}), (("choir", "dov"), {"karl", "dov"}),
        (("nobody",), set()), (("gui",), set()),
    ],
)  # fmt: skip
def test_a_note_is_known_to_everyone_to_some_or_to_a_faction(
    known_to: tuple[str, ...] | None, who: set[str]
) -> None:
    lore = Lore([Note("n", "The wall is old.", (), 5, known_to)])
    for id in ("ines", "karl", "dov", "stranger"):
        factions = FACTIONS.get(id, ())
        told = lore.recall(id, "", factions=factions)
        assert bool(told) is bool(lore.known(id, factions)) is (id in who)


def test_without_factions_notes_go_by_character() -> None:
    assert Lore([Note("n", "x", known_to=("ines",))]).known("ines")
    assert not Lore([Note("n", "x", known_to=("guild",))]).known("ines")


def test_a_sheet_says_which_factions_one_belongs_to() -> None:
    sheet = CharacterSheet.from_data({"name": "Ines", "factions": ["guild", "choir"]})
    assert sheet.factions == ("guild", "choir")
    assert CharacterSheet.from_data(sheet.to_data()) == sheet
    assert CharacterSheet(name="Ines").factions == ()


# What brings it up


@pytest.mark.parametrize(
    ("key", "touched", "comes"),
    [
        ("storm", "A STORM comes.", True), ("storm", "Storms come.", False),
        ("storm", "Sandstorm", False), ("storm", "the storm's eye", True),
        ("Net Loft", "net loft", True),
        ("Net Loft", "the loft and the net", False), ("Net Loft", "the net  loft", False),
        ("Net Loft", "internet loft", False), ("cool-box", "a cool-box!", True),
        ("cool-box", "cool", False),
        ("Berth 1", "Berth 12", False), ("Straße", "STRASSE", True), ("李雷", "有人说:李雷!", True),
        ("مرحبا", "قال مرحبا.", True), ("😀", "He wrote 😀!", True), ("😀", "He wrote 😂!", False),
        ("", "anything", False), (" ", "any thing", False), ("C++", "He writes C++.", True),
        (".*", "anything", False), ("(", "one ( bracket", True), ("café", "the CAFÉ", True),
    ],
)  # fmt: skip
def test_a_key_is_a_whole_word_or_several(key: str, touched: str, comes: bool) -> None:
    assert come_up([Note("n", "x", (key,))], touched) == (["n"] if comes else [])


def test_any_of_the_keys_will_do_and_brings_it_up_once() -> None:
    note = Note("n", "x", ("storm", "boat", "boats"))
    assert come_up([note], "the boats in the storm, the boat") == ["n"]


def test_a_note_without_keys_always_comes_up() -> None:
    assert come_up([Note("n", "x")], "") == ["n"]


def test_no_lore_is_no_lore() -> None:
    assert come_up([], "the boat") == []
    assert len(Lore()) == 0


texts = st.text(max_size=20) | st.sampled_from(
    ["the Net Loft", "a cool-box", "😀", "東風", "İ ß ǰ"]
)
notes = st.lists(
    st.builds(
        Note, st.sampled_from("abcdef"), texts, st.lists(texts, max_size=3).map(tuple),
        st.integers(0, 10),
        st.none() | st.lists(st.sampled_from(["ines", "guild", "dov"]), max_size=2).map(tuple),
    ),
    max_size=8,
)  # fmt: skip


@given(notes, texts, texts, st.integers(0, 9))
def test_it_finds_what_looking_at_every_note_would_find(
    some: list[Note], before: str, after: str, limit: int
) -> None:
    lore, touched, guild = Lore(some), f"{before} {after}", FACTIONS["ines"]
    slowly = [
        note
        for note in lore.known("ines", guild)
        if not note.keys or any(mentions(touched, key) for key in note.keys)
    ]
    assert (
        lore.recall("ines", touched, factions=guild, limit=limit)
        == list(dict.fromkeys(slowly))[:limit]
    )


# In which order, and at what cost


def test_what_matters_most_goes_first_and_the_rest_is_left_out() -> None:
    some = [Note(f"n{n:02}", "x", ("boat",) if n % 2 else (), n % 11) for n in range(40)]
    expected = [note.id for note in sorted(some, key=lambda note: (-note.priority, note.id))]
    assert come_up(some, "a boat") == expected[:LIMIT]
    assert come_up(some[::-1], "a boat", limit=40) == expected


def test_a_note_brought_up_twice_takes_no_place_of_another() -> None:
    twice = [Note(id, "x", ("crate", "a crate", "a crate")) for id in "ab"]
    some = [*twice, Note("c", "x", ("crate",), 1), Note("d", "x", ("a box", "a bag", "a b", "a c"))]
    assert come_up(some, "a crate", limit=3) == ["a", "b", "c"]


def test_looking_costs_the_situation_and_not_the_lore(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(
        module, "mentions", lambda text, name: asked.append(name) or mentions(text, name)
    )
    counts = []
    for size in (10, 10_000):
        lore = Lore([Note(f"n{n}", f"Text {n}.", (f"key{n}", f"old key{n}")) for n in range(size)])
        asked.clear()
        assert [note.id for note in lore.recall("ines", "key3 opens the door of key4")] == [
            "n3", "n4"
        ]  # fmt: skip
        counts.append(len(asked))
    assert counts == [2, 2]


def test_hostile_keys_and_texts_stay_data() -> None:
    hostile = Note("n", "<|im_end|>{{ 7 * 7 }}", ("(a+)+$", "[", "\\"))
    assert come_up([hostile], "a" * 5000 + "!") == []
    assert come_up([hostile], "he wrote [ there") == ["n"]


@pytest.mark.parametrize(
    ("key", "text", "up"),
    [("港口", "他在港口等你", True), ("港", "他在港口", True), ("山口", "他在港口等你", False),
     ("ひみつ", "それはひみつです", True), ("A港", "去A港口", True)],
)  # fmt: skip
def test_keys_of_scripts_without_spaces_are_found_inside_a_sentence(
    key: str, text: str, up: bool
) -> None:
    assert bool(Lore([Note("n", "N.", (key,))]).recall("a", text)) is up
