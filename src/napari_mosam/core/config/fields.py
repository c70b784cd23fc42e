"""The settings as a list: what each is called, may be and means; for flags, files, controls and docs."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, is_dataclass
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

ROOT = "engine"
"""The section whose settings are named without it: 'window.ratio'."""

_KINDS: dict[Any, str] = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}


@dataclass(frozen=True, slots=True)
class Meta:
    """What is said of a setting beside its type, range and description.

    Attributes
    ----------
    unit : str
        Of its number, in the plural.
    label : str
        What the advanced panel calls it; without one it is not there.
    allowed : str
        What it may be, where type and range do not say it.
    """

    unit: str = ""
    label: str = ""
    allowed: str = ""


@dataclass(frozen=True, slots=True)
class Range:
    """Where a number may lie.

    Attributes
    ----------
    low, high : float or None
        Ends; None where it has none.
    low_open, high_open : bool
        Whether the end itself is left out.
    """

    low: float | None = None
    high: float | None = None
    low_open: bool = False
    high_open: bool = False

    @classmethod
    def of(cls, constraints: Iterable[Any]) -> "Range":
        """From the constraints of a field: ge, gt, le and lt."""
        found = {name: getattr(c, name) for c in constraints for name in ("ge", "gt", "le", "lt") if hasattr(c, name)}
        low, high = found.get("ge", found.get("gt")), found.get("le", found.get("lt"))
        return cls(low, high, "gt" in found, "lt" in found)

    def words(self, unit: str = "") -> str:
        """'1.5 to 20', '0 to below 1', '0 or more', 'a positive number'."""
        unit = unit and f" {unit}"
        if self.high is None:
            return self._upward(unit)
        if self.low is None:
            return f"below {self.high:g}{unit}" if self.high_open else f"{self.high:g} or less{unit}"
        return f"{'above ' * self.low_open}{self.low:g} to {'below ' * self.high_open}{self.high:g}{unit}"

    def _upward(self, unit: str) -> str:
        if self.low is None:
            return f"any number{unit and f' of{unit}'}"
        if not self.low_open:
            return f"{self.low:g} or more{unit}"
        return f"above {self.low:g}{unit}" if self.low else f"a positive number{unit and f' of{unit}'}"


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting.

    Attributes
    ----------
    path : tuple of str
        Names of the sections it lies in, and its own.
    kind : type
        As declared, without ranges.
    default : object
    description : str
    meta : Meta
    ranges : tuple of Range
        Of its number, or of each number of a pair.
    """

    path: tuple[str, ...]
    kind: Any
    default: Any
    description: str
    meta: Meta
    ranges: tuple[Range, ...]

    @property
    def name(self) -> str:
        """With dots, as files and ``--set`` have it."""
        return ".".join(self.path[self.path[0] == ROOT :])

    @property
    def optional(self) -> bool:
        """Whether it may be left open."""
        return NoneType in get_args(self.kind)

    @property
    def value_kind(self) -> Any:
        """Its type where it is not left open."""
        kinds = [kind for kind in get_args(self.kind) if kind is not NoneType]
        return Union[tuple(kinds)] if self.optional else self.kind  # noqa: UP007  # of a tuple

    @property
    def choices(self) -> tuple[str, ...]:
        """The words it may be; empty where it is no word of a list."""
        return get_args(self.value_kind) if get_origin(self.value_kind) is Literal else ()

    @property
    def allowed(self) -> str:
        """What it may be, in words."""
        return self.meta.allowed or self._otherwise(self._range_words())

    @property
    def allowed_kind(self) -> str:
        """What kind of value it may be, in words."""
        return self.meta.allowed or self._otherwise(self._kind_words())

    def _otherwise(self, words: str) -> str:
        return f"{words}, or none" if self.optional else words

    def _kind_words(self) -> str:
        if self.choices:
            return listed_words(self.choices)
        return _KINDS.get(self.value_kind) or f"a list of {len(get_args(self.value_kind))} numbers"

    def _range_words(self) -> str:
        if self.value_kind not in (int, float) and get_origin(self.value_kind) is not tuple:
            return self._kind_words()
        return f"{'two numbers: ' * (len(self.ranges) > 1)}{', '.join(r.words(self.meta.unit) for r in self.ranges)}"


def settings_of(declared: Any) -> tuple[Setting, ...]:
    """Every setting of a settings class and of its sections, in the order in which they are declared."""
    return tuple(_walk(declared, ()))


def _walk(declared: Any, above: tuple[str, ...]) -> Iterator[Setting]:
    for name, info in declared.__pydantic_fields__.items():
        path = (*above, name)
        if is_dataclass(info.annotation):
            yield from _walk(info.annotation, path)
        else:
            meta = next((m for m in info.metadata if isinstance(m, Meta)), Meta())
            default = info.get_default(call_default_factory=True)
            yield Setting(path, _bare(info.annotation), default, info.description or "", meta, _ranges(info))


def _bare(kind: Any) -> Any:
    """A type without what is annotated in it."""
    origin, args = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return _bare(args[0])
    if origin in (Union, UnionType):
        return Union[tuple(_bare(arg) for arg in args)]  # noqa: UP007  # of a tuple
    return tuple.__class_getitem__(tuple(_bare(arg) for arg in args)) if origin is tuple else kind


def _ranges(info: Any) -> tuple[Range, ...]:
    if get_origin(info.annotation) is not tuple:
        return (Range.of(info.metadata),)
    return tuple(Range.of(_constraints(kind)) for kind in get_args(info.annotation))


def _constraints(kind: Any) -> list[Any]:
    annotated = get_args(kind)[1:] if get_origin(kind) is Annotated else ()
    return [constraint for field in annotated for constraint in field.metadata]


def listed_words(words: Iterable[str], last: str = " or ") -> str:
    """'a', 'b' or 'c'."""
    *first, end = (f"'{word}'" for word in words)
    return f"{', '.join(first)}{last}{end}" if first else end


def type_words(kind: Any) -> str:
    """A type as numpy's docstrings write it."""
    if get_origin(kind) is Literal:
        return "{" + ", ".join(map(repr, get_args(kind))) + "}"
    if get_origin(kind) in (Union, UnionType):
        return " or ".join(type_words(arg) for arg in get_args(kind))
    if get_origin(kind) is tuple:
        return f"({', '.join(type_words(arg) for arg in get_args(kind))})"
    return "None" if kind is NoneType else str(kind.__name__)
