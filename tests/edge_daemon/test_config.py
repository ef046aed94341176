"""A configuration file is read whole, and every mistake is told with its line."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge_daemon.config import load_config
from edge_daemon.config_docs import page, template
from edge_daemon.errors import ConfigError

pytestmark = pytest.mark.soak

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


class TestControl:
    def test_where_it_is_not_configured_it_is_not_required(self, config_file):
        config_file.write_text(GOOD)
        control = load_config(config_file).control
        assert (control.source, control.slide, control.required) == (None, None, False)

    def test_its_paths_are_beside_the_file_and_its_addresses_are_not(self, config_file, tmp_path):
        config_file.write_text(f'{GOOD}[control]\nsource = "known"\nrequired = true\n')
        control = load_config(config_file).control
        assert control.source == str(tmp_path / "known")
        assert control.expected == tmp_path / "control"
        config_file.write_text(f'{GOOD}[control]\nsource = "sim://?seed=7"\n')
        assert load_config(config_file).control.source == "sim://?seed=7"

    @pytest.mark.parametrize(
        ("lines", "told"),
        [
            ("required = true", r":16: control: required needs a control: give source, slide"),
            ('source = "camera://0"', r":16: control: source 'camera://0' has no end"),
            ("every_h = 0", r":17: control.every_h = 0: .*greater than 0"),
            ('slide = "a/b"', r":17: control.slide = 'a/b': .*pattern"),
            ("evry_h = 12", r":17: unknown key 'control.evry_h'; did you mean 'every_h'\?"),
            ("tolerances.count = 2.0", r":17: control.tolerances.count = 2.0: .*less than"),
            ("tolerances.counts = 0.1", r":17: unknown key .*did you mean 'count'\?"),
        ],
    )
    def test_a_mistake_in_it_is_one_line(self, config_file, lines, told):
        config_file.write_text(f"{GOOD}[control]\n{lines}\n")
        with pytest.raises(ConfigError, match=told) as error:
            load_config(config_file)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "localhost"])
def test_the_http_interface_is_off_and_needs_no_token_on_this_machine(config_file, host):
    config_file.write_text(f'{GOOD}[http]\nhost = "{host}"\n')
    http = load_config(config_file).http
    assert (http.enabled, http.port, http.token) == (False, 8787, None)


@pytest.mark.parametrize("host", ["::", "192.168.1.20", "microscope.local", "128.0.0.1"])
def test_an_http_interface_for_others_needs_a_token(config_file, host):
    config_file.write_text(f'{GOOD}[http]\nhost = "{host}"\n')
    with pytest.raises(
        ConfigError, match=r":16: http: http.host .* lets others in: set http.token"
    ):
        load_config(config_file)
    config_file.write_text(f'{GOOD}[http]\nhost = "{host}"\ntoken = "{"s3cret" * 4}"\n')
    assert "s3cret" not in repr(load_config(config_file).http)


@pytest.mark.parametrize(
    "token", ['"short"', '"with space and more"', "12345678901234567890", '""']
)
def test_a_weak_token_is_refused_and_not_repeated(config_file, token):
    config_file.write_text(f"{GOOD}[http]\ntoken = {token}\n")
    with pytest.raises(ConfigError, match="http") as error:
        load_config(config_file)
    assert token not in str(error.value)
    assert "\n" not in str(error.value)


class TestEnvironment:
    def test_it_goes_before_the_file(self, config_file):
        config_file.write_text(GOOD)
        config = load_config(
            config_file,
            {
                "LEUKO_EDGE__BROKER__URL": "mqtts://other:1884",
                "LEUKO_EDGE__SOURCE__UM_PER_PX": "0.09",
                "LEUKO_EDGE__SLIDE__THRESHOLDS__MIN_NUCLEATED_CELLS": "200",
                "LEUKO_EDGE__COMMANDS__ALLOW": '["status"]',
                "HOME": "elsewhere",
            },
        )
        assert (config.broker.host, config.broker.port) == ("other", 1884)
        assert config.source.um_per_px == 0.09
        assert config.slide.thresholds.min_nucleated_cells == 200
        assert config.commands.allow == ("status",)
        assert config.device.site == "clinic-1"

    @pytest.mark.parametrize(
        ("variable", "value", "told"),
        [
            ("LEUKO_EDGE__SOURCE__UM_PER_PX", "wide", "LEUKO_EDGE__SOURCE__UM_PER_PX: .*number"),
            ("LEUKO_EDGE__SOURCE__UM_PER_PIXEL", "1", "LEUKO_EDGE__SOURCE__UM_PER_PIXEL: unknown"),
            ("LEUKO_EDGE__HEALTH_EVERY_S__X", "1", "'health_every_s' is no table"),
        ],
    )
    def test_its_mistakes_are_told_by_the_name_of_the_variable(
        self, config_file, variable, value, told
    ):
        config_file.write_text("health_every_s = 2.0\n" + GOOD)
        with pytest.raises(ConfigError, match=told):
            load_config(config_file, {variable: value})


class TestDocumentation:
    def test_the_page_is_up_to_date(self, repository):
        assert (repository / "docs" / "configuration.md").read_text() == page()

    def test_the_template_is_a_configuration_once_what_must_be_given_is(self, config_file):
        text = template()
        assert text.count("must be given") == 2  # the broker's and the source's URL
        given = text.replace('url = ""', 'url = "sim://"', 1).replace(
            'url = ""', 'url = "mqtt://127.0.0.1"', 1
        )
        config_file.write_text(given)
        assert load_config(config_file, {}).source.url == "sim://"

    def test_what_it_shows_as_defaults_are_the_defaults(self, config_file):
        shown = [
            line.removeprefix("# ") if line.startswith("# ") and " = " in line else line
            for line in template().splitlines()
            if not line.endswith(" =")
        ]
        body = [line for line in shown if re.match(r"(\[|[a-z_0-9]+ = )", line)]
        text = "\n".join(body).replace('url = ""', 'url = "sim://"', 1)
        config_file.write_text(text.replace('url = ""', 'url = "mqtt://127.0.0.1"', 1))
        config_file_bare = config_file.with_name("bare.toml")
        config_file_bare.write_text('[source]\nurl = "sim://"\n[broker]\nurl = "mqtt://127.0.0.1"')
        assert load_config(config_file, {}) == load_config(config_file_bare, {})
