"""A cell's picture with its place in the frame and its bundle, in both databases."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import select

from deploy.dashboard.database.opening import Database
from deploy.dashboard.database.tables import crops
from deploy.dashboard.queries.cells import crop
from deploy.dashboard.queries.pictured import pictured
from tests.deploy.dashboard.judged import enter_slide
from tests.edge_daemon.scenes import LENIENT, frame
from tests.edge_daemon.tiny_bundle import write_tiny_bundle


def test_a_picture_comes_with_where_it_lay_and_which_bundle_judged_it(
    database: Database, tmp_path: Path
) -> None:
    bundle = write_tiny_bundle(tmp_path)
    frames = [frame(0, white=2), frame(1, white=3, field=1)]
    digest = enter_slide(database, frames, bundle, tmp_path, quality=LENIENT)

    with database.reading() as connection:
        cells = connection.scalars(select(crops.c.unique_id).order_by(crops.c.unique_id)).all()
        found = [pictured(connection, 1, unique) for unique in cells]
        shown = [crop(connection, 1, unique) for unique in cells]
        none = pictured(connection, 1, 99), pictured(connection, 2, 0)

    assert none == (None, None)
    assert len(cells) == 5
    for one, picture in zip(found, shown, strict=True):
        assert one is not None
        assert picture is not None
        assert one.jpeg == picture.jpeg, "it is the one that the page shows"
        assert (one.bundle, one.frame, one.p_blast) == (digest, picture.frame, picture.p_blast)
        assert one.place is not None
        assert (one.place.width, one.place.height) == (128, 128)
        assert one.place.box in one.place.nucleated
        assert len(one.place.nucleated) == 2 + one.frame
    assert len({one.place.box for one in found if one and one.place and one.frame == 1}) == 3
