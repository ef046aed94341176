"""A TOML file becomes a typed configuration; every mistake is one line with file and field."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_daemon.errors import DataError
from trainer.classifier.config import ClassifierConfig
from trainer.detector.config import DetectorConfig
from trainer.settings import config_of, content_of, read_settings

RECIPES = sorted((Path(__file__).resolve().parents[2] / "trainer" / "recipes").rglob("*.toml"))


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    path = tmp_path / "mine.toml"
    path.write_text(
        """
        task = "classifier"
        data = "sets"
        architecture = "hybrid"
        weights = "none"
        epochs = 9
        [geometry]
        size = 280
        visible = 224
        [mix.strength]
        jpeg_probability = 0.5
        [start_from]
        vgg19 = "/runs/vgg19"
        resnet50 = "runs/resnet50"
        [distillation]
        teacher = "runs/strong"
        """
    )
    return path


def test_a_file_is_read_with_its_nested_tables(settings: Path, tmp_path: Path) -> None:
    config = read_settings(settings)
    assert isinstance(config, ClassifierConfig)
    assert config.data == tmp_path / "sets"
    assert config.geometry.visible == 224
    assert config.mix.strength.jpeg_probability == 0.5
    assert config.start_from["vgg19"] == Path("/runs/vgg19")
    assert config.read_depths["resnet50"] == (0, 1, 2, 3)


def test_paths_are_relative_to_the_file(settings: Path, tmp_path: Path) -> None:
    config = read_settings(settings)
    assert isinstance(config, ClassifierConfig)
    assert config.start_from["resnet50"] == tmp_path / "runs" / "resnet50"
    assert config.distillation is not None
    assert config.distillation.teacher == tmp_path / "runs" / "strong"


def test_what_is_given_beside_the_file_wins(settings: Path) -> None:
    config = read_settings(settings, epochs=12, seed=None, data=Path("/other"))
    assert (config.epochs, config.data) == (12, Path("/other"))


def test_a_saved_configuration_is_read_back_the_same(settings: Path) -> None:
    for config in (read_settings(settings), DetectorConfig(Path("/data"), epochs=3)):
        assert config_of(content_of(config), settings) == config


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("epochs", "epoch"), "epoch is not a setting; did you mean epochs"),
        (("size", "sise"), r"geometry\.sise is not a setting; did you mean size"),
        (("epochs = 9", 'epochs = "many"'), "epochs: .*integer"),
        (("= 224", "= 100"), "geometry: visible must be a multiple of 32"),
        (('"classifier"', '"regressor"'), "task is 'regressor'; it must be one of"),
        (("epochs = 9", "epochs ="), "not TOML"),
        (("epochs = 9", "epochs = 2"), "epochs: 2 leave none"),
    ],
)
def test_a_mistake_is_one_line_with_file_and_field(
    settings: Path, change: tuple[str, str], message: str
) -> None:
    settings.write_text(settings.read_text().replace(*change))
    with pytest.raises(DataError, match=message) as refused:
        read_settings(settings)
    assert "\n" not in str(refused.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.toml: cannot be read"):
        read_settings(tmp_path / "none.toml")


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_every_recipe_can_be_read(recipe: Path) -> None:
    assert read_settings(recipe, data=Path("/data")).data == Path("/data")
