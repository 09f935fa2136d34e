"""The nine signers: body, colours, habits, room. Lengths are fractions of the frame's side, colours are RGB."""

from __future__ import annotations

from dataclasses import dataclass

Colour = tuple[int, int, int]
HAND = 0.225  # wrist to fingertip of the average signer


@dataclass(frozen=True)
class Signer:
    """One person before one wall."""

    skin: Colour
    hair: Colour
    shirt: Colour
    wall: Colour
    hair_style: str = "short"  # short, long, bun, bald
    bare_arms: bool = False  # short sleeves
    glasses: bool = False
    head: float = 1.0  # sizes relative to the average signer
    face_width: float = 1.0
    shoulders: float = 1.0
    arms: float = 1.0
    hand: float = 1.0
    pace: float = 1.0  # > 1 signs faster
    reach: float = 1.0  # size of movements and of the signing space
    shift: tuple[float, float] = (0.0, 0.0)  # habitual offset of the hands, outward and up
    texture: str = "plain"  # of the wall: plain, gradient, stripes, curtain

    @property
    def shoulder(self) -> float:
        """From the midline to a shoulder."""
        return 0.185 * self.shoulders

    @property
    def upper_arm(self) -> float:
        return 0.27 * self.arms

    @property
    def forearm(self) -> float:
        return 0.25 * self.arms

    @property
    def hand_length(self) -> float:
        return HAND * self.hand


SIGNERS = (
    Signer((226, 178, 150), (70, 46, 34), (38, 42, 58), (150, 156, 164), "short", texture="gradient"),
    Signer((240, 200, 176), (196, 150, 84), (30, 30, 34), (172, 176, 180), "long", face_width=0.93, shoulders=0.9,
           arms=0.95, hand=0.93, pace=1.08, reach=0.94, shift=(0.01, 0.015), texture="plain"),
    Signer((138, 92, 66), (26, 20, 20), (204, 196, 178), (112, 124, 140), "short", bare_arms=True, shoulders=1.08,
           arms=1.04, hand=1.05, pace=0.93, reach=1.08, texture="gradient"),
    Signer((214, 164, 130), (38, 28, 28), (112, 32, 44), (184, 184, 176), "bun", face_width=0.95, shoulders=0.92,
           hand=0.95, pace=1.02, reach=0.97, shift=(-0.01, 0.02), texture="stripes"),
    Signer((236, 190, 164), (152, 148, 144), (34, 64, 52), (128, 136, 130), "bald", glasses=True, head=1.04,
           shoulders=1.05, pace=0.88, reach=0.92, shift=(0.0, -0.02), texture="plain"),
    Signer((96, 62, 46), (18, 14, 14), (222, 214, 120), (140, 148, 168), "bun", bare_arms=True, head=0.97,
           shoulders=0.94, arms=1.02, hand=1.0, pace=1.12, reach=1.06, texture="curtain"),
    Signer((232, 186, 158), (150, 62, 32), (48, 54, 88), (190, 182, 170), "long", bare_arms=True, glasses=True,
           face_width=0.97, shoulders=0.95, pace=0.97, reach=1.02, shift=(0.015, 0.0), texture="gradient"),
    Signer((200, 148, 112), (30, 24, 22), (70, 74, 78), (96, 110, 118), "short", glasses=True, head=1.02,
           shoulders=1.1, arms=1.05, hand=1.06, pace=1.0, reach=1.1, shift=(0.0, 0.01), texture="stripes"),
    Signer((248, 212, 192), (110, 78, 52), (22, 56, 92), (160, 150, 140), "long", head=0.96, face_width=0.92,
           shoulders=0.88, arms=0.94, hand=0.92, pace=1.15, reach=0.9, shift=(0.005, -0.01), texture="curtain"),
)  # fmt: skip
