"""The bricks of report.html: texts escaped, one style sheet for light, dark, phone and paper."""

from collections.abc import Iterable, Mapping, Sequence
from html import escape

STYLE = """
:root { color-scheme: light dark; --ink: #1b1f24; --paper: #fff; --soft: #57606a; --grid: #d8dee4;
  --valid: #1a7f37; --violated: #b3261e; --unknown: #8a5a00;
  --series-1: #0b5cad; --series-2: #b3261e; --series-3: #6639ba; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6edf3; --paper: #0d1117; --soft: #9aa4af;
  --grid: #30363d; --valid: #56d364; --violated: #ff8a80; --unknown: #e3b341;
  --series-1: #6cb6ff; --series-2: #ff8a80; --series-3: #c297ff; } }
@media print { :root { color-scheme: light; --ink: #000; --paper: #fff; --soft: #333; --grid: #bbb;
  --valid: #000; --violated: #000; --unknown: #000;
  --series-1: #0b5cad; --series-2: #b3261e; --series-3: #6639ba; }
  figure, tr { break-inside: avoid; } h2, caption { break-after: avoid; }
  main { max-width: none; } .scroll { overflow: visible; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink);
  font: 1rem/1.5 system-ui, sans-serif; }
main { max-width: 52rem; margin: 0 auto; padding: 1rem; }
h1 { font-size: 1.5rem; line-height: 1.2; margin: 0.5rem 0; overflow-wrap: anywhere; }
h2 { font-size: 1.15rem; margin: 2rem 0 0.5rem; border-bottom: 1px solid var(--grid); }
.verdict { border: 2px solid; border-left-width: 0.75rem; padding: 0.5rem 1rem;
  overflow-wrap: anywhere; }
.verdict strong { font-size: 1.25rem; }
.verdict p, .verdict ul { margin: 0.25rem 0; color: var(--ink); }
.verdict ul { padding-left: 1.25rem; }
.valid { color: var(--valid); }
.violated { color: var(--violated); }
.unknown { color: var(--unknown); }
/* A shade at an edge beyond which there is more: paper, which scrolls along, covers it at the end. */
.scroll { overflow-x: auto; margin: 0.75rem 0; background:
  linear-gradient(to right, var(--paper) 40%, transparent) left / 2rem 100% no-repeat local,
  linear-gradient(to left, var(--paper) 40%, transparent) right / 2rem 100% no-repeat local,
  linear-gradient(to right, var(--grid), transparent) left / 0.5rem 100% no-repeat,
  linear-gradient(to left, var(--grid), transparent) right / 0.5rem 100% no-repeat; }
.scroll:focus-visible { outline: 2px solid; }
.wide { width: fit-content; min-width: 100%; max-width: min(94vw, 84rem); margin-left: 50%;
  transform: translateX(-50%); }
.wide td, .wide th { padding-right: 0.6rem; } .wide thead th { overflow-wrap: normal; white-space: normal; }
th small { display: block; color: var(--soft); white-space: normal; max-width: 16rem; }
@media (max-width: 62rem) { .wide { width: auto; max-width: none; margin-left: 0; transform: none; }
  .wide table, .wide tbody { display: block; } .wide caption { display: block; }
  .wide thead { position: absolute; clip-path: inset(50%); height: 1px; overflow: hidden; width: 1px; }
  .wide tr { display: grid; grid-template-columns: repeat(auto-fill, minmax(9.5rem, 1fr));
    column-gap: 1rem; border-bottom: 1px solid var(--grid); padding: 0.25rem 0; }
  .wide th[scope=row] { grid-column: 1 / -1; } .wide td, .wide th { border: 0; padding: 0.1rem 0; }
  .wide td { display: flex; justify-content: space-between; gap: 0.5rem; }
  .wide td:empty { display: none; }
  .wide td::before { content: attr(data-of); color: var(--soft); white-space: normal; text-align: left; } }
details { margin: 0.5rem 0; } summary { cursor: pointer; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
caption { text-align: left; color: var(--soft); padding-bottom: 0.25rem; }
th, td { padding: 0.2rem 1rem 0.2rem 0; border-bottom: 1px solid var(--grid); text-align: left;
  vertical-align: top; font-weight: normal; }
thead th { color: var(--soft); vertical-align: bottom; }
.number { text-align: right; white-space: nowrap; }
tbody th { white-space: nowrap; }
td.text { min-width: 6rem; overflow-wrap: break-word; }
@media (max-width: 30rem) { table { font-size: 0.85rem; } th, td { padding-right: 0.5rem; }
  td.text { min-width: 4.5rem; overflow-wrap: anywhere; } }
figure { margin: 1rem 0; } figcaption { color: var(--soft); font-size: 0.9rem; }
svg { display: block; width: 100%; max-width: 36rem; height: auto; }
svg text { font-family: inherit !important; }
code { font: 0.9em/1.4 ui-monospace, monospace; overflow-wrap: anywhere; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; padding: 0.5rem 0.75rem;
  border: 1px solid var(--grid); margin: 0.5rem 0; }
"""
# A browser would refuse whatever is not in the file.
POLICY = "default-src 'none'; style-src 'unsafe-inline'"

