"""The style sheet of a comparison's page: on paper, on a phone, by day and by night."""

from __future__ import annotations

__all__ = ["STYLE"]

# c0 to c6 are the models' colours; each reaches a contrast of 4.5 with its paper.
STYLE = """\
:root {
  color-scheme: light dark;
  --paper: #fdfdfb; --ink: #1c1e21; --quiet: #5a5f66; --rule: #d9dadb; --faint: #ececea;
  --tint: #e6efe4; --goal: #3d6137; --shade: #1c1e2124;
  --c0: #0b5fa5; --c1: #b34700; --c2: #00735a; --c3: #8a3a8c; --c4: #786000; --c5: #b3274f;
  --c6: #45494f;
  --serif: Charter, "Bitstream Charter", "Iowan Old Style", "Sitka Text", Cambria, Georgia, serif;
  --sans: system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", sans-serif;
  --mono: ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace;
}
@media screen and (prefers-color-scheme: dark) {
  :root {
    --paper: #15171a; --ink: #e4e5e7; --quiet: #a3a8af; --rule: #3a3e44; --faint: #25282c;
    --tint: #1f2b1f; --goal: #9cc794; --shade: #0009;
    --c0: #70b5f0; --c1: #f79a5c; --c2: #52cba6; --c3: #dc98de; --c4: #d9bd55; --c5: #f58fa9;
    --c6: #c3c7cc;
  }
}
*, *::before, *::after { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; text-size-adjust: 100%; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 1.0625rem/1.55 var(--serif); }
main { max-width: 68rem; margin: 0 auto; padding: 3.5rem 2rem 5rem; overflow-wrap: anywhere; }
h1, h2, h3 { font-weight: 600; line-height: 1.2; text-wrap: balance; margin: 0; }
h1 { font-size: clamp(1.75rem, 1.3rem + 2vw, 2.6rem); letter-spacing: -.012em; max-width: 22em; }
h2 { font-size: 1.4rem; margin: 0 0 .9rem; }
h3 { font-size: 1.1rem; margin: 2rem 0 .6rem; }
section { margin-top: 3.25rem; padding-top: 1.5rem; border-top: 1px solid var(--rule); }
p { margin: .9rem 0 0; max-width: 42em; text-wrap: pretty; }
section > p { margin: 0 0 1rem; }
.answer { font-size: 1.25rem; line-height: 1.45; margin-top: 1.1rem; }
.notice { border-left: 4px solid var(--c1); padding: .1rem 0 .1rem .9rem; }

.figures { display: grid; gap: 2.5rem; max-width: 31rem; }
figure { margin: 0; break-inside: avoid; }
figure h3 { margin: 0 0 .8rem; }
figcaption { font: .9375rem/1.5 var(--sans); color: var(--quiet); margin-top: .75rem; }
svg { display: block; width: 100%; height: auto; overflow: visible; font-family: var(--sans);
  font-variant-numeric: tabular-nums; }
svg text { fill: var(--ink); }
svg .tick { fill: var(--quiet); font-size: 12px; }
svg .title { fill: var(--quiet); font-size: 12.5px; }
svg .label, svg .number { paint-order: stroke; stroke: var(--paper); stroke-width: 3px;
  stroke-linejoin: round; }
svg text.goal { fill: var(--goal); font-style: italic; }
svg rect.goal { fill: var(--tint); }
svg line { stroke: var(--rule); stroke-width: 1; }
svg .grid { stroke: var(--faint); }
svg .axis { stroke: var(--quiet); }
svg .one { stroke: var(--quiet); stroke-dasharray: 5 3; }
svg line.leader { stroke: var(--c, var(--quiet)); stroke-width: .9; }
svg .line { fill: none; stroke: var(--c); stroke-width: 1.8; stroke-linejoin: round; }
svg .dashed { stroke-dasharray: 6 3; }
svg line.guide { stroke: var(--c); stroke-width: 1.1; stroke-dasharray: 2 3; }
svg text.number { fill: var(--c); font-size: 12px; font-weight: 600; }
svg .mark { fill: var(--c); stroke: var(--paper); stroke-width: 1; }
svg .hollow { fill: var(--paper); stroke: var(--c); stroke-width: 1.7; }
.c0 { --c: var(--c0); } .c1 { --c: var(--c1); } .c2 { --c: var(--c2); } .c3 { --c: var(--c3); }
.c4 { --c: var(--c4); } .c5 { --c: var(--c5); } .c6 { --c: var(--c6); }

.scroll { position: relative; overflow-x: auto;  /* shaded on the right while more is there */
  background: linear-gradient(to left, var(--paper) 40%, transparent) right / 3rem 100% local,
    linear-gradient(to left, var(--shade), transparent) right / 1.1rem 100% scroll;
  background-repeat: no-repeat; }
.scroll:focus-visible { outline: 2px solid var(--c0); outline-offset: 3px; }
table { border-collapse: collapse; font: .9375rem/1.35 var(--sans); overflow-wrap: normal;
  font-variant-numeric: tabular-nums lining-nums; min-width: 100%; }
caption { text-align: left; padding-bottom: .6rem; color: var(--quiet); }
caption span { position: sticky; left: 0; display: inline-block; max-width: calc(100vw - 2rem); }
th, td { padding: .5rem .75rem; text-align: right; vertical-align: top; white-space: nowrap; }
thead th { font-weight: 600; vertical-align: bottom; white-space: normal;
  overflow-wrap: normal; }
thead tr:last-child th, thead th[rowspan] { border-bottom: 1.5px solid var(--ink); }
th[scope=colgroup] { text-align: center; padding-bottom: 0; }
tbody tr + tr > * { border-top: 1px solid var(--rule); }
tbody tr:last-child > * { border-bottom: 1.5px solid var(--ink); }
.scroll + .scroll { margin-top: 2rem; }
tr > th[scope=row], thead tr:first-child > th:first-child { position: sticky; left: 0; z-index: 1;
  background: var(--paper); padding-left: 0; text-align: left; }
th[scope=row] { font-weight: 600; white-space: normal; overflow-wrap: anywhere;
  min-width: 6.5rem; max-width: 14rem; }
.close th, .close td { padding-left: .4rem; padding-right: .4rem; }
.edge { border-left: 1px solid var(--rule); }
td small, th small { display: block; font-size: .8125rem; font-weight: 400; color: var(--quiet); }
td strong { text-decoration: underline; text-decoration-thickness: 2px;
  text-underline-offset: 3px; }
.quiet { color: var(--quiet); }
.unseen { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%);
  white-space: nowrap; }

dl { margin: 0; }
dl > div { display: grid; grid-template-columns: 12rem minmax(0, 44rem); gap: 0 2rem;
  padding: .55rem 0; }
dt { font-weight: 600; }
dd { margin: 0; }
code { font: .875rem/1.5 var(--mono); }

@media (min-width: 56rem) {
  .figures { grid-template-columns: 1fr 1fr; max-width: none; }
}
@media (max-width: 40rem) {
  body { font-size: 1rem; }
  main { padding: 1.75rem 1rem 3rem; }
  section { margin-top: 2.25rem; padding-top: 1.25rem; }
  .answer { font-size: 1.125rem; }
  dl > div { display: block; }
  table { font-size: .9375rem; }
  th[scope=row] { max-width: 8rem; }
  th, td { padding: .5rem .55rem; }
}
@media print {
  :root { --paper: #fff; --ink: #000; --quiet: #444; }
  @page { margin: 14mm; }
  html { font-size: 13px; }
  body { font-size: 10pt; }
  figcaption { font-size: 8pt; }
  main { max-width: none; padding: 0; }
  section { margin-top: 1.5rem; padding-top: 1rem; }
  h2, caption { break-after: avoid; }
  tr, dl > div { break-inside: avoid; }
  .figures { grid-template-columns: 1fr 1fr; max-width: none; gap: 1.5rem; }
  .scroll { overflow: visible; background: none; }
  tr > th[scope=row], thead tr:first-child > th:first-child { position: static; }
  table { font-size: 7.5pt; }
  td small, th small { font-size: 6.5pt; }
  th, td { padding: .3rem .35rem; }
  th[scope=row] { min-width: 4rem; }
  td strong { text-decoration-thickness: 1px; text-underline-offset: 2px; }
}
"""
