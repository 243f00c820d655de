"""Ten lines that give a game's character its next purposes."""

from daydream_motives import Character, CharacterSheet, MotiveEngine, Situation

sheet = CharacterSheet(name="Karl", age=71, occupation="boat builder", wants=["to race again"])
with MotiveEngine() as engine:
    karl = Character(sheet, engine=engine)
    quay = Situation(place="Old Quay", present=["Ines Carrasco"], happened="The race list is up")
    decision = karl.next_purposes(quay)
    for purpose in decision:
        print(purpose.rank, f"{purpose.score:.2f}", purpose.text, purpose.targets)
    decision.choose(1)  # the game acts on it, then says how it went:
    decision.resolve({"status": "done", "grade": 0.8})
