"""What we call a mistake of syntax is one in promtool, and what it refuses we refuse."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from gitops_policy.notations import promql
from gitops_policy.notations.go_templates import flaws
from gitops_policy.prometheus.expressions import everywhere
from gitops_policy.reading.build import build_kustomization
from gitops_policy.world import Config, World

ROOT = Path(__file__).resolve().parents[2]
PROMTOOL = ROOT / ".tools" / "bin" / "promtool"

GOOD = """\
x
x{a="1"}
{__name__="x"}
{"x",a="1"}
foo{a='b',}
x{a=`\\d`}
x{"a.b"="1"}
x{a!="b",a!~"c.*"}
{__name__=~"a.*"}
x @ 100
x @ start()
x @ end() offset 1m
x offset -1m
-x
+ 1
x and y
x unless y > 1
x / on(a) group_left(b) y
x / ignoring(a) group_left y
x == on(a) group_left y
x * on() y
x == bool 1
x > bool y
1 > bool 2
x == x == x
x ^ 2 ^ 3
x atan2 y
sum(x) by (a)
sum by (a,) (x)
sum by () (x)
sum without(a)(x)
count_values("v", x)
quantile(0.9, x)
topk by (a) (5, x)
group(x)
stddev(x)
rate(x[5m])
rate(x[5])
rate(x[5m:1m])
avg_over_time(x[1h:])
max_over_time((x)[5m:])
max_over_time(x[5m] offset 1m)
sum(x)[5m:1m] offset 1m
x[1h30m]
x[1y]
histogram_quantile(0.9, sum by (le) (rate(x_bucket[5m])))
histogram_fraction(0, 1, x)
label_replace(x, "a", "$1", "b", "(.*)")
label_join(x, "a", ",", "b")
absent(x{a="b"})
absent_over_time(x[5m])
predict_linear(x[5m], 3600)
clamp(x, 1, 2)
clamp_min(x, 1)
scalar(x)
vector(1)
time()
minute()
pi()
sgn(x)
sort_desc(x)
last_over_time(x[5m])
0x1F
1e3
1_000
.5
NaN
Inf
5m
x{a="b"} # comment
foo:bar{a='1'}
""".splitlines()
BAD = """\
x{a="1" or b="2"}
x{a}
x{a<"b"}
x{a="b" c="d"}
x{a=~"("}
x{a="\\d"}
x{__name__='y'}
{}
{a=''}
{a=~'.*'}
x[5m
x[0s]
x[1.5h]
x[30m1h]
rate(x)
rate(x[5m])[5m]
sum(x[5m])
sum(
absent(x
()
(x
x)
1 +
!x
x = 1
x =~ y
x == 'a'
1 > 2
1 and 2
x or 2
x unless 1 > bool 2
x or ignoring(a) group_left y
x + bool y
x and bool y
x > on(a) bool y
1 + on(a) 2
x * on(a) group_left(a) y
x on(a) y
x offset y
x offset 1m offset 2m
x @ 1 @ 2
topk(x, y)
quantile(0.9)
quantile("a", x)
min(x, y)
abs()
abs(x, y)
time(1)
sort(1)
scalar(1)
vector('a')
label_join(x, "a")
clamp(x, 1)
predict_linear(x, 3600)
histogram_quantile(x)
holt_winters(x[5m], 0.5, 0.5)
no_such_function(x)
sum by (a) x
sum without a (x)
sum(x) keep_common
rate(x[5m])by(a)
x / on a y
x y
x-
9x
1.2.3
"a" + "b"
café
""".splitlines()
TEMPLATES = """\
{{ $labels.a }} {{ $value }}
{{ $labels.a | toUpper | title }}
{{ printf "%.2f" $value }}
{{ printf "a }} b" }}
{{ if gt $value 1.0 }}x{{ else if eq $labels.a "y" }}y{{ else }}z{{ end }}
{{ range $i, $e := query "up" }}{{ $i }}{{ $e.Labels.a }}{{ end }}
{{ with query "up" }}{{ . | first | value }}{{ end }}
{{ $x := 1 }}{{ $x }}
{{- /* note */ -}}
{{ (index $labels "a") }}
{{ `raw }}` }}
{{ humanizePercentage $value }} } {
{{ reReplaceAll "a" "b" $labels.a }}
{{ define "t" }}x{{ end }}{{ template "t" }}
{{ $labels.a
{{ $value | humanise }}
{{ if $labels.a }}x
{{ end }}
{{ else }}
{{ $y }}
{{}}
{{ (index $labels "a" }}
{{ "unclosed }}
{{ $value * 100 }}
{{ if }}x{{ end }}
{{ break }}
{{ $labels["a"] }}
{{ lower $labels.a }}
""".splitlines()


def _promtool(folder: Path, rules: list[dict[str, object]]) -> set[int]:
    """The numbers of the rules that promtool refuses; each is checked in a file of its own."""
    files = [folder / f"{i}.json" for i in range(len(rules))]
    for file, rule in zip(files, rules, strict=True):
        file.write_text(json.dumps({"groups": [{"name": "g", "rules": [rule]}]}))
    done = subprocess.run(
        [PROMTOOL, "check", "rules", "--lint=none", *files], capture_output=True, text=True
    )
    parts = done.stdout.split("Checking ")[1:]
    assert len(parts) == len(rules), done.stderr
    return {int(Path(part.split("\n", 1)[0]).stem) for part in parts if "SUCCESS" not in part}


def _accepted(query: str) -> bool:
    try:
        promql.parse(query)
    except ValueError:
        return False
    return True


def test_what_promtool_accepts_parses(tmp_path: Path) -> None:
    rules: list[dict[str, object]] = [{"record": "a", "expr": query} for query in GOOD]
    assert not _promtool(tmp_path, rules)
    assert [query for query in GOOD if not _accepted(query)] == []


def test_what_promtool_refuses_does_not_parse(tmp_path: Path) -> None:
    rules: list[dict[str, object]] = [{"record": "a", "expr": query} for query in BAD]
    assert [BAD[i] for i in set(range(len(BAD))) - _promtool(tmp_path, rules)] == []
    assert [query for query in BAD if _accepted(query)] == []


def test_every_expression_that_we_deliver_is_accepted_by_promtool(tmp_path: Path) -> None:
    build = build_kustomization(ROOT / "overlays" / "production" / "inference")
    delivered = [e.tree.prettify() for e in everywhere(World(build, Config(), None))]
    rules: list[dict[str, object]] = [{"record": "a", "expr": query} for query in delivered]
    assert len(delivered) > 20
    assert not _promtool(tmp_path, rules)


def test_experimental_functions_are_those_that_promtool_wants_a_flag_for(tmp_path: Path) -> None:
    samples = {
        "info": "info(x)", "limitk": "limitk(2, x)", "limit_ratio": "limit_ratio(0.1, x)",
        "sort_by_label": 'sort_by_label(x, "a")', "mad_over_time": "mad_over_time(x[5m])",
        "double_exponential_smoothing": "double_exponential_smoothing(x[5m], 0.5, 0.5)",
        "sort_by_label_desc": 'sort_by_label_desc(x, "a")',
    }  # fmt: skip
    rules: list[dict[str, object]] = [{"record": "a", "expr": q} for q in samples.values()]
    assert len(_promtool(tmp_path, rules)) == len(samples)
    assert set(samples) <= promql.EXPERIMENTAL
    assert all(_accepted(query) for query in samples.values())


def test_templates_expand_for_us_if_they_do_for_promtool(tmp_path: Path) -> None:
    rules: list[dict[str, object]] = [
        {"alert": "A", "expr": "up == 0", "annotations": {"summary": template}}
        for template in TEMPLATES
    ]
    refused = _promtool(tmp_path, rules)
    assert 0 < len(refused) < len(TEMPLATES)
    assert {i for i, template in enumerate(TEMPLATES) if list(flaws(template))} == refused


@pytest.mark.parametrize("text", ["(" * 20000 + "x", "-" * 20000 + "x", "x+" * 20000 + "x"])
def test_what_nests_by_the_thousand_is_refused_before_the_parser_overflows(text: str) -> None:
    with pytest.raises(ValueError, match="too long"):
        promql.parse(text)


def test_what_nests_by_the_hundred_is_refused_before_a_rule_recurses() -> None:
    with pytest.raises(ValueError, match="too deeply"):
        promql.parse("abs(" * 400 + "x" + ")" * 400)
