"""From "you" and "I" to the third person, by rules. Knows nothing of worlds.

Simple English only: what the rules are not sure of gives None, and callers keep the text as it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

_FORMS = {
    "she": ("she", "her", "her", "hers", "herself"),
    "he": ("he", "him", "his", "his", "himself"),
    "it": ("it", "it", "its", "its", "itself"),
    "they": ("they", "them", "their", "theirs", "themselves"),
}
_LONG = 20_000  # characters; what is longer is no description
_TOKEN = re.compile(r"\w+(?:['’-]\w+)*|[^\w]+")
_WORD = re.compile(r"\w")
_SPLIT = re.compile(r"^(you|i|we)['’](\w+)$", re.IGNORECASE)
_ADVERBS = frozenset(
    """often sometimes usually always never also really just still now then even seldom once both
    first rather already almost simply ever soon deeply frequently genuinely""".split()
)
_LY_VERBS = frozenset("rely apply reply supply fly multiply imply comply rally bully".split())
_IRREGULAR = {
    "are": "is", "am": "is", "were": "was", "have": "has", "do": "does", "don't": "doesn't",
    "aren't": "isn't", "haven't": "hasn't", "weren't": "wasn't", "go": "goes", "be": "is",
}  # fmt: skip
_PLURAL = {"am": "are", "was": "were", "wasn't": "weren't"}
_MODALS = frozenset(
    """can could will would may might must shall should cannot can't couldn't won't wouldn't
    mustn't shouldn't had hadn't did didn't was wasn't used isn't""".split()
)
_PAST = frozenset(
    """went grew met knew felt took saw made began became learnt left lost spent taught found kept
    fell chose won built came gave got heard held led paid ran said sold sent spoke stood thought
    told understood wrote dreamt rose drew brought bought fought sought caught drove broke
    slept forgot hid swore bore wore flew""".split()
)
_ED_VERBS = frozenset("need feed succeed proceed exceed speed breed bleed heed embed".split())
_CLAUSE = frozenset(
    """that because when whenever if and but or where who whom which while as since than what how
    why although though so whether until before after unless yet whose then""".split()
)
_BEFORE_OBJECT = frozenset(
    """of for with to from at by about in on than like around near against between toward towards
    without among behind beside upon into over help helps helped helping make makes made making let
    lets gives give gave giving brings bring brought keeps keep kept keeping see sees saw support
    supports supporting teach teaches taught tell tells told asks ask want wants inspires inspire
    call calls called ask asked allows allow provides motivate motivates challenge challenges
    drives leave leaves left remind reminds encourages encourage helped shows show showed
    know knows drive lead leads led holds hold""".split()
)
_AFTER_OBJECT = frozenset(
    """to with in on at for from as of by about when while because who which whenever through into
    during after before since unwind deal cope navigate balance stay feel manage maintain
    process and or but if so over out up down both a the more better""".split()
)
# Verbs that are hardly ever nouns: after "and" they belong to the subject before it.
_VERBS = frozenset(
    """enjoy prefer believe strive tend appreciate maintain thrive listen encourage engage
    participate prioritize prioritise seek avoid feel find keep make take spend try aspire
    struggle are have do don't am were hope want wish like approach communicate
    collaborate inspire motivate adapt become remain think know need learn teach read write speak
    bring give get go come see say tell hold lead stand serve protect fight provide respect
    possess understand create build explore grow sell wear carry live reside advocate
    attend manage rely require consider cherish admire adore embrace express handle pay
    dream excel frequent own ensure uphold wield oversee overthink worry dislike hate
    organize organise help contribute collect bake sing eat pursue follow put""".split()
)
# These are nouns as often as verbs; what follows tells.
_EITHER = frozenset(
    """love care value work use cook talk play walk study travel share look focus open
    experiment volunteer host""".split()
)
_AFTER_VERB = frozenset(
    """the a an to about for with in on at his her their its my your that others people it them him
    being having doing making helping every each new up deeply""".split()
)
_NO_INFINITIVE = frozenset("the a an all his her their its my your this that others some".split())
_OTHERS = frozenset("he him his she her hers they them their theirs".split())
# After one of these a pronoun could mean two people.
_ROLES = frozenset(
    """friend wife husband spouse partner son daughter child brother sister sibling mother father
    colleague coworker neighbor neighbour mentor boss manager housemate boyfriend girlfriend
    customer cousin aunt uncle classmate""".split()
)
_TOGETHER = re.compile(r"\b(?:each other|one another)\b")
_SPOKEN_TO = re.compile(r"\b(?:you|your|yours|yourself)\b", re.IGNORECASE)
_SPEAKING = re.compile(r"(?<![\w.])(?:I|I['’]\w+|[Mm]y|[Mm]yself|[Mm]ine|me)(?![\w.])")


@dataclass(slots=True)
class _Telling:
    """The state of one retelling: who it is about and what has been said so far."""

    name: str
    forms: tuple[str, ...]
    others: frozenset[str]
    known: bool = False  # the pronoun is clear: it was named, and no one else since
    conjugate: bool = False  # a verb is due
    singular: bool = False  # the clause's subject is the one told about, and not "they"
    infinitive: bool = False  # since the subject's verb there was "to" or a modal
    alone: bool = False  # since the last full stop the subject was one person, not "they"
    two: bool = False  # in this sentence "you" are two people
    out: list[str] = field(default_factory=list)


def third_person(
    text: str, name: str, subject: str = "they", *, first: bool = False,
    others: Iterable[str] = (), named: bool = False,
) -> str | None:  # fmt: skip
    """`text` about "you" (or "I", if `first`) as a text about `name`; None where unsure.

    `subject` is the pronoun as a subject, fit to begin with if the person is `named` before the
    text; after one of the names in `others` a pronoun would be ambiguous.
    """
    words = frozenset(w.casefold() for other in others for w in other.split())
    state = _Telling(name, _FORMS.get(subject, _FORMS["they"]), words, known=named)
    tokens = _tokens(text)
    for index, token in enumerate(tokens):
        _tell(state, tokens, index, token, first)
    told = re.sub(r" {2,}", " ", "".join(state.out)).strip()
    if _left(told, name):
        return None
    return _capital(told)


def _tokens(text: str) -> list[str]:
    found: list[str] = []
    for token in _TOKEN.findall(text.replace("’", "'")):
        if match := _SPLIT.match(token):
            verb = {"re": "are", "ve": "have", "m": "am", "ll": "will", "d": "would"}
            found += [match[1], " ", verb.get(match[2].lower(), match[2])]
        else:
            found.append(token)
    return found


def _around(tokens: list[str], index: int, step: int) -> str:
    """The word before or after, lower case; a mark of punctuation; empty at an end."""
    at = index + step
    while 0 <= at < len(tokens):
        token = tokens[at]
        if _WORD.search(token):
            return token.lower()
        if mark := token.strip():
            return mark[0]
        at += step
    return ""


def _tell(state: _Telling, tokens: list[str], index: int, token: str, first: bool) -> None:
    low = token.lower()
    if not _WORD.search(token):
        if set(token) & set(".!?;:—"):
            state.singular = state.conjugate = state.alone = state.two = False
        state.out.append(token)
        return
    if low == "i" and _numeral(tokens, index):
        state.out.append(token)
    elif first and low in (
        "i",
        "me",
        "my",
        "mine",
        "myself",
        "we",
        "us",
        "our",
        "ours",
        "ourselves",
    ):
        _first(state, low)
    elif not first and low in ("you", "your", "yours", "yourself"):
        _second(state, tokens, index, low)
    elif state.conjugate:
        _verb(state, token, _around(tokens, index, 1))
    else:
        _plain(state, tokens, index, token)


def _numeral(tokens: list[str], index: int) -> bool:
    """Whether an "I" is a number: King Henry I, World War I."""
    between = (tokens[index - 1], tokens[index - 3]) if index >= 4 else ()
    return between == (" ", " ") and tokens[index - 2][:1].isupper()


def _subject(state: _Telling) -> None:
    pronoun = state.known
    state.out.append(state.forms[0] if pronoun else state.name)
    state.conjugate = True
    state.singular = state.alone = not (pronoun and state.forms[0] == "they")
    state.infinitive = False
    state.known = True


def _possessive(state: _Telling) -> None:
    if state.two:
        state.out.append("their")
        return
    state.out.append(state.forms[2] if state.known else f"{state.name}'s")
    state.known = True


def _object(state: _Telling, form: int = 1) -> None:
    state.out.append(state.forms[form] if state.known else state.name)
    state.known = True


def _first(state: _Telling, low: str) -> None:
    if low == "i":
        _subject(state)
    elif low == "my":
        _possessive(state)
    elif low == "me":
        _object(state)
    elif low in ("mine", "myself"):
        state.out.append(state.forms[3 if low == "mine" else 4])
    else:
        plural = {"we": "they", "us": "them", "our": "their", "ours": "theirs"}
        state.out.append(plural.get(low, "themselves"))
        state.singular = False


def _second(state: _Telling, tokens: list[str], index: int, low: str) -> None:
    before, after = _around(tokens, index, -1), _around(tokens, index, 1)
    if low == "your":
        _possessive(state)
    elif low == "yours":
        state.out.append(f"{state.name}'s")
    elif low == "yourself":
        state.out.append(state.forms[4])
    elif after in ("two", "both"):
        state.out.append("the" if after == "two" else "")
        state.singular, state.two = False, True
    elif after == "and" and before not in _BEFORE_OBJECT:
        state.out.append(state.name)
        state.singular = state.known = state.alone = False
    elif _is_object(before, after):
        _object(state)
    elif _TOGETHER.search(re.split(r"[.;!?]", "".join(tokens[index:]))[0]):
        state.out.append("the two" if not state.two else "they")
        state.singular, state.two = False, True
    else:
        _subject(state)


def _is_object(before: str, after: str) -> bool:
    if not before or before in _CLAUSE or (before in ",;:.—-(" and after not in ("", ".")):
        return False
    if not after or not _WORD.search(after) or after in _AFTER_OBJECT - {"feel", "manage", "stay"}:
        return True
    return before in _BEFORE_OBJECT


def _verb(state: _Telling, token: str, after: str) -> None:
    """The verb that belongs to the subject; adverbs may come before it."""
    low = token.lower()
    adverb = low in _ADVERBS or (low.endswith("ly") and low not in _LY_VERBS)
    if adverb or (low not in _IRREGULAR and low not in _MODALS and _is_past(after)):
        state.out.append(token)
        return
    state.conjugate = False
    state.infinitive = low in _MODALS
    state.out.append(agreeing(token) if state.singular else _PLURAL.get(low, token))


def _is_past(low: str) -> bool:
    return low in _PAST or (low.endswith("ed") and low not in _ED_VERBS)


def agreeing(verb: str) -> str:
    """The third person singular: "have" to "has"; past tenses and modals stay."""
    low = verb.lower()
    if low in _IRREGULAR:
        return _IRREGULAR[low]
    if low in _MODALS or _is_past(low):
        return verb
    if low.endswith("y") and low[-2:-1] not in tuple("aeiou"):
        return f"{verb[:-1]}ies"
    return f"{verb}es" if low.endswith(("s", "x", "z", "ch", "sh", "o")) else f"{verb}s"


def _plain(state: _Telling, tokens: list[str], index: int, token: str) -> None:
    low = token.lower()
    # A pronoun of another gender leaves no doubt who is meant by this one.
    bare = low.removesuffix("'s")
    if bare in _ROLES or bare in state.others or (low in _OTHERS and low in state.forms):
        state.known = False
    if low in _MODALS or (low == "to" and _around(tokens, index, 1) not in _NO_INFINITIVE):
        state.infinitive = True
    elif low in ("who", "which", "that", "while", "as", "when", "because", "whom"):
        state.singular = False
    if low == "am":
        state.out.append("is" if state.alone else "are")
    elif state.alone and _joins(tokens, index, low, state.infinitive or not state.singular):
        state.out.append(agreeing(token))
    else:
        state.out.append(token)


def _joins(tokens: list[str], index: int, low: str, infinitive: bool) -> bool:
    """Whether the word is a further verb of the subject: "and enjoy", "but are often"."""
    at = index
    before = _around(tokens, at, -1)
    while before in _ADVERBS or (before.endswith("ly") and before not in _LY_VERBS):
        at -= 1
        while not _WORD.search(tokens[at]):
            at -= 1
        before = _around(tokens, at, -1)
    if before not in ("and", "but", "or", "yet"):
        return False
    if low in ("are", "am", "have", "do", "don't", "were", "haven't"):
        return True
    if infinitive or (low not in _VERBS and low not in _EITHER):
        return False
    after = _around(tokens, index, 1)
    return low in _VERBS or after in _AFTER_VERB or (low == "love" and after.endswith("ing"))


def _left(told: str, name: str) -> bool:
    """Whether someone still speaks or is spoken to: where someone is quoted, nobody can tell."""
    rest = told.replace(name, "")
    return bool(_SPOKEN_TO.search(rest) or _SPEAKING.search(rest))


def retold(
    text: str, name: str, subject: str = "they", others: Iterable[str] = (), named: bool = False
) -> str | None:
    """`text` in the third person, whichever it is in; None where the rules are not sure."""
    if len(text) > _LONG:
        return None
    spoken_to, speaking = _SPOKEN_TO.search(text), _SPEAKING.search(text)
    if not spoken_to and not speaking:
        return text
    return third_person(text, name, subject, first=not spoken_to, others=others,
                        named=named)  # fmt: skip


def _capital(text: str) -> str:
    """Each sentence with a capital."""
    return re.sub(r"(^\W*|[.!?]['\"”)]*\s+)([a-z])", lambda m: m[1] + m[2].upper(), text)


def gerund(text: str) -> str:
    """ "Wakes up early" as "waking up early"; other texts as they are."""
    head, space, rest = text.partition(" ")
    low = head.lower()
    if not re.fullmatch(r"[a-z]+s", low) or low.endswith("ss"):
        return text
    if low.endswith("ies"):
        base = f"{low[:-3]}y"
    elif low.endswith(("ches", "shes", "sses", "xes", "goes", "does")):
        base = low[:-2]
    else:
        base = {"has": "have", "is": "be"}.get(low, low[:-1])
    if base in ("get", "run", "sit", "put", "set", "begin", "plan", "chat", "jog", "swim", "shop",
                "stop", "grab", "hit", "skip", "let", "cut", "wrap", "tap", "log"):  # fmt: skip
        base += base[-1]
    elif base.endswith("e") and not base.endswith(("ee", "oe", "be")):
        base = base[:-1]
    return f"{base}ing{space}{rest}"
