"""The report: what it says, its size, and how a browser takes it."""

from __future__ import annotations

import base64
import html
import json
import os
import re
import shutil
import subprocess
import tempfile
import unittest
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
from common import FIXTURES, Case, plain_runs, results, trained
from pages import page_of

import fp4lab_analysis as fa
from fp4lab_analysis.errors import InputError
from fp4lab_analysis.report import build_report
from fp4lab_analysis.report.answer import sections_of
from fp4lab_analysis.specs import element_bits

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


class Reader(HTMLParser):
    """Ids, references, tables, and tags that load something."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.references: list[str] = []
        self.loads: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            value = value or ""
            if name == "id":
                self.ids.append(value)
            if name in ("href", "xlink:href", "src"):
                if value.startswith("#"):
                    self.references.append(value[1:])
                elif not value.startswith("data:"):
                    self.loads.append(f"{tag} {value}")
            self.references += re.findall(r"url\(#([^)]+)\)", value)


class Content(Case):
    def test_the_answer_names_the_best_and_its_uncertainty(self) -> None:
        sections = sections_of(results("train"))
        text = " ".join(sections[0].answers)
        runs = plain_runs("train")
        final = {
            name: np.array(
                [
                    r["/eval/loss"][-1]
                    for r in sorted(runs, key=lambda r: r.config["seed"])
                    if r.config["recipe"] == name
                ]
            )
            for name in ("bf16", "four-over-six", "nvfp4-nvidia")
        }
        best = final["four-over-six"]
        d = best - final["bf16"]
        self.assertIn("Best is four-over-six", text)
        self.assertIn(f"{best.mean():.3f} ± {best.std(ddof=1):.3f}", text)
        self.assertIn(f"+{d.mean():.4f} against bf16", text)
        next_ = final["nvfp4-nvidia"] - best
        self.assertIn(f"The next, nvfp4-nvidia, is {next_.mean():.5f} behind", text)
        self.assertIn("Diverged: mxfp4-baseline (1 of 4).", text)

    def test_bits_of_specs(self) -> None:
        for spec, bits in (
            ("nvfp4,rule=4over6", 4), ("mxfp8-e4m3", 8), ("e5m2", 8), ("e3m0,block=1x32", 4),
            ("int4", 4), ("nf4", 4), ("mxfp6-e2m3", 6), ("mxint8", 8), ("hif4", 4), ("e2m1@te", 4),
        ):
            self.assertEqual(element_bits(spec), bits, spec)

    def test_what_cannot_be_told_apart_is_said(self) -> None:
        section = next(s for s in sections_of(results("first")) if s.task == "t1 mlp digits")
        text = " ".join(section.answers)
        table = section.tables[0]
        verdict = [name for name, _ in table.columns].index("verdict")
        verdicts = {row[0].text: row[verdict].text for row in table.rows}
        self.assertEqual(verdicts["none"], "baseline")
        self.assertIn("inside seed noise", verdicts.values())
        self.assertRegex(text, "Not to be told apart from it by these seeds:|is the next")

    def test_what_failed_is_listed(self) -> None:
        page = page_of("killed", False)
        self.assertIn("3 does not divide 64", page)
        self.assertIn("6 of 10 runs finished, 1 of them diverged; 1 failed, 1 unfinished", page)
        for name in ("aaaaaaaaaaaa", "bbbbbbbbbbbb", "cccccccccccc"):
            self.assertIn(name, page)

    def test_a_killed_sweep_says_what_is_left(self) -> None:
        page = page_of("stopped", False)
        self.assertIn("1 of 3 runs finished; 1 unfinished, 1 not run.", page)
        self.assertRegex(page, r"claimed by \S+, process \d+: it runs, or was killed")

    def test_errors_products_roundings_and_factorials(self) -> None:
        text = " ".join(a for s in sections_of(results("first")) for a in s.answers)
        for want in (
            r"Least quantization error below 5 bits a value: nvfp4,rule=4over6 \(\S+ dB on \w+",
            r"Accumulators: least error at K = 1024: ",
            r"Stochastic rounding: least error of the mean of 64: .*sr:16",
            r"t1 mlp glyphs: What mattered for the held-out loss .*optim.lr \d+ %",
            r"t1 mlp glyphs: Diverged: .*optim.lr=1000 \(3 of 3\)",
        ):
            self.assertRegex(text, want)

    def test_every_figure_has_caption_and_command(self) -> None:
        page = page_of("train")
        figures = re.findall(r"<figure id=.*?</figure>", page, re.S)
        self.assertGreaterEqual(len(figures), 12)
        for figure in figures:
            self.assertRegex(figure, r"<figcaption>\s*<p>[A-Za-z].{30,}\.</p>")
            self.assertRegex(figure, r"<code>fp4lab plot [a-z-]+ train</code>")

    def test_self_contained_and_without_dangling_references(self) -> None:
        page = page_of("train")
        reader = Reader(page)
        self.assertEqual(reader.loads, [])
        self.assertEqual(len(reader.ids), len(set(reader.ids)))
        self.assertLessEqual(set(reader.references), set(reader.ids))
        self.assertNotIn("@import", page)

    def test_two_hundred_runs_are_less_than_five_megabytes(self) -> None:
        page = page_of("many")
        self.assertIn("200 training runs (20 configurations, 10 seeds)", page)
        self.assertLess(len(page.encode()), 5_000_000)

    def test_text_from_files_is_escaped(self) -> None:
        files = fa.load([FIXTURES / "train"])
        for run in files.runs:
            if run.columns["recipe"] == "tetrajet":
                run.columns["recipe"] = "<script>alert(1)</script>"
        page, _ = build_report(files, ["train"], figures=False)
        self.assertNotIn("<script>alert", page)
        self.assertIn("&lt;script&gt;alert(1)", page)

    def test_nothing_to_report(self) -> None:
        with tempfile.TemporaryDirectory() as folder, self.assertRaises(InputError):
            build_report(fa.load([folder]), [folder])


HARNESS = """<!DOCTYPE html><html><body><script>
const found = {errors: []};
const page = decodeURIComponent(escape(atob("%s")));
const hook = "<script>window.bad=[];onerror=(m)=>{bad.push(String(m))};" +
  "console.error=(...a)=>{bad.push(a.join(' '))};<" + "/script>";
