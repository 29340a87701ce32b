"""Makes mutants of Python source with cosmic-ray's operators: each has one expression replaced."""

import difflib
import re
from collections.abc import Iterator
from itertools import count

from .statements import Mutant

# Of annotations, of `is` between enum members, and of arithmetic that nobody writes by mistake, nothing is learned.
_EXCLUDED = re.compile(
    r"core/(ReplaceBinaryOperator_BitOr_.*|ReplaceComparisonOperator_(Is|IsNot)_(Eq|NotEq|Lt|LtE|Gt|GtE)"
    r"|ReplaceComparisonOperator_.*(Eq|Lt|LtE|Gt|GtE)_(Is|IsNot)"
    r"|ReplaceBinaryOperator_.*_(BitAnd|BitOr|BitXor|LShift|RShift|Mod|Pow|FloorDiv|Div))"
)


def mutants(source: str) -> Iterator[Mutant]:
    """Yield the mutants of *source*, each named by the line before and the line after."""
    from cosmic_ray.mutating import mutate_code
    from cosmic_ray.plugins import get_operator, operator_names

    for name in operator_names():
        operator = get_operator(name)
        if _EXCLUDED.fullmatch(name) or operator.arguments():
            continue
        for occurrence in count():
            mutated = mutate_code(source, operator(), occurrence)
            if mutated is None:
                break
            changed = difflib.ndiff(source.splitlines(), mutated.splitlines())
            lines = [line[2:].strip() for line in changed if line.startswith(("- ", "+ "))]
            yield Mutant(" -> ".join(lines), mutated)
