"""Recipes: read strictly, and told by file and line what is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
from tiny_school import RECIPE

from daydream_motives.errors import SettingsError
from daydream_motives.modelstore.catalogue import Catalogue
from daydream_motives.training.recipe import (
    default_folder,
    find_recipe,
    line_of,
    read_recipe,
)

SHIPPED = sorted(default_folder().glob("*.toml"))


def save(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "r.toml"
    file.write_text(text, encoding="utf-8")
    return file


@pytest.mark.parametrize("file", SHIPPED, ids=lambda f: f.stem)
def test_every_shipped_recipe_is_of_a_model_of_the_catalogue(file: Path) -> None:
    recipe = read_recipe(file)
    assert recipe.base.model in Catalogue.load().models
    assert find_recipe(file.stem) == file
    assert recipe.changed(seed=7).train.seed == 7


def test_there_is_a_recipe_for_each_model_and_machine() -> None:
    stems = {file.stem for file in SHIPPED}
    bases = [name for name, entry in Catalogue.load().models.items() if not entry.adapter]
    assert stems == {f"{base}{on}" for base in bases for on in ("", "-gpu")}


@pytest.mark.parametrize(
    ("old", "new", "line", "said"),
    [
        ("rank = 4", "rnak = 4", 5, "lora.rnak: found an unknown key; expected a known key"),
        ("rank = 4", "rank = 0", 5, "lora.rank: found 0"),
        ("rank = 4", 'rank = "4x"', 5, "lora.rank: found '4x'"),
        ('method = "lora"', 'method = "magic"', 7, "train.method: found 'magic'"),
        ("[lora]", "[loar]", 4, "loar: found an unknown key"),
        ('model = "tiny"', "", 2, "base.model: found nothing"),
        ("schema_version = 1", "schema_version = 2", 1, "schema_version: found 2"),
        ("epochs = 2", "epochs = 0", 9, "train.epochs"),
        ("learning_rate = 1e-2", "learning_rate = -1", 10, "train.learning_rate"),
        ("learning_rate = 1e-2", "learning_rate = nan", 10, "train.learning_rate"),
        ("max_tokens = 600", "max_tokens = 2000", 6, "max_tokens of at most a pass"),
        ("max_tokens = 600", "pass_tokens = 1300", 6, "pass_tokens of at most batch_tokens"),
        ("max_tokens = 600", "[tune.ranges]\n'train.sed' = [1, 2]", 12, "not of 'train.sed'"),
        ("max_tokens = 600", "[tune.ranges]\n'preference.beta' = [1, 2]", 12, "lora or train, not"),
        ("max_tokens = 600", "[tune.ranges]\n'lora.rank' = [8, 8]", 12, "begins below its end"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_by_its_line(
    tmp_path: Path, old: str, new: str, line: int, said: str
) -> None:
    assert old in RECIPE
    file = save(tmp_path, RECIPE.replace(old, new))
    with pytest.raises(SettingsError) as caught:
        read_recipe(file)
    assert f"{file}:{line}: " in caught.value.message
    assert said in caught.value.message


def test_everything_is_told_at_once(tmp_path: Path) -> None:
    text = RECIPE.replace("rank", "rnak").replace("epochs", "epoch")
    with pytest.raises(SettingsError) as caught:
        read_recipe(save(tmp_path, text))
    assert len(caught.value.message.splitlines()) == 2


@pytest.mark.parametrize("text", ["[base", "a = 1\na = 2", "\ufffe"])
def test_broken_toml_is_told(tmp_path: Path, text: str) -> None:
    with pytest.raises(SettingsError, match=r"r\.toml"):
        read_recipe(save(tmp_path, text))


@pytest.mark.parametrize("name", ["nonsense", "smollm2", ""])
def test_an_unknown_name_is_told_with_those_there_are(name: str) -> None:
    with pytest.raises(SettingsError, match="no recipe named") as caught:
        find_recipe(name)
    assert "smollm2-135m" in caught.value.remedy


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"no\.toml"):
        read_recipe(tmp_path / "no.toml")


def test_a_range_may_be_searched(tmp_path: Path) -> None:
    text = RECIPE + "[tune.ranges]\n'train.learning_rate' = [1e-5, 1e-3]\n"
    ranges = read_recipe(save(tmp_path, text)).tune.ranges
    assert ranges == {"train.learning_rate": (1e-5, 1e-3)}


def test_a_change_tells_no_section_that_was_not_told(tmp_path: Path) -> None:
    """Else a search's best recipe, and any with another seed, would learn from pairs too."""
    told = read_recipe(save(tmp_path, RECIPE))
    assert "preference" not in told.changed(seed=3).model_fields_set
    assert "preference" in told.with_values({"preference.beta": 0.2}).model_fields_set


def test_a_change_is_checked_too(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"the recipe: train\.epochs"):
        read_recipe(save(tmp_path, RECIPE)).changed(epochs=0)


@pytest.mark.parametrize(
    ("path", "line"), [("a", 1), ("t.b", 3), ("t.nothing", 2), ("t.c.d", 4), ("nothing", 0)]
)
def test_a_line_is_found(path: str, line: int) -> None:
    assert line_of("a = 1\n[t]\nb = 2\nc = {d = 1}\n", path) == line
