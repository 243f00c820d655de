"""Small pieces of English: agreement, lists, times, feelings. Knows nothing of budgets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

from daydream_motives.characters.relationships import Relationship

_FORMS = {
    "she": ("her", "her"),
    "he": ("him", "his"),
    "it": ("it", "its"),
    "they": ("them", "their"),
}
_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_NEED_WORDS = {
    "food": ("hungry", "starving"),
    "rest": ("tired", "exhausted"),
    "company": ("lonely", "desperately lonely"),
    "fun": ("bored", "bored to tears"),
    "safety": ("uneasy", "afraid"),
    "health": ("unwell", "very ill"),
    "money": ("short of money", "penniless"),
    "comfort": ("uncomfortable", "in great discomfort"),
}
_KIND_WORDS = {
    "crush": "secret love",
    "fiance": "betrothed",
    "aunt_or_uncle": "aunt or uncle",
    "niece_or_nephew": "niece or nephew",
    "wrongdoer": "wrongdoer, who did {them} harm",
    "in_law": "relative by marriage",
    "ex_spouse": "former spouse",
    "ex_partner": "former partner",
}


class Words:
    """A character as a subject in English sentences; unknown pronouns fall back on the name."""

    def __init__(self, subject: str, name: str) -> None:
        self.plural = subject == "they"
        self.subject = subject
        self.Subject = subject[:1].upper() + subject[1:] if subject in _FORMS else name
        self.object, self.possessive = _FORMS.get(subject, (name, f"{name}'s"))

    def verb(self, singular: str) -> str:
        """The verb's form that agrees with the subject; `singular` is its third person."""
        if not self.plural or singular == "can":
            return singular
        return {"is": "are", "has": "have"}.get(singular, singular.removesuffix("s"))

    def say(self, singular: str, what: str, link: str = "") -> str:
        """ "She fears the sea", or nothing where `what` is empty."""
        return f"{self.Subject} {self.verb(singular)} {link}{what}" if what else ""


def sentence(text: str) -> str:
    """The text with a capital and a full stop; empty stays empty."""
    text = text.strip()
    if not text:
        return ""
    text = text[0].upper() + text[1:]
    return text if text.rstrip("\"'”’)")[-1:] in tuple(".!?…。！？") else f"{text}."


def joined(items: Iterable[str], comma: str = ", ") -> str:
    """ "a, b and c"; empty items are left out."""
    parts = [item.strip().rstrip(".") for item in items if item.strip()]
    if len(parts) < 2:
        return "".join(parts)
    return f"{comma.join(parts[:-1])} and {parts[-1]}"


def age_phrase(age: int | None, occupation: str) -> str:
    """ "a 34-year-old baker", "a baker", "34 years old"."""
    if age is None:
        return f"{_article(occupation)} {occupation}"
    if not occupation:
        return f"{age} years old"
    return f"{'an' if str(age)[0] == '8' or age in (11, 18) else 'a'} {age}-year-old {occupation}"


def _article(noun: str) -> str:
    return "an" if noun[:1].lower() in "aeiou" else "a"


def kind_phrase(kinds: Iterable[str]) -> str:
    """ "mentor and best friend"."""
    return joined([_KIND_WORDS.get(kind, kind.replace("_", " ")) for kind in kinds]).replace(
        "{them}", "them"
    )


def feelings(rel: Relationship) -> list[str]:
    """The axes as words, strongest first; nothing where they are weak."""
    scales = (
        (rel.affection, ("deep affection", "fondness"), ("hatred", "dislike")),
        (rel.trust, ("complete trust", "trust"), ("deep distrust", "distrust")),
        (rel.respect, ("great respect", "respect"), ("contempt", "little respect")),
        (rel.attraction, ("strong attraction", "attraction"), ("repulsion", "coldness")),
    )
    found = []
    for value, (strong, some), (worst, bad) in scales:
        if abs(value) >= 0.35:
            word = (strong if value >= 0.7 else some) if value > 0 else (
                worst if value <= -0.7 else bad
            )  # fmt: skip
            found.append((-abs(value), word))
    return [word for _, word in sorted(found)]


def pressing(needs: Mapping[str, tuple[float, float]]) -> list[str]:
    """Needs (level, line) below their line as adjectives, most pressing first."""
    below = sorted((level - line, id) for id, (level, line) in needs.items() if level < line)
    words = []
    for gap, id in below:
        some, great = _NEED_WORDS.get(id, (f"in need of {id}", f"in desperate need of {id}"))
        words.append(great if gap < -0.2 else some)
    return words


def part_of_day(hour: int) -> str:
    for until, word in ((5, "night"), (12, "morning"), (14, "midday"), (18, "afternoon")):
        if hour < until:
            return word
    return "evening" if hour < 22 else "night"


def time_phrase(time: datetime | None, place: str, words: Words) -> str:
    """ "It is Friday morning, 08:15, and she is at the Old Quay"; any part may be missing."""
    where = f"{words.subject if words.subject in _FORMS else words.Subject} {words.verb('is')} at"
    if time is None:
        return f"{words.Subject} {words.verb('is')} at {place}" if place else ""
    when = f"It is {_DAYS[time.weekday()]} {part_of_day(time.hour)}, {time:%H:%M}"
    return f"{when}, and {where} {place}" if place else when


def day_phrase(at: datetime | None, now: datetime | None) -> str:
    """ "Yesterday", "On Friday", "Weeks ago" before what happened then; nothing for today."""
    if at is None or now is None:
        return ""
    days = (now.date() - at.date()).days
    if days <= 0:
        return ""
    if days == 1:
        return "Yesterday"
    if days < 7:
        return f"On {_DAYS[at.weekday()]}"
    return "Last week" if days < 14 else "Weeks ago" if days < 60 else "Long ago"


def recollection(
    text: str, *, at: datetime | None, now: datetime | None, times: int, source: str, tellings: int
) -> str:
    """What comes to mind as a sentence: when, from whom, how often, and what."""
    if not text:
        return ""
    heard = f"{source} {'says' if tellings < 2 else 'has heard'}" if source else ""
    often = f" ({times} times so far)" if times > 1 else ""
    head = ", ".join(part for part in (day_phrase(at, now) if not source else "", heard) if part)
    told = f"{text.rstrip('. ')}{often}." if often else sentence(text)
    return f"{head}: {told}" if head else told
