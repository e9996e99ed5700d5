// SPDX-License-Identifier: Apache-2.0
// One constant sheet and no style attribute anywhere, so that the content security policy can name it by its hash.
// Every pair of text and ground has a contrast of 4.5 or more in both schemes: tests/system/test_browser.py measures
// it.
#include "exporters/http/status_parts.h"

namespace defused::page {

namespace {

constexpr std::string_view kSheet = R"(
:root{color-scheme:light dark;
--page:#f4f5f7;--card:#fff;--sunk:#f0f2f5;--edge:#d5dae1;--text:#1a1f26;--quiet:#55606d;--link:#0b57b0;
--bad:#b42318;--bad-ground:#fdeceb;--warn:#805200;--warn-ground:#fff3d9;--good:#17692f;--good-ground:#e7f5ea;
--bad-solid:#b42318;--warn-solid:#8a5a00;--good-solid:#1a7a38;--mark:#ffe08a;--mark-text:#3d2c00}
@media(prefers-color-scheme:dark){:root{
--page:#0e1217;--card:#171c23;--sunk:#202731;--edge:#343e4a;--text:#e7eaee;--quiet:#a6b0bc;--link:#83b8ff;
--bad:#ff9a90;--bad-ground:#3b1815;--warn:#f3c667;--warn-ground:#342810;--good:#7fdb98;--good-ground:#12301c;
--bad-solid:#9c2018;--warn-solid:#7a5000;--good-solid:#176a31;--mark:#6a5210;--mark-text:#fff0c2}}
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%;text-size-adjust:100%}
body{margin:0;background:var(--page);color:var(--text);font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif;
overflow-wrap:anywhere}
header,main,footer{max-width:68rem;margin:0 auto;padding:0 1rem}
header{display:flex;flex-wrap:wrap;gap:0 .75rem;align-items:baseline;padding-top:.75rem;padding-bottom:.5rem}
header p{margin:0}.brand{font-weight:700;letter-spacing:-.01em}.where{color:var(--quiet);font-size:.875rem}
footer{padding-top:1rem;padding-bottom:2.5rem;color:var(--quiet);font-size:.875rem}
footer ul{display:flex;flex-wrap:wrap;gap:.25rem 1.25rem;list-style:none;margin:0 0 .5rem;padding:0}
a{color:var(--link);text-underline-offset:.15em}a:focus-visible{outline:3px solid var(--link);outline-offset:2px}
h1,h2,h3,h4{line-height:1.25;margin:0;text-wrap:balance}
h2{font-size:1.125rem;margin:2rem 0 .6rem}h3{font-size:1.25rem}
h4{font-size:.8125rem;font-weight:600;letter-spacing:.03em;text-transform:uppercase;color:var(--quiet);margin:1.25rem 0 .4rem}
p{margin:.4rem 0}
code,.stack{font:.875rem/1.5 ui-monospace,"SF Mono",Menlo,Consolas,"DejaVu Sans Mono",monospace}
p code{white-space:nowrap}.type code{white-space:normal}
.id{user-select:all;font-size:.8125rem}
time,.age{white-space:nowrap}
.state{border-radius:.75rem;padding:1rem 1.125rem;color:#fff}
.state.bad{background:var(--bad-solid)}.state.warn{background:var(--warn-solid)}.state.good{background:var(--good-solid)}
.state h1{font-size:1.625rem;letter-spacing:-.015em}.state p{margin:.35rem 0 0}.state .oldest{font-size:1.0625rem}
.state .fresh{font-size:.875rem}
.sign{display:inline-block;min-width:1.1em}
.notice{border-left:.3rem solid;border-radius:.4rem;padding:.5rem .9rem;margin:.75rem 0}
.notice p{margin:.15rem 0;color:var(--text)}
.notice.bad{background:var(--bad-ground);border-color:var(--bad)}.notice.warn{background:var(--warn-ground);border-color:var(--warn)}
.notice.bad strong{color:var(--bad)}.notice.warn strong{color:var(--warn)}
.strip{display:grid;grid-template-columns:repeat(auto-fit,minmax(8.5rem,1fr));gap:.75rem 1rem;background:var(--card);
border:1px solid var(--edge);border-radius:.75rem;padding:.8rem 1.125rem;margin:.75rem 0}
.strip dt{grid-row:1;margin:0}.strip div{min-width:0}
dt{color:var(--quiet);font-size:.8125rem}dd{margin:0}
.strip dd{font-weight:600;overflow-wrap:break-word}
article{background:var(--card);border:1px solid var(--edge);border-radius:.75rem;padding:1rem 1.125rem 1.25rem;margin:0 0 1rem}
article .who{color:var(--quiet);font-weight:400}
.since{color:var(--quiet)}
.verdict{margin:.5rem 0 0}
.tag{display:inline-block;border-radius:.35rem;padding:.05rem .5rem;font-size:.8125rem;font-weight:600;background:var(--sunk);
color:var(--text)}
.tag.bad{background:var(--bad-ground);color:var(--bad)}.tag.warn{background:var(--warn-ground);color:var(--warn)}
.todo{background:var(--sunk);border-radius:.6rem;padding:.8rem 1rem;margin:.9rem 0}
.todo h4{margin-top:0}
.type{margin:.4rem 0;background:var(--card);border:1px solid var(--edge);border-radius:.4rem;padding:.45rem .7rem}
.type code{user-select:all;font-weight:600}
.picture{display:block;margin:1rem auto;max-width:100%;height:auto}
.rest dl{display:grid;grid-template-columns:8.5rem minmax(0,1fr);gap:.35rem 1rem;margin:.4rem 0}
.rest dt{padding-top:.1rem}
.rest .gates{grid-template-columns:minmax(0,1fr);gap:0}.rest .gates dd{margin-bottom:.5rem}
.rest .gates dt code{color:var(--text);font-weight:600}
.stack{list-style:none;background:var(--sunk);border-radius:.5rem;padding:.6rem .8rem;margin:.4rem 0}
.stack li{min-height:1.2em}
mark{background:var(--mark);color:var(--mark-text);border-radius:.2rem;padding:0 .25rem;margin-left:-.25rem;font-weight:600}
ul{margin:.4rem 0;padding-left:1.2rem}li{margin:.2rem 0}
.lines{list-style:none;padding:0}
.more{color:var(--quiet);font-size:.875rem}
text{font:13px system-ui,-apple-system,"Segoe UI",Roboto,sans-serif;fill:var(--quiet)}
text.title{font-size:14.5px;font-weight:700;fill:var(--text)}
text.label{font-size:13px;font-style:italic}
.box{fill:var(--card);stroke:var(--edge);stroke-width:1.5}
.stuck .box{fill:var(--warn-ground);stroke:var(--warn)}.stuck .line{fill:var(--text)}
.dead .box{fill:var(--bad-ground);stroke:var(--bad);stroke-dasharray:6 4}.dead text{fill:var(--bad)}
.alive .box{fill:var(--good-ground);stroke:var(--good)}.alive text{fill:var(--good)}
.unknown .box{fill:var(--sunk);stroke:var(--quiet);stroke-dasharray:2 4}.unknown .line{fill:var(--text)}
.shaft{fill:none;stroke:var(--quiet);stroke-width:2}.head{fill:var(--quiet)}
.broken .shaft{stroke:var(--bad);stroke-dasharray:5 4}.broken .head{fill:var(--bad)}.broken .label{fill:var(--bad);font-weight:600}
table{border-collapse:separate;border-spacing:0;width:100%;background:var(--card);border:1px solid var(--edge);border-radius:.75rem;
font-size:.9375rem;overflow:hidden}
caption{text-align:left;color:var(--quiet);font-size:.8125rem;padding-bottom:.35rem}
td{min-width:6rem}
td,th{text-align:left;vertical-align:top;padding:.5rem .75rem;border-top:1px solid var(--edge);font-weight:400}
thead th{color:var(--quiet);font-size:.8125rem;border-top:0;white-space:nowrap}
th[scope=row]{font-weight:600;white-space:nowrap;font-variant-numeric:tabular-nums}
.marked{background:var(--warn-ground)}
@media(min-width:56rem){
.grid{display:grid;grid-template-columns:300px minmax(0,1fr);grid-template-rows:auto 1fr;gap:0 1.75rem;align-items:start}
.look{grid-row:1/span 2;grid-column:1}.picture{margin:.9rem 0}.todo,.rest{grid-column:2}
}
@media(max-width:46rem){
header,main,footer{padding-left:.75rem;padding-right:.75rem}
.state h1{font-size:1.4375rem}
article,.state,.strip{padding-left:.875rem;padding-right:.875rem}
.rest dl{grid-template-columns:minmax(0,1fr);gap:0}.rest dd{margin-bottom:.5rem}
.strip{grid-template-columns:1fr 1fr}
table,caption,tbody,tr,td,tbody th{display:block}
table{background:none;border:0;border-radius:0}
thead{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)}
tbody tr{background:var(--card);border:1px solid var(--edge);border-radius:.6rem;padding:.5rem .875rem;margin-bottom:.6rem}
tbody tr.marked{background:var(--warn-ground)}
tbody td,tbody th[scope=row]{position:relative;border:0;padding:.15rem 0 .15rem 7.25rem;white-space:normal}
tbody td::before,tbody th::before{content:attr(data-label);position:absolute;left:0;top:.25rem;
color:var(--quiet);font-size:.8125rem;font-weight:400}
}
@media(prefers-reduced-motion:no-preference){html{scroll-behavior:smooth}}
)";

}  // namespace

std::string_view style_sheet() { return kSheet; }

}  // namespace defused::page