SIGNS = {"valid": "&#10003;", "violated": "&#10007;", "unknown": "?"}


def page(title: str, parts: Iterable[str]) -> str:
    """A whole document; the parts are HTML."""
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n"
        + "\n".join(parts)
        + "\n</main>\n</body>\n</html>\n"
    )


def section(title: str, *parts: str) -> str:
    """A heading and what is under it; nothing at all when there is nothing to say."""
    body = "\n".join(part for part in parts if part)
    return f"<section>\n<h2>{escape(title)}</h2>\n{body}\n</section>" if body else ""


def paragraph(text: str) -> str:
    """Plain text."""
    return f"<p>{escape(text)}</p>"


def command(text: str) -> str:
    """Something to copy."""
    return f"<pre><code>{escape(text)}</code></pre>"


def folded(title: str, lines: Iterable[str]) -> str:
    """Lines that are shown on request."""
    return on_request(title, f"<pre>{escape(chr(10).join(lines))}</pre>")


def on_request(title: str, body: str) -> str:
    """HTML that is shown when somebody asks for it; nothing where there is none."""
    if not body:
        return ""
    return f"<details>\n<summary>{escape(title)}</summary>\n{body}\n</details>"


def figure(drawing: str, text: str) -> str:
    """An SVG and what it shows."""
    return f"<figure>\n{drawing}\n<figcaption>{escape(text)}</figcaption>\n</figure>"


def verdict(name: str, word: str, text: str, reasons: Iterable[str]) -> str:
    """The head of the page. The sign and the word say it, the colour only repeats it."""
    lines = "".join(f"<li>{escape(reason)}</li>" for reason in reasons)
    return (
        f"<header>\n<h1>{escape(name)}</h1>\n"
        f'<div class="verdict {escape(word)}"><strong>{SIGNS.get(word, "")} '
        f"{escape(word.upper())}</strong>{paragraph(text)}"
        + (f"<ul>{lines}</ul>" if lines else "")
        + "</div>\n</header>"
    )


def table(
    caption: str,
    head: Sequence[str],
    rows: Iterable[Sequence[str]],
    texts: Sequence[int] = (),
    heads: bool = True,
    meanings: Mapping[str, str] | None = None,
) -> str:
    """The first cell names its row; the others are numbers, except the columns in `texts`.

    With `meanings`, by the name of a row and told under it, it is wide: it has more room than the page's text, and on a
    phone each cell stands under its row's name, beside the head of its column.
    """

    def kind(column: int) -> str:
        return "text" if column in texts else "number"

    def cell(column: int, text: str) -> str:
        of = f' data-of="{escape(head[column])}"' if meanings is not None else ""
        return f'<td class="{kind(column)}"{of}>{escape(text)}</td>'

    def name(text: str) -> str:
        told = (meanings or {}).get(text)
        small = f" <small>{escape(told)}</small>" if told else ""
        return f'<th scope="row">{escape(text)}{small}</th>'

    lines = [
        f"<tr>{name(row[0])}{''.join(cell(n, text) for n, text in enumerate(row[1:], 1))}</tr>"
        for row in rows
    ]
    if not lines:
        return ""
    titles = f'<th scope="col">{escape(head[0])}</th>' + "".join(
        f'<th scope="col" class="{kind(n)}">{escape(cell)}</th>'
        for n, cell in enumerate(head[1:], 1)
    )
    about, wide = escape(caption), "" if meanings is None else " wide"
    # Without heads there is nothing to say above it that the section's title does not say.
    top = f"<caption>{about}</caption>\n<thead><tr>{titles}</tr></thead>\n" if heads else ""
    return (
        f'<div class="scroll{wide}" role="region" tabindex="0" aria-label="{about}">\n<table>\n'
        f"{top}<tbody>\n" + "\n".join(lines) + "\n</tbody>\n</table>\n</div>"
    )