function frame(width, then) {
  const f = document.createElement("iframe");
  f.width = width; f.height = 800;
  f.onload = () => then(f);
  f.srcdoc = page.replace("<head>", "<head>" + hook);
  document.body.append(f);
}
function first(table, column) {
  return [...table.tBodies[0].rows].map((r) => r.cells[column].textContent);
}
frame(390, (phone) => {
  const root = phone.contentDocument.documentElement;
  found.phone = [root.scrollWidth, root.clientWidth];
  frame(1280, (wide) => {
    const d = wide.contentDocument;
    found.wide = [d.documentElement.scrollWidth, d.documentElement.clientWidth];
    const table = d.querySelector("table.sortable");
    const heads = [...table.tHead.rows[0].cells];
    const names = heads.map((h) => h.textContent.trim());
    const number = names.findIndex((n) => n.startsWith("minus"));
    const click = (i) => heads[i].querySelector("button").click();
    click(0); found.up = first(table, 0);
    click(0); found.down = first(table, 0);
    click(number); found.byNumber = first(table, number);
    found.aria = heads[number].getAttribute("aria-sort");
    click(number); found.byNumberDown = first(table, number);
    found.errors.push(...phone.contentWindow.bad, ...wide.contentWindow.bad);
    const box = d.querySelector(".picture svg").getBoundingClientRect();
    found.picture = [box.width, box.height];
    document.title = "done";
    document.body.innerHTML = "<pre id=found>" + btoa(unescape(encodeURIComponent(JSON.stringify(found)))) + "</pre>";
  });
});
</script></body></html>
"""


@unittest.skipUnless(CHROMIUM, "no chromium here")
class Browser(Case):
    def open(self, page: str) -> tuple[dict, str]:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "harness.html")
            path.write_text(HARNESS % base64.b64encode(page.encode()).decode(), encoding="utf-8")
            command = [str(CHROMIUM), "--headless=new", "--disable-gpu", "--disable-extensions",
                       "--enable-logging=stderr", f"--user-data-dir={folder}/profile",
                       "--window-size=1400,1000", "--virtual-time-budget=8000", "--dump-dom"]
            if os.geteuid() == 0:
                command.append("--no-sandbox")
            done = subprocess.run(
                [*command, path.as_uri()], capture_output=True, text=True, timeout=120, check=False
            )
        match = re.search(r'<pre id="found">([^<]+)</pre>', done.stdout)
        self.assertIsNotNone(match, done.stderr[-2000:])
        found = json.loads(base64.b64decode(html.unescape(match.group(1))).decode())
        return found, done.stderr

    def test_a_browser_shows_it_on_desk_and_phone(self) -> None:
        found, log = self.open(page_of("train"))
        self.assertEqual(found["errors"], [])
        self.assertNotIn("CONSOLE", log)
        self.assertLessEqual(found["phone"][0], 390)
        self.assertEqual(found["phone"][0], found["phone"][1])
        self.assertEqual(found["wide"][0], found["wide"][1])
        self.assertGreater(found["picture"][0], 400)
        names = ["bf16", "four-over-six", "mxfp4-baseline", "nvfp4-nvidia", "tetrajet"]
        self.assertEqual(found["up"], names)
        self.assertEqual(found["down"], names[::-1])
        self.assertEqual(found["aria"], "ascending")
        numbers = [float(v) for v in found["byNumber"][:-1]]
        self.assertEqual(numbers, sorted(numbers))
        down = [float(v) for v in found["byNumberDown"][:-1]]
        self.assertEqual(down, sorted(numbers, reverse=True))  # the missing value stays last


if __name__ == "__main__":
    unittest.main()
