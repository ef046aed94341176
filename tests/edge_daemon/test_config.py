"""A configuration file is read whole, and every mistake is told with its line."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge_daemon.config import load_config
from edge_daemon.errors import ConfigError

GOOD = """\
# a microscope
[device]
site = "clinic-1"
name = "scope-2"

[source]
url = "camera://0"
um_per_px = 0.07

[broker]
url = "mqtts://reporter:secret@broker.example:8883"
ca_file = "ca.pem"

[outbox]
path = "state/outbox.db"
"""


@pytest.fixture
def config_file(tmp_path: Path) -> Path:
    return tmp_path / "device.toml"


def test_a_good_file_is_read_and_its_paths_are_beside_it(config_file, tmp_path):
    config_file.write_text(GOOD)
    config = load_config(config_file)
    assert (config.device.site, config.device.name) == ("clinic-1", "scope-2")
    assert config.source.um_per_px == 0.07
    assert config.outbox.path == tmp_path / "state" / "outbox.db"
    assert config.broker.ca_file == tmp_path / "ca.pem"
    assert config.models.bundle is None


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        (
            "um_per_px = 0.07",
            "um_per_pixel = 0.07",
            r":8: unknown key 'source.um_per_pixel'; did you mean 'um_per_px'\?",
        ),
        ("um_per_px = 0.07", 'um_per_px = "wide"', r":8: source.um_per_px = 'wide': .*number"),
        ("um_per_px = 0.07", "um_per_px = 0.0", r":8: source.um_per_px = 0.0: .*greater than 0"),
        ("[outbox]", "[outbocks]", r":14: unknown key 'outbocks'; did you mean 'outbox'\?"),
        ('site = "clinic-1"', 'site = "clinic/1"', r":3: device.site = 'clinic/1': .*pattern"),
        ('url = "camera://0"', "", r"'source.url' is missing; add it"),
        (
            "[broker]",
            "[models]\nengine = 'cuda'\n[broker]",
            r":11: models.engine = 'cuda': .*openvino",
        ),
        ("mqtts://", "http://", r":10: broker.*write mqtt://host:port"),
        ('name = "scope-2"', "name = ", r"not valid TOML: .*line 4"),
    ],
)
def test_a_mistake_is_one_line_with_file_line_and_key(config_file, before, after, told):
    assert before in GOOD
    config_file.write_text(GOOD.replace(before, after))
    with pytest.raises(ConfigError, match=told) as error:
        load_config(config_file)
    assert "\n" not in str(error.value)
    assert str(config_file) in str(error.value)


def test_no_message_repeats_a_password(config_file):
    config_file.write_text(GOOD.replace("broker.example:8883", "broker.example:8883/x"))
    with pytest.raises(ConfigError) as error:
        load_config(config_file)
    assert "secret" not in str(error.value)


def test_a_file_that_is_not_there_or_not_text(config_file):
    with pytest.raises(ConfigError, match="does not exist"):
        load_config(config_file)
    config_file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="not UTF-8"):
        load_config(config_file)
    with pytest.raises(ConfigError, match="cannot read"):
        load_config(config_file.parent)


@given(st.text(max_size=200) | st.text(alphabet='[]="\n.0aurlsoce', max_size=80))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_any_text_that_is_no_configuration_is_one_line(config_file, text):
    config_file.write_text(text, encoding="utf-8", errors="replace")
    with pytest.raises(ConfigError) as error:  # no text this short is a whole configuration
        load_config(config_file)
    assert "\n" not in str(error.value)


class TestCalibration:
    """How the microscope is set up now, and the file that says what it was calibrated with."""

    def test_the_file_is_beside_the_configuration(self, config_file, tmp_path):
        config_file.write_text(
            GOOD.replace('name = "scope-2"', 'name = "scope-2"\nobjective = "100x/1.25 oil"')
            + '[calibration]\nfile = "scope.json"\nbinning = 2\nregion = [0, 8, 1280, 960]\n'
        )
        config = load_config(config_file)
        assert config.device.objective == "100x/1.25 oil"
        assert config.calibration.file == tmp_path / "scope.json"
        assert (config.calibration.binning, config.calibration.region) == (2, (0, 8, 1280, 960))

    @pytest.mark.parametrize(
        "line", ["binning = 0", "region = [0, 0, 0, 9]", "region = [1, 2]", "fil = 'x'"]
    )
    def test_a_mistake_in_it_is_one_line(self, config_file, line):
        config_file.write_text(GOOD + f"[calibration]\n{line}\n")
        with pytest.raises(ConfigError, match=r":17: .*calibration\.") as error:
            load_config(config_file)
        assert "\n" not in str(error.value)
