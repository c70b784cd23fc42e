"""The settings of a simulated microscope and camera."""

from dataclasses import dataclass

from napari_mosam.core.config.checks import require


@dataclass(frozen=True, slots=True)
class Optics:
    """How the later modalities look (cytoplasm, membrane, zernike, nomarski, brightfield).

    Only `defocus`, `shading`, `litter` and `ground` act on every modality.

    Parameters
    ----------
    flatness : float
        Profile of a cell from a dome (0) to a plateau with steep sides (1).
    grain : float
        Strength of the large, lasting texture, 0 to 1.
    granules : float
        Strength of the small granules, 0 to 2; they churn by `churn` rad per frame.
    droplets : float
        Strength of a few sharp dark or bright vesicles near the rim, 0 to 2.
    nucleus : float
        Contrast of the nucleus, -1 (a hole) to 1.
    seam : float
        Strength of the line where cells touch each other or end, -1 to 1.
    halo : float
        Share of its own wide blur that is taken from a phase contrast picture, or how much of the same DIC shows
        besides slopes, 0 to 2.
    halo_width : float
        Standard deviation of that blur as a fraction of the diameter.
    angle : float
        Direction of the shear of DIC and of oblique light, rad.
    churn : float
        How fast granules change, rad per frame.
    defocus : float
        Largest extra blur while the focus wanders, px.
    shading : float
        Strength of uneven light over the frame, 0 to 1.
    litter : float
        Pieces of debris per cell's area; they move with the stage.
    ground : float
        Strength of what lies between the cells, clouds, grain and debris, as a multiple of the usual, 0 to 5.

    Raises
    ------
    ValueError
        For any value outside its range.
    """

    flatness: float = 0.3
    grain: float = 0.5
    granules: float = 0.4
    droplets: float = 0.0
    nucleus: float = 0.3
    seam: float = 0.2
    halo: float = 1.0
    halo_width: float = 0.2
    angle: float = 0.8
    churn: float = 0.2
    defocus: float = 0.0
    shading: float = 0.0
    litter: float = 0.0
    ground: float = 1.0

    def __post_init__(self) -> None:
        require(0 <= self.flatness <= 1, "flatness", self.flatness, "0 to 1")
        require(0 <= self.grain <= 1, "grain", self.grain, "0 to 1")
        require(0 <= self.granules <= 2, "granules", self.granules, "0 to 2")
        require(0 <= self.droplets <= 2, "droplets", self.droplets, "0 to 2")
        require(-1 <= self.nucleus <= 1, "nucleus", self.nucleus, "-1 to 1")
        require(-1 <= self.seam <= 1, "seam", self.seam, "-1 to 1")
        require(0 <= self.halo <= 2, "halo", self.halo, "0 to 2")
        require(0 < self.halo_width <= 1, "halo_width", self.halo_width, "above 0 to 1")
        require(self.churn >= 0, "churn", self.churn, "0 rad per frame or more")
        require(self.defocus >= 0, "defocus", self.defocus, "0 px or more")
        require(0 <= self.shading <= 1, "shading", self.shading, "0 to 1")
        require(0 <= self.litter <= 2, "litter", self.litter, "0 to 2")
        require(0 <= self.ground <= 5, "ground", self.ground, "0 to 5")


@dataclass(frozen=True, slots=True)
class Camera:
    """What the camera and the conversion to grey values do to the light.

    Parameters
    ----------
    photons : float, optional
        Photons at full range: shot noise of standard deviation ``sqrt(light / photons)`` of the range; None for none.
    flicker : float
        Standard deviation of each frame's brightness as a fraction of it, 0 to 0.5.
    stretch : tuple of float, optional
        (low, high) percentiles of the first frame's light that become 0 and 1; None leaves the light as it is.
    gamma : float
        Exponent of the stretched light, 0.2 to 5.
    inverted : bool
        Dark becomes bright.
    grey_range : tuple of float
        Part of the camera's range that is used, 0 <= low < high <= 1.

    Raises
    ------
    ValueError
        For any value outside its range.
    """

    photons: float | None = None
    flicker: float = 0.0
    stretch: tuple[float, float] | None = None
    gamma: float = 1.0
    inverted: bool = False
    grey_range: tuple[float, float] = (0.0, 1.0)

    def __post_init__(self) -> None:
        require(self.photons is None or self.photons > 0, "photons", self.photons, "above 0, or None")
        require(0 <= self.flicker <= 0.5, "flicker", self.flicker, "0 to 0.5")
        low, high = (0.0, 100.0) if self.stretch is None else self.stretch
        require(0 <= low < high <= 100, "stretch", self.stretch, "percentiles 0 <= low < high <= 100, or None")
        require(0.2 <= self.gamma <= 5, "gamma", self.gamma, "0.2 to 5")
        low, high = self.grey_range
        require(0 <= low < high <= 1, "grey_range", self.grey_range, "0 <= low < high <= 1")

    @property
    def converts(self) -> bool:
        """Whether grey values are anything but the light."""
        given = (self.stretch, self.gamma, self.inverted, self.grey_range)
        return given != (None, 1.0, False, (0.0, 1.0))
