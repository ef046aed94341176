"""What of a repository's content is an update here."""

from __future__ import annotations

from pathlib import Path

import pytest
from tuf.api.metadata import TargetFile, Targets

from deploy.trust.add import add
from edge_daemon.contract.bundle import load_bundle
from edge_daemon.contract.envelope import utc_now
from edge_daemon.contract.target import Compatibility, Machine, ReleaseRange
from edge_daemon.update.archive import unpack
from edge_daemon.update.offers import Offer, newer_than, read_offers
from tests.deploy.trust.fleet import Fleet, write_wheel

JETSON = Machine(daemon="0.5.0", jetpack="6.1", tensorrt="10.3.0.26")
PC = Machine(daemon="0.5.0")


def versions(offers: tuple[Offer, ...]) -> list[str]:
    return [offer.about.version for offer in offers]


def bundles_for(machine: Machine, fleet: Fleet, installed: str = "0.0.1") -> list[str]:
    fleet.publish()
    offers = fleet.device().repository().refresh()
    return versions(newer_than(installed, offers, kind="bundle", name="paper", machine=machine))


def test_the_newest_comes_first_by_numbers_not_by_letters(fleet: Fleet) -> None:
    for version in ("0.2.0", "0.10.0", "0.9.0"):
        fleet.add(version)

    assert bundles_for(PC, fleet) == ["0.10.0", "0.9.0", "0.2.0"]


def test_neither_an_older_one_nor_the_same_is_an_update(fleet: Fleet) -> None:
    fleet.add("0.1.0")
    fleet.add("0.2.0")

    assert bundles_for(PC, fleet, installed="0.2.0") == []


def test_an_intended_downgrade_is_the_old_content_under_a_higher_version(
    fleet: Fleet, tmp_path: Path
) -> None:
    fleet.add("0.1.0", b"good")
    fleet.add("0.2.0", b"bad")
    fleet.publish()
    device = fleet.device()
    assert device.versions() == ["0.1.0", "0.2.0"]
    old = fleet.source("0.1.0", b"good")
    add(fleet.repository, old, fleet.ring(), utc_now(), as_version="0.2.1")

    assert bundles_for(PC, fleet, installed="0.2.0") == ["0.2.1"]
    (offer,) = (one for one in device.repository().refresh() if one.about.version == "0.2.1")
    assert offer.about.reissue_of == "0.1.0"
    back = load_bundle(unpack(device.fetched("0.2.1"), tmp_path / "unpacked"))
    assert back.label == "paper-0.2.1"
    assert back.manifest.files == load_bundle(old).manifest.files


@pytest.mark.parametrize(
    ("compatibility", "jetson", "pc"),
    [
        (Compatibility(), True, True),
        (Compatibility(min_daemon="0.5.0"), True, True),
        (Compatibility(min_daemon="0.5.1"), False, False),
        (Compatibility(jetpack=ReleaseRange(at_least="6.1", below="7")), True, True),
        (Compatibility(jetpack=ReleaseRange(at_least="6.2")), False, True),
        (Compatibility(jetpack=ReleaseRange(below="6.1")), False, True),
        (Compatibility(tensorrt=ReleaseRange(at_least="10.3")), True, True),
        (Compatibility(tensorrt=ReleaseRange(at_least="10.4")), False, True),
    ],
)
def test_an_update_fits_the_machine(
    fleet: Fleet, compatibility: Compatibility, jetson: bool, pc: bool
) -> None:
    """A limit holds where there is what it limits: a PC has neither JetPack nor TensorRT."""
    fleet.add("0.1.0", compatibility=compatibility)

    assert bundles_for(JETSON, fleet) == (["0.1.0"] if jetson else [])
    assert bundles_for(PC, fleet) == (["0.1.0"] if pc else [])


def test_why_it_does_not_fit_is_a_sentence() -> None:
    compatibility = Compatibility(jetpack=ReleaseRange(at_least="6.2", below="7"))

    assert compatibility.objection(JETSON) == "it is for JetPack >=6.2,<7, and here is 6.1"


def test_a_bundle_is_no_update_of_a_daemon(fleet: Fleet, tmp_path: Path) -> None:
    fleet.add("0.9.0")
    wheel = write_wheel(tmp_path / "dist", "0.6.0")
    add(fleet.repository, wheel, fleet.ring(), utc_now())
    fleet.publish()
    offers = fleet.device().repository().refresh()

    assert versions(offers) == ["0.9.0", "0.6.0"]
    daemons = newer_than("0.5.0", offers, kind="daemon", name="leukoedge", machine=PC)
    assert [offer.path for offer in daemons] == ["daemon/leukoedge-0.6.0-py3-none-any.whl"]


ABOUT = {"kind": "bundle", "name": "b", "version": "1.0.0", "digest": "sha256:" + "0" * 64}


def target(path: str, **custom: object) -> TargetFile:
    return TargetFile(1, {"sha256": "0" * 64}, path, {"custom": {**ABOUT, **custom}})


@pytest.mark.parametrize(
    "path",
    [
        "../../etc/passwd",
        "bundles/../x.tar",
        "/bundles/x.tar",
        "bundles/x/y.tar",
        "bundles/.x",
        "bundles/a\nb",
        "bundles/x.tar\n",
        "daemon/x.tar",
        "x.tar",
        "bundles/",
        "bundles/" + "x" * 300,
    ],
)
def test_a_signed_name_that_leads_elsewhere_is_not_offered(path: str) -> None:
    listed = {one: target(one) for one in (path, "bundles/good.tar")}

    assert [offer.path for offer in read_offers(Targets(targets=listed))] == ["bundles/good.tar"]


@pytest.mark.parametrize(
    "custom", [{"schema": "leukoedge.target/2"}, {"kind": "firmware"}, {"needs": "a newer daemon"}]
)
def test_what_is_described_for_a_newer_daemon_keeps_nothing_else_back(
    custom: dict[str, object],
) -> None:
    listed = {
        "bundles/new.tar": target("bundles/new.tar", **custom),
        "bundles/old.tar": target("bundles/old.tar"),
    }
    assert [offer.path for offer in read_offers(Targets(targets=listed))] == ["bundles/old.tar"]


@pytest.mark.parametrize("custom", [None, [], "text", {}])
def test_what_is_not_described_at_all_is_left_out(custom: object) -> None:
    odd = TargetFile(1, {"sha256": "0" * 64}, "bundles/x.tar", {"custom": custom})

    assert read_offers(Targets(targets={odd.path: odd})) == ()
