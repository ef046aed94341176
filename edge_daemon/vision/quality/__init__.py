"""Is a frame worth analysing? Every check answers with a decision and a word to the operator.

A blurred frame is worse than none: its chromatin looks smooth, and smooth chromatin is what a
blast is known by. So a frame passes this gate first, and what is refused says what to turn. What
only makes counts uncertain is a hint: the frame is analysed, and the hint travels with it
(decision 17).

====================  =============================================================  =============
check                 what it looks at                                               can
====================  =============================================================  =============
``size``              pixels on each side                                            reject
``exposure``          mean brightness, pixels fully black or white                   reject
``cover``             share of the frame that is cells and not glass                 reject, hint
``motion``            sharpness of one direction against that across it              reject
``focus``             how much of their slope sharp edges lose by a further blur     reject
``stain``             colours of glass, red cells and nuclei against a reference     hint
``overlap``           red cells that lie on each other; after the detector           hint
====================  =============================================================  =============

The defaults were set on the training frames of BCCD and TXL-PBC; the table that supports them is
printed by ``python -m tests.edge_daemon.vision.quality_table``.
"""

from edge_daemon.vision.quality.gate import assess
from edge_daemon.vision.quality.thresholds import QualityThresholds
from edge_daemon.vision.quality.verdict import Check, Decision, Judgement, Quality

__all__ = ["Check", "Decision", "Judgement", "Quality", "QualityThresholds", "assess"]
