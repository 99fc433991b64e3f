"""A report as sections of text, tables and plots, written as Markdown and as one HTML page."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import jinja2
from markupsafe import Markup, escape


@dataclass(frozen=True)
class Table:
    """Rows of cells as text; every row is as long as the head."""

    head: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Plot:
    """An SVG, the name of its file, and what it shows in words."""

    name: str
    svg: str
    caption: str


@dataclass(frozen=True)
class Section:
    """Something that the report says; `text` is paragraphs without markup but `code`."""

    title: str
    text: Sequence[str] = ()
    table: Table | None = None
    plot: Plot | None = None


@dataclass(frozen=True)
class Document:
    """The whole report."""

    title: str
    text: Sequence[str]
    sections: Sequence[Section]


def write_markdown(document: Document, path: Path) -> None:
    """Write the report as Markdown, its plots into a folder of the same name beside it."""
    plots = path.with_suffix("")
    for section in document.sections:
        if section.plot:
            write_text(section.plot.svg, plots / f"{section.plot.name}.svg")
    template = _environment().get_template("report.md.j2")
    write_text(template.render(document=document, plots=plots.name), path)


def write_page(document: Document, path: Path) -> None:
    """Write the report as one self-contained HTML page."""
    template = _environment().get_template("report.html.j2")
    write_text(template.render(document=document), path)


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("canary_gate.report"),
        autoescape=jinja2.select_autoescape(("html.j2",)),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["code"] = _code
    return environment


def _code(text: str) -> Markup:
    """Escape a text and turn what stands between backquotes into code."""
    parts = str(escape(text)).split("`")
    return Markup("").join(
        Markup(f"<code>{part}</code>" if number % 2 else part)  # noqa: S704
        for number, part in enumerate(parts)
    )


def write_text(text: str, path: Path) -> None:
    """Write a file by renaming it into place; makes its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)
