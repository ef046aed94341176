"""The networks of a bundle, opened, proven and ready: pixels in, detections and verdicts out.

The one place where a bundle, an engine and the reading of outputs meet. The networks belong to the
thread that opened them, as its engines do; what is said to be for any thread touches no network.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from types import TracebackType

import numpy as np
import numpy.typing as npt
from typing_extensions import Self

from edge_daemon.contract.bundle import Bundle, ClassifierModels, RoleName
from edge_daemon.contract.messages import EngineInUse
from edge_daemon.contract.roles import ClassifierRole, DetectorRole, Precision
from edge_daemon.engines.base import Engine
from edge_daemon.engines.golden import check_golden
from edge_daemon.engines.options import EngineOptions
from edge_daemon.engines.refusals import Refusal
from edge_daemon.engines.select import open_engine, precisions
from edge_daemon.errors import EngineError, GoldenSetError
from edge_daemon.vision.classify import Verdicts, judge_cells
from edge_daemon.vision.detect import Detections, decode, letterbox

log = logging.getLogger(__name__)

BATCH = 32
"""Crops classified at once: larger batches gain nothing on two cores and cost memory."""


@dataclass(frozen=True, eq=False)
class DetectorInput:
    """A frame letterboxed for the detector."""

    image: npt.NDArray[np.uint8]
    """uint8 ``[1, input_height, input_width, 3]``."""
    scale: float
    """Input pixels per frame pixel."""
    frame_height: int
    frame_width: int


class Models:
    """Detector and classifier of a bundle on this machine."""

    def __init__(
        self,
        bundle: Bundle,
        detector: Engine | None,
        classifier: Engine,
        classifier_role: ClassifierRole,
        judge: RoleName = "classifier",
    ) -> None:
        self.bundle = bundle
        self._detector = detector
        self._classifier = classifier
        self._judge = judge
        self.detector_role: DetectorRole = bundle.manifest.roles.detector.spec
        self.classifier_role = classifier_role

    @classmethod
    def open(
        cls,
        bundle: Bundle,
        options: EngineOptions = EngineOptions(),
        roles: Sequence[RoleName] = ("detector", "classifier"),
    ) -> Models:
        """Load networks and hold each against the bundle's golden set.

        Where no precision was asked for, one that fails gives way to the next, and the log says so.

        Raises:
            EngineError: a network cannot be loaded here, or does not pass its golden set.
            BundleError: the bundle lacks a role, a precision or its golden set.
        """
        opened: dict[str, Engine] = {}
        with ExitStack() as stack:  # closes those that were opened when a later one fails
            for role in roles:
                order = precisions(bundle, role, options)
                opened[role] = _proven(bundle, role, options, order)
                stack.callback(opened[role].close)
            stack.pop_all()
        judge: RoleName = "classifier" if "classifier" in opened else "second_opinion"
        models = bundle.role(judge)
        assert isinstance(models, ClassifierModels)  # noqa: S101 - so the manifest's types say
        spec = models.read_in(opened[judge].precision)
        return cls(bundle, opened.get("detector"), opened[judge], spec, judge)

    @property
    def engines(self) -> tuple[Engine | None, Engine]:
        """Detector and classifier; whoever times them puts others around them."""
        return self._detector, self._classifier

    @engines.setter
    def engines(self, engines: tuple[Engine | None, Engine]) -> None:
        self._detector, self._classifier = engines

    @property
    def description(self) -> str:
        """Bundle and engines, for logs and messages."""
        engines = {e.name for e in (self._detector, self._classifier) if e is not None}
        return f"{self.bundle.label} on {', '.join(sorted(engines))}"

    @property
    def engines_in_use(self) -> tuple[EngineInUse, ...]:
        """Each network, and how it is computed here."""
        roles: dict[RoleName, Engine | None] = {
            "detector": self._detector,
            self._judge: self._classifier,
        }
        return tuple(
            EngineInUse(role=role, engine=engine.name[:160], precision=engine.precision)
            for role, engine in roles.items()
            if engine is not None
        )

    def scaled(self, pixels: npt.NDArray[np.uint8]) -> DetectorInput:
        """A frame (RGB uint8 ``[h, w, 3]``) as the detector takes it. Any thread may ask."""
        image, scale = letterbox(pixels, self.detector_role)
        return DetectorInput(image, scale, pixels.shape[0], pixels.shape[1])

    def detect(self, view: DetectorInput) -> Detections:
        """The cells of the frame that ``view`` was made of, in pixels of the frame."""
        if self._detector is None:
            raise EngineError("the detector was not opened")
        outputs = self._detector.run({"image": view.image})
        return decode(outputs, self.detector_role, view.scale, view.frame_height, view.frame_width)

    def classify(self, crops: npt.NDArray[np.uint8]) -> Verdicts:
        """What the classifier says about crops (RGB uint8 ``[N, size, size, 3]``)."""
        if not len(crops):
            return Verdicts.none()
        answers = [
            self._classifier.run({"crops": crops[first : first + BATCH]})
            for first in range(0, len(crops), BATCH)
        ]
        logits = np.concatenate([answer["logits"] for answer in answers])
        role = self.classifier_role
        if role.novelty_limit is None:
            return judge_cells(logits, role)
        return judge_cells(logits, role, np.concatenate([answer["novelty"] for answer in answers]))

    def close(self) -> None:
        """Free the networks."""
        for engine in (self._detector, self._classifier):
            if engine is not None:
                engine.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def _proven(
    bundle: Bundle, role: RoleName, options: EngineOptions, order: Sequence[Precision]
) -> Engine:
    """A role's network in the first precision that answers here as the exporter saw it answer."""
    precision, *others = order
    refusal = Refusal(bundle, role, precision, options)
    why = refusal.known if others else None
    if why is None:
        try:
            return _held_against_golden_set(bundle, role, options, precision)
        except GoldenSetError as error:
            if not others:
                advice = "use another --engine or --precision, or the bundle before this one"
                raise GoldenSetError(f"{error}; {advice}") from error
            why = str(error)
            refusal.note(why)
    log.warning("%s; %s is taken in its place", why, others[0])
    return _proven(bundle, role, options, others)


def _held_against_golden_set(
    bundle: Bundle, role: RoleName, options: EngineOptions, precision: Precision
) -> Engine:
    network = open_engine(bundle, role, options, precision)
    try:
        result = check_golden(network, bundle, role)
        if not result.passed:
            raise GoldenSetError(
                f"{role} of {bundle.label} in {precision} fails its golden set on {network.name}: "
                f"it differs by {result.difference:.2g}, allowed is {result.tolerance:.2g}"
            )
    except BaseException:
        network.close()
        raise
    return network
