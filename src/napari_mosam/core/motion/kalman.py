"""Where an object should be that cannot be seen, and how far that guess may be trusted."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

MEASUREMENT = 0.03
"""Standard deviation of an observed centre along each axis, object diameters.

No number of this filter was measured by itself. What they do together is: look-alikes that pass each other keep their
ids, and lose them without the filter (tests/core/tracking/test_identity.py); on the real movies it changes nothing."""

DIFFUSION = 0.06
"""Standard deviation of the undirected motion along each axis, diameters per frame: most cells dither."""

ACCELERATION = 0.006
"""Standard deviation of the velocity's change along each axis, diameters per frame."""

FIRST_SPEED = 0.12
"""Standard deviation of the velocity along each axis before anything is known, diameters per frame."""

KNOWN_COURSE = 5
"""Frames on which an object must surely have been seen before its motion counts: masks that bleed and shrink seem to
move."""

DIRECTED_SIGMAS, DIRECTED_SPEED = 2.5, 0.02
"""A motion is directed when its speed is so many of its standard deviations, and so many diameters per frame."""


@dataclass(frozen=True, slots=True, eq=False)
class Kalman:
    """Position and velocity of an object, of constant velocity but for diffusion and small changes of the velocity.

    All noise is proportional to the diameter, so the same rules hold at every magnification. The object does not
    change: each method gives a new one.

    Attributes
    ----------
    mean : ndarray of float64, shape (4,)
        (y, x, vy, vx) in px and px per frame.
    covariance : ndarray of float64, shape (4, 4)
        Of `mean`.
    diameter : float
        Size of the object, px.
    n_sure : int
        Frames on which it was surely seen.
    """

    mean: NDArray[np.float64]
    covariance: NDArray[np.float64]
    diameter: float
    n_sure: int = 0

    @classmethod
    def start(cls, center_yx: tuple[float, float], diameter: float) -> "Kalman":
        """An object first seen at `center_yx`, at rest as far as is known.

        Raises
        ------
        ValueError
            If the diameter is not above 0 px.
        """
        if not diameter > 0:
            raise ValueError(f"diameter = {diameter} is not possible; allowed: above 0 px")
        mean = np.array([*center_yx, 0.0, 0.0])
        return cls(mean, np.diag(_variances(MEASUREMENT, FIRST_SPEED, diameter)), float(diameter))

    @property
    def center_yx(self) -> tuple[float, float]:
        """Best guess of the centre, px."""
        return float(self.mean[0]), float(self.mean[1])

    @property
    def velocity_yx(self) -> tuple[float, float]:
        """Best guess of the velocity, px per frame, without verified shifts."""
        return float(self.mean[2]), float(self.mean[3])

    @property
    def sigma_px(self) -> float:
        """Standard deviation of the centre along an axis, px."""
        return float(np.sqrt(np.diag(self.covariance)[:2].mean()))

    @property
    def directed(self) -> bool:
        """Whether the object is known to go somewhere: its speed is neither chance nor too slow to matter."""
        if self.n_sure < KNOWN_COURSE:
            return False
        speed = float(np.hypot(*self.mean[2:]))
        sigma = float(np.sqrt(np.diag(self.covariance)[2:].mean()))
        return speed > DIRECTED_SIGMAS * sigma and speed > DIRECTED_SPEED * self.diameter

    def predict(self, shift_yx: tuple[float, float] = (0.0, 0.0)) -> "Kalman":
        """One frame later, unseen.

        Parameters
        ----------
        shift_yx : tuple of float
            Verified shift (dy, dx) of the frame or the object, px; it moves the centre and leaves the velocity.
        """
        mean = _STEP @ self.mean
        mean[:2] += shift_yx
        noise = np.diag(_variances(DIFFUSION, ACCELERATION, self.diameter))
        return replace(self, mean=mean, covariance=_STEP @ self.covariance @ _STEP.T + noise)

    def update(self, center_yx: tuple[float, float], *, sure: bool = True) -> "Kalman":
        """With the centre seen at `center_yx`, px, on the frame that was predicted."""
        gain = np.linalg.solve(self._innovation, self.covariance[:2]).T
        mean = self.mean + gain @ (np.asarray(center_yx, float) - self.mean[:2])
        kept = np.eye(4) - gain @ _SEEN
        noise = (MEASUREMENT * self.diameter) ** 2 * gain @ gain.T
        # this longer form of the new covariance stays symmetric and positive under rounding
        covariance = kept @ self.covariance @ kept.T + noise
        return replace(self, mean=mean, covariance=covariance, n_sure=self.n_sure + sure)

    @property
    def _innovation(self) -> NDArray[np.float64]:
        return np.asarray(self.covariance[:2, :2] + (MEASUREMENT * self.diameter) ** 2 * np.eye(2))


_STEP = np.eye(4) + np.eye(4, k=2)
"""What one frame at constant velocity makes of (y, x, vy, vx)."""

_SEEN = np.eye(2, 4)
"""What of it is observed: the centre."""


def _variances(position: float, velocity: float, diameter: float) -> NDArray[np.float64]:
    return (np.array([position, position, velocity, velocity]) * diameter) ** 2
