INSERT INTO bundles (digest, name, first_seen_at) SELECT 'b', 'leukoedge-0.7.0', $at;
INSERT INTO devices (id, site, name, first_seen_at, seen_at, state, version, bundle)
SELECT i + 1, 'site-' || (i % 20), 'scope-' || i, $at, $at, 'online', '1.0.0', 'b'
FROM $devices AS q;
INSERT INTO boots (id, device_id, boot_id, first_seen_at, seen_at)
SELECT i + 1, i + 1, 'boot-' || i, $at, $at FROM $devices AS q;
INSERT INTO slides (id, device_id, site, name, control, first_at, newest_at, state, disposition,
    severity, fraction, low, high, doubled, bundle, unreviewed, positives)
SELECT i + 1, i % 1000 + 1, 'site-' || (i % 20), 'slide-' || i, $no, $at, $at,
    CASE i % 9 WHEN 0 THEN 'running' ELSE 'complete' END,
    CASE i % 4 WHEN 0 THEN 'negative' WHEN 1 THEN 'insufficient' WHEN 2 THEN 'review'
    ELSE 'positive' END,
    i % 4, $share, $share, $share, $no, 'b', i % 3, i % 3
FROM $slides AS q;
INSERT INTO frames (slide_id, frame, boot, seq, received_at, captured_at, outcome, hints, saturated,
    field, wbc, rbc, platelets, blasts, uncertain, message, focus, x, y, piece, width, height)
SELECT i / 100 + 1, i % 100, 1, i, $at, $at, 'analysed', 0, $no, 0, 5, 80, 3, 1, 0, $blob, 20.0,
    i % 100, i % 70, 0, 640, 480
FROM $frames AS q;
INSERT INTO cells (slide_id, unique_id, class_order, label, p_blast, score, whole, view_rank, frame,
    x, y, width, height, views)
SELECT 1, i, i % 3, CASE i % 3 WHEN 2 THEN 'blast' WHEN 1 THEN 'uncertain' ELSE 'normal' END,
    $share, 0.9, $yes, 0.9, 0, 1, 1, 20, 20, 1
FROM $large AS q;
INSERT INTO cells (slide_id, unique_id, class_order, label, p_blast, score, whole, view_rank, frame,
    x, y, width, height, views)
SELECT i / 20 + 2, i % 20, 0, 'normal', $share, 0.9, $yes, 0.9, 0, 1, 1, 20, 20, 1
FROM $cells AS q;
INSERT INTO summaries (slide_id, boot, seq, at, received_at, frames, nucleated, blasts, uncertain,
    fraction, low, high, disposition)
SELECT i / 10 + 1, 1, i, $at, $at, i % 10 * 10, 50, 5, 0, 0.1, 0.05, 0.2, 'review'
FROM $summaries AS q;
