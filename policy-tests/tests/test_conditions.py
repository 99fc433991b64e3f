"""Conditions of analyses compile exactly where the controller compiles them.

The verdicts were taken from expr-lang 1.17.7 with the functions of Argo Rollouts 1.10.
"""

from __future__ import annotations

import pytest
from gitops_policy.notations.conditions import flaw
from hypothesis import given, settings
from hypothesis import strategies as st

COMPILES = """\
len(result) > 0 && !isNaN(result[0])
result[0] < 1 and true
all(result, # < 1)
all(result, {# < 1})
none(result, # > 1,)
count([1, 2, 3], # < result[0]) > 1
count(result)
sum(result, # * 2) > 1
len(result) == 0 ? true : false
len(result) > 0 ? result[0] > 1 : len(result) > 1 ? true : false
result[0] > 1 ?: 2
result[0:1]
result[:1]
result[-1] > 0
not (result[0] > 1)
let x = 1; x > 0
if true { 1 } else { 2 }
if true { 1 } else if false { 2 } else { 3 }
1..3
`a`
1e3 > 2
1_000 > 2
0x1F
.5 < 1
5.
asFloat(result) > 1
default(result, 0)
isNil(result)
filter(result, # > 1)
map(result, # + 1)[0] > 1
result | len()
result | filter(# > 1) | len() > 0
{a: 1}.a
{(1): 2}
[1, 2,]
nil == result
result[0] == 1; true
-1
2 ** 3 ^ 4
"a" not startsWith "b"
(result[0] ?? 0) > 1
1 /* note */ + 2 // end
reduce(result, #acc + #, 0) > 1
sortBy(result, #, "desc")
::len(result) > 1
$env["result"]
""".splitlines()
BROKEN = """\
result[0] <
(result[0] < 1
result[0]) < 1
foo(result)
bar > 1
isNan(result[0])
RESULT[0] > 1
isNaN()
isNaN(1, 2)
default(result)
len(result
len result
a => b
result[0] = 1
result[0] =< 1
result[0] <> 1
result[0] === 1
result[0] & 1
result[0] AND 1
result && || true
result &&
&& result
1 2
1 +
"a
1.2.3
1x
all()
all(result)
all(result, # > 1, 2)
#
# > 1
.x
if true { 1 }
1 if 2
let x = 1
let x 1; 2
let len = 1; len
let result = 1; result
[1,,2]
{1}
result | foo()
result | len
"a" not b
result not
result[0] ? 1
(1, 2)
;
result[0] ?? 0 > 1
result[0] > 1%
$labels
""".splitlines()


@pytest.mark.parametrize("condition", COMPILES)
def test_what_the_controller_compiles_has_no_flaw(condition: str) -> None:
    assert flaw(condition) == ""


@pytest.mark.parametrize("condition", BROKEN)
def test_what_the_controller_refuses_has_a_flaw(condition: str) -> None:
    assert flaw(condition)


def test_a_flaw_names_the_column() -> None:
    assert flaw("len(result) > 0 && isNan(result[0])") == "column 20: unknown name isNan"


def test_what_nests_by_the_hundred_is_refused() -> None:
    assert "too deeply" in flaw("(" * 500 + "1" + ")" * 500)


@settings(max_examples=500, deadline=None, derandomize=True)
@given(st.text(st.sampled_from("result[0]len(){}<>=!&|?:.,;# \"'`1x\n+-*/%^~$@ınot "), max_size=40))
def test_any_text_compiles_or_has_a_flaw(text: str) -> None:
    assert isinstance(flaw(text), str)
