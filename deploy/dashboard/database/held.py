"""A slide held while a person changes it: the ingest waits, and so does everybody else.

Whoever writes ``reviewed_label`` of a cell holds its slide first and counts it again afterwards, in
one transaction; otherwise a frame that comes in between leaves a count that is not of the rows.
"""

from __future__ import annotations

from sqlalchemy import Connection, func, select, update

from deploy.dashboard.database.tables import cells, devices, slides


def hold_slide(connection: Connection, number: int) -> bool:
    """Keep everybody else from changing a slide until the end of the transaction.

    False: there is none of this number.
    """
    device = connection.scalar(select(slides.c.device_id).where(slides.c.id == number))
    if device is None:
        return False
    connection.execute(select(devices.c.id).where(devices.c.id == device).with_for_update())
    return True


def recount(connection: Connection, number: int) -> None:
    """Count the cells of a slide that were not cleared, and those of them nobody looked at."""
    positive = cells.c.label != "normal"
    positives, unreviewed = connection.execute(
        select(
            func.count().filter(positive),
            func.count().filter(positive, cells.c.reviewed_label.is_(None)),
        ).where(cells.c.slide_id == number)
    ).one()
    connection.execute(
        update(slides)
        .where(slides.c.id == number)
        .values(positives=positives, unreviewed=unreviewed)
    )
