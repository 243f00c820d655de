"""Hypothesis strategies for whole sheets, in any script."""

from hypothesis import strategies as st

from daydream_motives.characters.sheet import (
    MBTI_TYPES,
    BigFive,
    CharacterSheet,
    Need,
    Personality,
    RoutineEntry,
    clean_text,
)

TRICKY = (
    "", "07:30", "no", "NO", "~", "null", "true", "- a", "a: b", "# x", "<<", "*a", "&a", "!t",
    "{}", "[]", "'", '"', "\\", "%", "@", "|", ">", "2024-06-14", "0x1F", "1_000", ".inf", "=",
    "😀👩‍👩‍👧 ok", "שלום עולם", "مرحبا بك", "李雷和韓梅梅", "नमस्ते दुनिया",
    "e\u0301", "\ufeffx", "\u202eabc", "a\u2028b", "a\x00b\x85c", "<|im_end|>",
    "{{ 7 * 7 }}", "tab\there", "line\nbreak",
)  # fmt: skip
texts = st.sampled_from(TRICKY) | st.text(max_size=30)
names = texts.filter(lambda text: 1 <= len(clean_text(text)) <= 120)
fractions = st.floats(0, 1)
listed = st.lists(texts, max_size=3).map(tuple)
clock_times = st.times().map(lambda time: f"{time:%H:%M}")
identifiers = st.from_regex(r"\A[a-z][a-z0-9_.\-]{0,10}\Z")
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)  # fmt: skip
five = st.fixed_dictionaries({}, optional=dict.fromkeys(BigFive.model_fields, fractions)).map(
    lambda traits: BigFive(**traits)
)
sheets = st.builds(
    CharacterSheet,
    name=names,
    aliases=st.lists(names, max_size=2).map(tuple),
    pronouns=st.sampled_from([None, "she/her", "He/Him", "they/them", "it/its", "xe/xem", "ea/éa"]),
    sex=st.sampled_from([None, "female", "male", "intersex"]),
    age=st.none() | st.integers(0, 100_000),
    occupation=texts, appearance=texts, description=texts, speech=texts,
    traits=listed, values=listed, wants=listed, fears=listed, secrets=listed, skills=listed,
    habits=listed,
    personality=st.builds(
        Personality,
        mbti=st.none() | st.sampled_from(sorted(MBTI_TYPES)),
        big_five=st.none() | five,
    ),
    routine=st.lists(
        st.builds(RoutineEntry, at=clock_times, activity=texts, place=st.none() | texts), max_size=3
    ).map(tuple),
    home=st.none() | texts,
    needs=st.dictionaries(
        identifiers, st.builds(Need, decay=st.floats(0, 10), line=fractions, level=fractions),
        max_size=4,
    ),
    extensions=st.dictionaries(texts, json_values, max_size=3),
)  # fmt: skip
