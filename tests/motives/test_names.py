"""Names a model invented: found, put right when a slip, and no false alarm on ordinary English."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daydream_motives.characters.sheet import CharacterSheet
from daydream_motives.motives.names import (
    WORD,
    allowed_words,
    begins_sentence,
    repair_names,
    unknown_names,
)

TOLD = "Ines Prado is at the Old Quay with Karl-Heinz O'Neil and the Widow's dog. It rains."


def unknown(text: str, told: str = TOLD) -> tuple[str, ...]:
    return unknown_names(text, allowed_words(told), told)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Ines wants to see Marta.", ("Marta",)),
        ("Ines wants to see Marta and Marta's brother Udo.", ("Marta", "Udo")),
        ("Marta is late.", ("Marta",)),
        ("Ines asks Jean-Luc.", ("Jean-Luc",)),
        ("Ines asks D'Arcy.", ("D'Arcy",)),
        ("Ines asks Łukasz and Éva.", ("Łukasz", "Éva")),
        ("Ines asks Дмитрий.", ("Дмитрий",)),
        ("Ines waits. Udo sings.", ("Udo",)),
    ],
)
def test_invented_names_are_found(text: str, found: tuple[str, ...]) -> None:
    assert set(found) <= set(unknown(text))


@pytest.mark.parametrize(
    "text",
    [
        "", "ines wants to eat.", "Ines goes to the Old Quay.", "Ines Prado's boat, Prado’s boat.",
        "Karl asks Heinz, Karl-Heinz and O'Neil.", "The Widow barks.", "The Quay is empty.",
        "She waits. He waits. They wait!", "Because it rains: If so, then — Maybe.",
        "Ines says “It rains.”", "Finding Karl takes time. Quickly, Ines runs.",
        "Ines waits until Monday for Mr O'Neil.", "It's late. She'll wait.", "She’ll wait.",
        "Ines wants to go, because I am hungry and I'm tired.", "Ines waits for January.",
        "李雷想走了。", "مرحبا بك", "नमस्ते दुनिया", "😀 ok", "A 3-day walk. I wait.",
        "Rains come. With Ines. Dog days.",
    ],
)  # fmt: skip
def test_ordinary_text_holds_no_unknown_names(text: str) -> None:
    assert unknown(text) == ()


@pytest.mark.parametrize("start", ["Ask", "Help", "Visit"])
def test_a_plain_verb_that_begins_a_sentence_is_no_name(start: str) -> None:
    assert unknown(f"{start} Karl about it.") == ()


def test_the_same_name_in_another_unicode_form_is_known() -> None:
    told = CharacterSheet(name=unicodedata.normalize("NFD", "Zoë Brûlé")).name
    assert unknown("Zoë waits for Brûlé.", told) == ()


capitals = st.lists(
    st.sampled_from(["Ines", "O'Neil", "Ada-Mae", "Widow's", "Élan", "李雷", "Quay.", "(Old"])
    | st.text("aAbBzZéÉ'’-.,!? \n", min_size=1, max_size=12)
    | st.text(max_size=8),
    max_size=12,
)  # fmt: skip


@given(capitals, st.data())
def test_a_text_of_words_of_the_context_has_no_unknown_names(
    parts: list[str], data: st.DataObject
) -> None:
    told = " ".join(parts)
    known = [*told.split(), *WORD.findall(told)]
    text = " ".join(data.draw(st.lists(st.sampled_from(known)))) if known else ""
    assert unknown(text, told) == ()


@given(st.text(), st.text())
def test_unknown_names_are_words_of_the_text_each_once(text: str, told: str) -> None:
    found = unknown(text, told)
    assert len(set(found)) == len(found)
    assert all(name in text and any(map(str.isupper, name)) for name in found)


@pytest.mark.parametrize(
    ("text", "repaired"),
    [
        ("Ask Elana now.", "Ask Elena now."),
        ("Elana's boat and Elana", "Elena's boat and Elena"),
        ("See Ekhardt", "See Eckhardt"),
    ],
)
def test_a_slip_is_put_right(text: str, repaired: str) -> None:
    found = [w for w in ("Elana", "Ekhardt") if w in text]
    assert repair_names(text, found, ["Elena Eckhardt"]) == (repaired, ())


@pytest.mark.parametrize("word", ["Marta", "Ela", "Alena", "Elenora", "Eleni", "Eli"])
def test_what_is_no_slip_is_left_and_marked(word: str) -> None:
    assert repair_names(f"Ask {word}.", [word], ["Elena Eckhardt", "Eli-Ann"]) == (
        f"Ask {word}.", (word,)
    )  # fmt: skip


def test_a_repair_leaves_words_that_hold_the_slip() -> None:
    assert repair_names("Elana, Elanas", ["Elana"], ["Elena"])[0] == "Elena, Elanas"


def test_without_known_names_nothing_is_put_right() -> None:
    assert repair_names("Ask Elana.", ["Elana"], []) == ("Ask Elana.", ("Elana",))


@given(st.text(), st.lists(st.text(min_size=1), max_size=3), st.lists(st.text(), max_size=3))
def test_repair_never_fails(text: str, words: list[str], known: list[str]) -> None:
    assert set(repair_names(text, words, known)[1]) <= set(words)


@pytest.mark.parametrize(
    ("before", "begins"),
    [("", True), ("  ", True), ("He left. ", True), ("Look! “", True), ("so: ", True),
     ("He said ", False), ("so, ", False)],
)  # fmt: skip
def test_where_a_sentence_begins(before: str, begins: bool) -> None:
    assert begins_sentence(before) is begins
