"""Small networks with the signatures of the real ones, and a draft made of them."""

from __future__ import annotations

from datetime import datetime, timezone

import torch
from torch import Tensor, nn

from edge_daemon.contract.bundle import Provenance
from edge_daemon.contract.roles import ClassifierRole, DetectorRole
from exporter.bundle.draft import BundleDraft, RoleDraft
from exporter.bundle.provenance import C_NMC
from trainer.data.data_manifest import DataManifest, SetManifest

DETECTOR = DetectorRole(
    input_height=96,
    input_width=128,
    score_thresholds={"wbc": 0.3, "rbc": 0.4, "platelet": 0.5},
)
CLASSIFIER = ClassifierRole(
    size=64, crop_um=19.8, abstain_band=(0.3, 0.7), single_cell_um_per_px=0.044
)


class SmallClassifier(nn.Module):
    """Two logits from two convolutions and a mean."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, stride=4)
        self.norm = nn.BatchNorm2d(8)
        self.second = nn.Conv2d(8, 8, 3)
        self.fc = nn.Linear(8, 2)

    def forward(self, crops: Tensor) -> Tensor:
        x = (crops.float().permute(0, 3, 1, 2) - 127.0) / 128.0
        seen = torch.relu(self.second(torch.relu(self.norm(self.conv(x)))))
        return self.fc(seen.mean(dim=(2, 3)))


DATA = DataManifest(
    sets=(
        SetManifest(
            name="bccd/val",
            layout="voc",
            counts={"pictures": 3, "wbc": 4},
            digest="sha256:" + "cd" * 32,
        ),
    )
)


class SmallDetector(nn.Module):
    """Logits and distances at three strides."""

    def __init__(self) -> None:
        super().__init__()
        self.levels = nn.ModuleList(nn.Conv2d(3, 7, s, stride=s) for s in DETECTOR.strides)

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        x = image.float().permute(0, 3, 1, 2) / 255.0
        raw = [level(x) for level in self.levels]
        return tuple(part for level in raw for part in (level[:, :3], torch.relu(level[:, 3:])))


def small_draft(version: str = "1.2.3") -> BundleDraft:
    """The same draft at every call."""
    torch.manual_seed(5)
    return BundleDraft(
        name="small",
        version=version,
        roles=(
            RoleDraft("detector", DETECTOR, SmallDetector(), {"bccd.map50": 0.87}),
            RoleDraft(
                "classifier", CLASSIFIER, SmallClassifier(), {"on_black.auroc": 0.9123456789}
            ),
        ),
        provenance=Provenance(
            created=datetime(2026, 11, 23, 12, 0, tzinfo=timezone.utc),
            command="leuko-export bundle --name small",
            software={"torch": torch.__version__},
            data=(C_NMC,),
            train_groups_sha256="ab" * 32,
        ),
        data=DATA,
    )
