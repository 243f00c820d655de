"""One good scene as text, to be spoilt in one place at a time."""

from __future__ import annotations

from pathlib import Path

SCENE = """\
id: sluice-at-lower-mill
world: village
rating: everyone
when: "1931-10-03T17:20"
place: the lower mill
nearby: [the chapel, the upper weir]
things: [the sluice key]
happened:
  - A boy has come running to say that the upper weir is giving way.
people:
  oddny:
    tongue: Icelandic
    name: Oddny Hallsdottir
    pronouns: she/her
    age: 61
    occupation: miller
    traits: [frugal, proud]
    personality: {mbti: ISTJ}
  ketill:
    tongue: Icelandic
    name: Ketill
    pronouns: he/him
    age: 19
    occupation: carter
    personality: {mbti: ESFP}
ties:
  - {from: oddny, to: ketill, kinds: [grandchild, debtor], trust: -0.3, story: He never paid.}
lore:
  - Whoever closes the sluice answers for the fields below.
decisions:
  - who: oddny
    contrast: bar
    remembers: [The gate stood open last spring.]
    purposes:
      - Oddny sends Ketill up to the weir with the long bar, wanting him out of the mill.
      - Oddny chains the wheel and sits on the steps, because nobody gave her leave to turn it.
      - Oddny rings for the chapel folk, so that whatever drowns is not her doing alone.
    rejected:
      - why: generic
        purposes:
          - Oddny thinks about what is best for everyone, because it is important to be careful.
          - Oddny has a cup of tea and waits for news, hoping that all will be well.
          - Oddny makes a list of tasks, since being organised helps in every emergency there is.
      - why: invented_name
        purposes:
          - Oddny telephones Sigurbjorn at the council, because he has dealt with floods before.
          - Oddny drives into the valley, hoping to borrow a pump from some neighbours there.
          - Oddny locks her grain in the loft, since grain is money and money floats badly.
  - who: ketill
    purposes:
      - Ketill runs for his cart and saves the sacks that still carry his mark, to be quits.
      - Ketill laughs at the boy, lest the old woman see how frightened he is of water.
      - Ketill pockets the spare pawl, so that she must ask him before anything can move.
  - who: oddny
    as: oddny-trusting
    changes: oddny
    contrast: bar
    ties: [{from: oddny, to: ketill, kinds: [grandchild], trust: 0.9, story: He saved her once.}]
    purposes:
      - Oddny hands Ketill her apron and the key together, because his arms are better than hers.
      - Oddny stands beside him at the crank and calls the turns, in case he grows rash.
      - Oddny walks down to warn the farms herself, trusting that the mill is in good hands.
"""


def spoilt(old: str, new: str, text: str = SCENE) -> str:
    """The scene with one place changed; the place must be there."""
    assert old in text
    return text.replace(old, new, 1)


def save(folder: Path, text: str, name: str = "a01.yaml") -> Path:
    file = folder / name
    file.write_text(text, encoding="utf-8")
    return file


def line_of(text: str, what: str) -> int:
    """The number of the first line that holds `what`."""
    return next(i for i, line in enumerate(text.splitlines(), 1) if what in line)
