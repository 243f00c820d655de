"""What people can be to each other, and how events move that. Data only."""

from __future__ import annotations

AXES = ("trust", "respect", "affection", "attraction", "familiarity")

# kind -> what A is to B where B is this to A; None where nothing follows.
KINDS: dict[str, str | None] = {
    "parent": "child", "child": "parent", "sibling": "sibling",
    "grandparent": "grandchild", "grandchild": "grandparent",
    "aunt_or_uncle": "niece_or_nephew", "niece_or_nephew": "aunt_or_uncle",
    "cousin": "cousin", "in_law": "in_law", "step_parent": "step_child",
    "step_child": "step_parent", "guardian": "ward", "ward": "guardian", "relative": "relative",
    "spouse": "spouse", "ex_spouse": "ex_spouse", "fiance": "fiance", "partner": "partner",
    "ex_partner": "ex_partner", "lover": "lover", "crush": None,
    "friend": "friend", "best_friend": "best_friend", "old_friend": "old_friend",
    "confidant": None, "acquaintance": "acquaintance", "neighbour": "neighbour",
    "stranger": "stranger", "housemate": "housemate", "host": "guest", "guest": "host",
    "colleague": "colleague", "employer": "employee", "employee": "employer",
    "business_partner": "business_partner", "supplier": "customer", "customer": "supplier",
    "landlord": "tenant", "tenant": "landlord", "creditor": "debtor", "debtor": "creditor",
    "mentor": "apprentice", "apprentice": "mentor", "teacher": "student", "student": "teacher",
    "classmate": "classmate", "teammate": "teammate", "leader": "follower",
    "follower": "leader", "commander": "subordinate", "subordinate": "commander",
    "doctor": "patient", "patient": "doctor", "ally": "ally", "rival": "rival",
    "enemy": "enemy", "hero": None, "suspect": None, "victim": "wrongdoer",
    "wrongdoer": "victim", "protector": "protected", "protected": "protector",
}  # fmt: skip
ROMANTIC_KINDS = frozenset(
    {"spouse", "ex_spouse", "fiance", "partner", "ex_partner", "lover", "crush"}
)

# What happened -> how the one it happened to moves towards the one who did it.
EVENT_RULES: dict[str, dict[str, float]] = {
    "met": {"familiarity": 0.05},
    "talked": {"familiarity": 0.04, "affection": 0.02, "trust": 0.01},
    "helped": {"familiarity": 0.04, "trust": 0.08, "affection": 0.06, "respect": 0.05},
    "was_helped": {"familiarity": 0.04, "trust": 0.10, "affection": 0.08, "respect": 0.06},
    "gave": {"familiarity": 0.02, "affection": 0.04},
    "received": {"familiarity": 0.03, "affection": 0.08, "trust": 0.04},
    "worked_together": {"familiarity": 0.05, "respect": 0.03, "trust": 0.02},
    "shared_fun": {"familiarity": 0.05, "affection": 0.06},
    "confided": {"familiarity": 0.08, "trust": 0.08, "affection": 0.05},
    "comforted": {"familiarity": 0.05, "trust": 0.06, "affection": 0.09},
    "apologised": {"trust": 0.05, "affection": 0.05, "respect": 0.03},
    "traded": {"familiarity": 0.03, "trust": 0.02},
    "flirted": {"familiarity": 0.04, "attraction": 0.05, "affection": 0.03},
    "argued": {"familiarity": 0.02, "affection": -0.08, "trust": -0.05, "respect": -0.03},
    "insulted": {"affection": -0.14, "respect": -0.08, "trust": -0.06},
    "threatened": {"trust": -0.20, "affection": -0.16, "respect": -0.04},
    "refused": {"affection": -0.05, "trust": -0.03},
    "avoided": {"familiarity": -0.01, "affection": -0.03},
    "betrayed": {"trust": -0.45, "affection": -0.25, "respect": -0.2},
    "lied_to": {"trust": -0.3, "respect": -0.12, "affection": -0.08},
    "stole_from": {"trust": -0.4, "respect": -0.2, "affection": -0.2},
    "hurt": {"trust": -0.35, "affection": -0.35, "respect": -0.1},
}
