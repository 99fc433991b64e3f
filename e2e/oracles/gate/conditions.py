"""Conditions: those that people write, and trees of the expression language drawn at random."""

from random import Random

#: Success and failure conditions as people write them; what is missing is an empty text.
PAIRS = (
    ("result[0] < 5", ""),
    ("", "result[0] >= 5"),
    ("result[0] < 5", "result[0] >= 5"),
    ("result[0] < 3", "result[0] > 6"),
    ("", ""),
    (
        "len(result) > 0 && !isNaN(result[0]) && !isInf(result[0]) && result[0] <= 3",
        "len(result) > 0 && !isNaN(result[0]) && !isInf(result[0]) && result[0] > 6",
    ),
    ("len(result) == 1 && result[0] <= 3", "len(result) == 1 && result[0] > 6"),
    ("len(result) == 0 || result[0] < 5", ""),
    ("all(result, # < 5)", "any(result, {# >= 5})"),
    ("none(result, isNaN(#)) && count(result, # > 4) < 1", "count(result, isInf(#)) > 0"),
    ("isNil(result) || default(result, 0)[0] < 5", ""),
    ("result < 5", "result > 6"),
    ("asFloat(result[0]) / 2 < 3", "asInt(result[0]) % 7 == 0"),
    ("!isNaN(result[-1]) and result[-1] * 2 - 1 < 9", "not (result[-1] < 5)"),
    ("result[0] < 5 ? true : false", "result[0] > 6"),
    ("len(result) > 0 and (result[0] == 2 or result[0] < 2)", ""),
    ("isNaN(result[0])", "isInf(result[0])"),
    ("result[1] < 5", ""),
)
_SMALL = ("0", "1", "2", "3", "-1", "7")
_DECIMAL = ("0.5", "1.0", "2.25", "1e3", ".5", "3.0")
_ORDER = ("<", "<=", ">", ">=", "==", "!=")


class Conditions:
    """Draws conditions; most fit their result, some do not."""

    def __init__(self, random: Random) -> None:
        self._random = random

    def condition(self, depth: int = 3) -> str:
        """Draw a condition that is true or false, most of the time."""
        kind = self._random.choices(
            ("compare", "logic", "not", "call", "predicate", "choice", "number", "word"),
            weights=(8, 7, 3, 4, 4, 1, 0.3, 0.5),
        )[0]
        if depth <= 0 and kind in ("logic", "not", "choice"):
            kind = "compare"
        return str(getattr(self, f"_{kind}")(depth - 1))

    def _compare(self, depth: int) -> str:
        operator = self._random.choice(_ORDER)
        return f"{self.number(depth)} {operator} {self.number(depth)}"

    def _logic(self, depth: int) -> str:
        operator = self._random.choice(("&&", "||", "and", "or"))
        text = f"{self.condition(depth)} {operator} {self.condition(depth)}"
        return self._maybe_in_brackets(text)

    def _not(self, depth: int) -> str:
        sign = self._random.choice(("!", "not "))
        return f"{sign}({self.condition(depth)})"

    def _call(self, depth: int) -> str:
        name = self._random.choice(("isNaN", "isInf", "isNil"))
        return f"{name}({self._float(depth)})"

    def _predicate(self, depth: int) -> str:
        name = self._random.choice(("all", "any", "none"))
        test = self._random.choice(
            (
                "# < 3",
                "# >= 1 && # <= 7",
                "isNaN(#)",
                "!isInf(#)",
                "# == result[0]",
                "# * 2 > # + 1",
            )
        )
        return f"{name}(result, {self._random.choice((test, '{' + test + '}'))})"

    def _choice(self, depth: int) -> str:
        return f"({self.condition(depth)} ? {self.condition(depth)} : {self.condition(depth)})"

    def _number(self, depth: int) -> str:
        return self.number(depth)

    def _word(self, _: int) -> str:
        return self._random.choice(("true", "false", "result == 1", "result[0]"))

    def _maybe_in_brackets(self, text: str) -> str:
        return f"({text})" if self._random.random() < 0.5 else text

    def number(self, depth: int) -> str:
        """Draw something that is a number, most of the time."""
        if depth <= 0 or self._random.random() < 0.5:
            return self._float(depth)
        operator = self._random.choice(("+", "-", "*", "/", "/", "**", "%", "^"))
        text = f"{self.number(depth - 1)} {operator} {self.number(depth - 1)}"
        return self._maybe_in_brackets(text)

    def _float(self, depth: int) -> str:
        draw = self._random.choices(
            (
                "result[0]",
                f"result[{self._random.choice(_SMALL)}]",
                "len(result)",
                self._random.choice(_SMALL),
                self._random.choice(_DECIMAL),
                f"-{'result[0]' if depth <= 0 else '(' + self.number(depth - 1) + ')'}",
                "asFloat(result[0])",
                "asInt(result[0])",
                "count(result, # > 2)",
                "default(result, [1])[0]",
                "result",
                '"4"',
                'asFloat("1.5")',
                "result[len(result) - 1]",
            ),
            weights=(9, 3, 4, 4, 4, 1, 1, 1, 1, 1, 0.4, 0.3, 0.3, 1),
        )
        return draw[0]
