"""Properties of reading PromQL, over generated expressions."""

from __future__ import annotations

from gitops_policy.notations import promql
from gitops_policy.prometheus.result_labels import Labels, result_labels
from hypothesis import given, settings
from hypothesis import strategies as st

LABELS = ["pod", "job", "le", "status"]
names = st.sampled_from(["up", "http_requests_total", "a:b", "x_bucket"])
labels = st.lists(st.sampled_from(LABELS), unique=True, max_size=3)
spans = st.sampled_from(["30s", "5m", "1h30m"])


@st.composite
def selectors(draw: st.DrawFn) -> str:
    operators = st.sampled_from(["=", "!=", "=~", "!~"])
    values = st.sampled_from(["", "a", "a.*", "a|b"])
    given_labels = draw(labels)
    matchers = [f'{name}{draw(operators)}"{draw(values)}"' for name in given_labels]
    return f"{draw(names)}{{{','.join(matchers)}}}"


def _larger(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    clause = st.builds(lambda word, of: f"{word} ({', '.join(of)})",
                       st.sampled_from(["by", "without"]), labels)  # fmt: skip
    matching = st.builds(lambda word, of: f"{word} ({', '.join(of)})",
                         st.sampled_from(["on", "ignoring"]), labels)  # fmt: skip
    return st.one_of(
        st.builds(lambda x: f"({x})", inner),
        st.builds(lambda op, how, x: f"{op} {how} ({x})",
                  st.sampled_from(["sum", "max", "count"]), clause, inner),
        st.builds(lambda x: f"topk(3, {x})", inner),
        st.builds(lambda x, span: f"max_over_time(({x})[{span}:30s])", inner, spans),
        st.builds(lambda f, x: f"{f}({x})", st.sampled_from(["abs", "absent", "-"]), inner),
        st.builds(lambda x, y, op: f"({x}) {op} ({y})", inner, inner,
                  st.sampled_from(["+", "/", "and", "or", "unless", "> bool", ">"])),
        st.builds(lambda x, y, how: f"({x}) / {how} ({y})", inner, inner, matching),
        st.builds(lambda x, n: f"({x}) > {n}", inner, st.integers(0, 100)),
    )  # fmt: skip


expressions = st.recursive(
    st.one_of(selectors(), st.builds(lambda s, w: f"rate({s}[{w}])", selectors(), spans)),
    _larger,
    max_leaves=8,
)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(expressions)
def test_what_is_read_can_be_written_and_read_again(query: str) -> None:
    tree = promql.parse(query)
    again = promql.parse(tree.prettify())
    assert _asked(again) == _asked(tree)
    assert result_labels(again) == result_labels(tree)


def _asked(tree: promql.Node) -> list[tuple[str, dict[str, tuple[str, str]]]]:
    return [(promql.metric(s), promql.matchers(s)) for s in promql.selectors(tree)]


@settings(max_examples=200, deadline=None, derandomize=True)
@given(expressions, labels)
def test_an_aggregation_has_no_label_but_those_it_keeps(query: str, kept: list[str]) -> None:
    found = result_labels(promql.parse(f"sum by ({', '.join(kept)}) ({query})"))
    assert found.possible | found.sure <= set(kept)
    assert not found.is_open


@settings(max_examples=200, deadline=None, derandomize=True)
@given(expressions, labels)
def test_a_label_that_is_summed_away_cannot_be_there(query: str, dropped: list[str]) -> None:
    found = result_labels(promql.parse(f"sum without ({', '.join(dropped)}) ({query})"))
    assert not any(found.may(label) for label in dropped)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(expressions)
def test_what_is_surely_there_may_be_there(query: str) -> None:
    found = result_labels(promql.parse(query))
    assert all(found.may(label) for label in found.sure)
    assert not found.sure & found.gone


@settings(max_examples=100, deadline=None, derandomize=True)
@given(expressions, expressions)
def test_either_of_two_results_may_have_what_one_may_have(one: str, other: str) -> None:
    both = result_labels(promql.parse(f"({one}) or ({other})"))
    alone: list[Labels] = [result_labels(promql.parse(query)) for query in (one, other)]
    assert all(both.may(name) for name in LABELS if any(side.may(name) for side in alone))


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.text(st.sampled_from("sum(rate{}[5m])by,\"'`x=~!<>+-*/%^@ 0.1e_:#\n\\"), max_size=60))
def test_any_text_parses_or_is_refused_with_a_reason(text: str) -> None:
    reason = "none"
    try:
        promql.parse(text)
    except ValueError as error:
        reason = str(error)
    assert reason
