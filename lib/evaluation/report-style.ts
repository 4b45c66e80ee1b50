/** The style of an evaluation's report, in addition to the one that all reports share. */
export const style = `
:root { --line-0: #0b57d0; --line-1: #b3400b; --line-2: #14653a; --line-3: #8e24aa; --line-4: #7a5b00; --line-5: #00697a; }
@media (prefers-color-scheme: dark) { :root {
	--line-0: #8ab4f8; --line-1: #ffab85; --line-2: #7fd6a1; --line-3: #dba2ee; --line-4: #e3c565; --line-5: #6fd3e3; } }
@media print { :root { --line-0: #0b57d0; --line-1: #b3400b; --line-2: #14653a; --line-3: #8e24aa; --line-4: #7a5b00; --line-5: #00697a; } }
body { max-width: 92rem; }
h1, h2, h3, h4 { line-height: 1.25; }
h1 { overflow-wrap: anywhere; }
h2 { margin-top: 2.5rem; }
h3, h4 { margin: 0 0 .3rem; }
a { color: var(--accent); }
a:not([href]) { color: var(--quiet); }
:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
button, select, input { font: inherit; color: inherit; accent-color: var(--accent); }
header p { max-width: 60rem; }
.quiet, figcaption, .numbers { color: var(--quiet); }
.good { color: var(--good); }
.bad { color: var(--bad); }
.facts { display: flex; flex-wrap: wrap; gap: .5rem 2rem; }
.facts dt, .meanings dt { font-size: .85rem; color: var(--quiet); }
.facts dd, .meanings dd { margin: 0; overflow-wrap: anywhere; }
.meanings dl { columns: 22rem; }
.meanings dd { margin-bottom: .6rem; break-before: avoid; }
.controls { display: flex; flex-wrap: wrap; align-items: baseline; gap: .5rem 1.5rem; margin: .5rem 0; }
.controls select { max-width: 16rem; }

tbody th { font-weight: normal; }
#methods td, #methods th { vertical-align: top; }
#methods small { display: block; color: var(--quiet); }
#methods thead th { vertical-align: bottom; padding: 0; }
#methods thead button { max-width: 9rem; padding: .25rem .6rem; border: 0; background: none; text-align: inherit; font-weight: 600;
	white-space: normal; cursor: pointer; }
#methods thead button::after { content: "\\a0↕"; color: var(--quiet); font-weight: normal; }
#methods [aria-sort=ascending] button::after { content: "\\a0↑"; color: inherit; }
#methods [aria-sort=descending] button::after { content: "\\a0↓"; color: inherit; }
#methods tbody th, #methods thead th:nth-child(2) { text-align: left; position: sticky; left: 0; background: var(--paper);
	box-shadow: inset -1px 0 var(--rule); }
#methods tbody th { min-width: 12rem; max-width: 16rem; white-space: normal; overflow-wrap: anywhere; }
#methods.compact .further { display: none; }
#methods tr:target > * { background: var(--card); }

.plots > figure { flex: 1 1 30rem; min-width: 0; margin: 0; }
.chart.drawn { min-height: 26rem; }
.u-title { font-size: 1rem; font-weight: 600; }
.u-wrap .u-over { overflow: visible; }
.point { position: absolute; width: 24px; height: 24px; margin: -12px; padding: 0; border: 0; border-radius: 50%; background: none; --point: var(--ink); }
.point::before { content: ""; position: absolute; left: 7px; top: 7px; width: 10px; height: 10px; box-sizing: border-box; border-radius: 50%;
	background: var(--point); border: 2px solid var(--point); }
.point.hollow::before { background: var(--paper); }
.point:hover, .point:focus { z-index: 1; }
.number { position: absolute; width: 24px; height: 24px; margin: 0; inset: 0; line-height: 24px; text-align: center; font-size: 11px; pointer-events: none; }
.tip { position: absolute; z-index: 2; width: max-content; max-width: min(18rem, 80%); margin: 0; padding: .3rem .6rem; border: 1px solid var(--rule);
	border-radius: .3rem; background: var(--card); overflow-wrap: anywhere; pointer-events: none; }
.key { columns: 15rem; column-gap: 3rem; padding-left: 2rem; }
.lines { display: flex; flex-wrap: wrap; gap: 0 1.5rem; list-style: none; padding: 0; margin: .5rem 0; }
.sample { display: inline-block; width: 2rem; vertical-align: middle; border-top: 2px solid; }
.sample.dashed { border-top-style: dashed; }

.pane { max-height: 26rem; overflow: auto; border: 1px solid var(--rule); }
#response-list { width: 100%; }
#response-list thead th { position: sticky; top: 0; background: var(--card); }
#response-list th, #response-list td { text-align: left; }
#response-list .prompt { max-width: 24rem; overflow: hidden; text-overflow: ellipsis; }
#response-list [aria-current=true] > * { background: var(--card); box-shadow: inset 0 2px var(--accent), inset 0 -2px var(--accent); }
#opened h3 { outline: none; }
.texts-and-numbers { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(24rem, 100%), 1fr)); gap: 1rem 2rem; }
.texts-and-numbers > * { min-width: 0; }
.texts-and-numbers tbody th { overflow-wrap: anywhere; }
.texts-and-numbers :is(tbody th, td:last-child) { white-space: normal; }
.passage { margin: 0 0 1rem; padding: .5rem .8rem; background: var(--card); border-radius: .3rem; white-space: pre-wrap; overflow-wrap: anywhere;
	unicode-bidi: isolate; }

.tree { margin-top: 1rem; }
summary { cursor: pointer; }
.tree > summary { font-weight: 600; }
.line { list-style: none; margin: .3rem 0; padding: 0; }
.line .line { margin-left: .4rem; padding-left: .6rem; border-left: 1px solid var(--rule); }
.candidate, .asides { margin: .3rem 0; padding-left: .6rem; border-left: .25rem solid transparent; }
.candidate.on-path { border-left-color: var(--accent); }
.candidate .passage { margin: 0; }
.numbers { margin: 0; font-size: .85rem; font-variant-numeric: tabular-nums; }
.mark { margin-left: .7rem; color: var(--ink); white-space: nowrap; }
.mark.good { color: var(--good); font-weight: 600; }
.mark.bad { color: var(--bad); }

@media (max-width: 40rem) {
	body { margin: 1rem auto; }
	#methods tbody th { min-width: 6.5rem; max-width: 8rem; }
	#response-list .prompt { max-width: 9rem; }
	.line .line { margin-left: 0; padding-left: .3rem; }
}
@media print {
	@page { size: landscape; margin: 12mm; }
	:root { font-size: 11px; }
	.controls:not(nav), .pane, .controls a, [role=status], #methods thead button::after { display: none; }
	#methods tbody th { position: static; }
	.wide { overflow: visible; }
	figure, tr, .candidate { break-inside: avoid; }
}
`;
