"""Numbers that stand in the code under a name say what they are and what set them."""

import ast
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "napari_mosam"


def is_number(value: ast.expr | None) -> bool:
    """Whether an expression is a number, arithmetic with one, or a collection, mapping or call of numbers alone."""
    match value:
        case ast.Constant(value=constant):
            return isinstance(constant, int | float) and not isinstance(constant, bool)
        case ast.UnaryOp(operand=operand):
            return is_number(operand)
        case ast.BinOp(left=left, right=right):
            return is_number(left) or is_number(right)
        case ast.Tuple(elts=parts) | ast.List(elts=parts) | ast.Set(elts=parts) | ast.Dict(values=parts):
            return bool(parts) and all(map(is_number, parts))
        case ast.Call(func=function, args=args):
            inner = isinstance(function, ast.Attribute) and is_number(function.value)
            return inner or (bool(args) and all(map(is_number, args)))
    return False


def named(statement: ast.stmt) -> tuple[list[str], ast.expr | None]:
    """The names that a statement gives a value, and that value."""
    match statement:
        case ast.Assign(targets=targets, value=value):
            parts = [part for target in targets for part in getattr(target, "elts", [target])]
            return [part.id for part in parts if isinstance(part, ast.Name)], value
        case ast.AnnAssign(target=ast.Name(id=name), value=value):
            return [name], value
    return [], None


def is_text(statement: ast.stmt | None) -> bool:
    """Whether a statement is a docstring."""
    match statement:
        case ast.Expr(value=ast.Constant(value=str(text))):
            return bool(text.strip())
    return False


def unexplained(source: str) -> Iterator[str]:
    """Names in capitals that a module gives a number without a docstring directly below."""
    statements = ast.parse(source).body
    for statement, below in zip_longest(statements, statements[1:]):
        names, value = named(statement)
        if is_number(value) and not is_text(below):
            yield from (name for name in names if name.isupper())


@pytest.mark.parametrize("path", sorted(SOURCE.rglob("*.py")), ids=lambda path: str(path.relative_to(SOURCE)))
def test_every_constant_says_what_it_is_and_what_set_it(path):
    assert list(unexplained(path.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("REACH = 3", ["REACH"]),
        ("REACH = 3\nNEAR = 1.0\n'''Diameters.'''", ["REACH"]),
        ("REACH = 3  # diameters", ["REACH"]),
        ("REACH = 3\n''", ["REACH"]),
        ("_LOW, _HIGH = -0.5, 2**0.5", ["_LOW", "_HIGH"]),
        ("SIDES: tuple[int, ...] = (128, 192)", ["SIDES"]),
        ("STEP = LONGEST - 1", ["STEP"]),
        ("WEIGHTS = {'a': 0.5, 'b': 1}", ["WEIGHTS"]),
        ("LOBES = np.array([2, 3])\nEYE = np.eye(4) * scale", ["LOBES", "EYE"]),
        ("REACH = 3\n'''Diameters; not measured.'''", []),
        ("_LOW, _HIGH = 0, 1\n'''Ends.'''", []),
        ("NAMES = ('a', 'b')\nON = True\nKIND = Literal['a']\nstart = 3", []),
        ("def f():\n    SIDE = 3\n    return SIDE", []),
    ],
)
def test_a_constant_without_a_docstring_is_found(source, names):
    assert list(unexplained(source)) == names
