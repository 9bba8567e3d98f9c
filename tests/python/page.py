"""Drives the live page of a ring of three nodes with Chromium, as a user would.

python page.py --axe axe.min.js [--shots FOLDER] < ring.json

ring.json: {"nodes": ["127.0.1.1:4043", ...], "pids": [1, 2, 3], "title": "It goes round"}

The harness has pushed a site with an index.html of that title. The test ends nodes 3 and 1 with
SIGKILL, so it comes last in the life of a ring.
"""

import argparse
import json
import os
import signal
import sys
import tempfile
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

from webdriver import Browser, WebDriverError, wait_for

BIG = bytes(index * 7 % 251 for index in range(3 << 20))
DROP = """
const bytes = new Uint8Array(3 << 20).map((_, index) => index * 7 % 251);
const transfer = new DataTransfer();
transfer.items.add(new File([bytes], "dropped.bin"));
transfer.items.add(new File(["small"], "small ü #1.txt"));
window.bars = new Set();
new MutationObserver(() => document.querySelectorAll("#upload-list progress").forEach((bar) => window.bars.add(bar.ariaLabel)))
  .observe(document.querySelector("#upload-list"), { childList: true, subtree: true });
const send = (kind) => document.body.dispatchEvent(new DragEvent(kind, { dataTransfer: transfer, bubbles: true, cancelable: true }));
send("dragenter");
send("dragover");
const target = document.querySelector("#drop").checkVisibility();
send("drop");
return target && !document.querySelector("#drop").checkVisibility();
"""
CONTROLS = """
return [...document.querySelectorAll("a[href], button, input, [tabindex='0']")]
  .filter((element) => element.checkVisibility({ visibilityProperty: true })).map(DESCRIBE)
"""
FOCUSED = """
const element = document.activeElement;
if (element === document.body) return null;
const shown = [element, element.closest("label.button")].filter(Boolean).some((part) => {
  const { outlineStyle, outlineWidth } = getComputedStyle(part);
  return outlineStyle !== "none" && parseFloat(outlineWidth) >= 2;
});
return [DESCRIBE(element), shown];
"""
DESCRIBE = "((element) => element.ariaLabel || element.id || element.textContent || element.className)"
AXE = """
return axe.run().then(({ violations }) => violations
  .map(({ id, impact, nodes }) => [impact, id, nodes.map((node) => node.html).slice(0, 5)]))
"""


class Test:
    def __init__(self, browser, ring, axe, shots):
        self.browser = browser
        self.nodes = ring["nodes"]
        self.pids = ring["pids"]
        self.title = ring["title"]
        self.axe = axe
        self.shots = shots
        self.killed = []

    # What it uses of a ring

    def url(self, number, path="/_ring/"):
        return f"http://{self.nodes[number - 1]}{urllib.parse.quote(path)}"

    def get(self, number, name):
        """The bytes of a file, or the status of the refusal."""
        try:
            with urllib.request.urlopen(self.url(number, f"/{name}"), timeout=5) as answer:
                return answer.read()
        except urllib.error.HTTPError as error:
            return error.code

    def holds(self, number, name, expected):
        wait_for(f"node {number} has {name}", lambda: self.get(number, name) == expected)

    def kill(self, number):
        os.kill(self.pids[number - 1], signal.SIGKILL)
        self.killed.append(self.nodes[number - 1])

    # What it sees of a page

    def shows(self, selector, *parts):
        wait_for(f"{selector} shows {parts}",
                 lambda: (text := self.browser.text(selector)) is not None and all(part in text for part in parts))

    def number(self, selector):
        return self.browser.script("return document.querySelectorAll(arguments[0]).length", selector)

    def names(self):
        return self.browser.script("return [...document.querySelectorAll('#files td.file')].map((cell) => cell.innerText)")

    def says(self, text):
        wait_for(f"a notice says {text}", lambda: text in self.browser.text("#notices"))

    def press_on(self, label):
        """Clicks a button, by its label."""
        selector = f'[aria-label="{label}"]'
        wait_for(f"there is {label}", lambda: self.number(selector))
        # A notice may be in front of what is at the lower edge, and a row may be on the move.
        self.browser.script("document.querySelector(arguments[0]).scrollIntoView({ block: 'center' })", selector)
        wait_for(f"{label} can be clicked", lambda: self.browser.click(selector) is None)

    def shot(self, name):
        if self.shots:
            self.browser.screenshot(f"{self.shots}/{name}.png", whole=True)

    # The steps

    def site(self):
        self.browser.go(self.url(2, "/"))
        assert self.browser.title() == self.title, self.browser.title()
        # The site may lack an icon; the console of the live page begins here.
        self.browser.go("about:blank")
        self.browser.console()

    def verdict(self):
        self.browser.go(self.url(1))
        self.shows("#verdict", "3 of 3 nodes")
        assert self.number("#nodes tbody tr") == 3
        assert self.number("#ring .node") == 3
        for node in self.nodes:
            self.shows("#nodes", node)
        wait_for("files are listed", lambda: "index.html" in self.names())

    def one_is_gone(self):
        self.kill(3)
        self.shows("#verdict", "2 of 3 nodes")
        # Refused, reset, or what another member has said of that.
        self.shows("#problems", f"{self.nodes[2]} is gone since", "connect")
        self.shows("#nodes", "gone", "connect")
        self.shows("#news", self.nodes[2])
        wait_for("the drawing has a ring of two", lambda: self.number("#ring .node") == 2 and self.number("#ring .away") == 1)
        wait_for("it is announced", lambda: "is gone" in self.browser.script(
            "return document.querySelector('#announcement').textContent"))

    def drop(self):
        assert self.browser.script(DROP), "no target is shown while files are dragged"
        self.shows("#uploads", "dropped.bin", "small ü #1.txt", "2 of 2 done", "on 2 nodes")
        assert sorted(self.browser.script("return [...window.bars]")) == ["dropped.bin", "small ü #1.txt"]
        self.holds(2, "dropped.bin", BIG)
        self.holds(2, "small ü #1.txt", b"small")
        self.shows("#files", "dropped.bin", "small ü #1.txt")

    def choose(self, name, content, folder):
        with tempfile.TemporaryDirectory() as place:
            path = Path(place, name)
            path.write_bytes(content)
            self.browser.clear("#folder")
            self.browser.type("#folder", folder)
            self.browser.type("#pick", str(path))
            self.holds(2, f"{folder}/{name}", content)
        self.shows("#uploads", f"{folder}/{name}")

    def search_delete_undo(self):
        self.choose("notes.txt", b"first", "docs")
        self.browser.type("#search", "NOTHING HAS THIS")
        self.shows("#files-empty", "No files")
        self.browser.clear("#search")
        self.browser.type("#search", "notes")
        wait_for("only what was sought is listed", lambda: self.names() == ["docs/notes.txt"])
        self.press_on("Delete: docs/notes.txt")
        self.says("Deleted docs/notes.txt")
        self.holds(2, "docs/notes.txt", 404)
        wait_for("it is no longer listed", lambda: self.names() == [])
        self.browser.click("#notices button:not(.slim)")
        self.says("Restored docs/notes.txt")
        self.holds(2, "docs/notes.txt", b"first")
        wait_for("it is listed again", lambda: self.names() == ["docs/notes.txt"])

    def versions(self):
        self.choose("notes.txt", b"second, longer", "docs")
        self.press_on("Versions: docs/notes.txt")
        wait_for("versions are listed", lambda: self.number(".versions li") >= 3)
        self.shows(".versions", "newest", "14 B", "5 B", "deleted")
        link = self.browser.script("return document.querySelector('.versions li:last-child a, .versions li:nth-child(2) a').href")
        with urllib.request.urlopen(link, timeout=5) as answer:
            assert answer.read() == b"first"
        self.press_on(self.browser.script("return document.querySelector('.versions button').ariaLabel"))
        self.holds(2, "docs/notes.txt", b"first")
        wait_for("the list of versions follows", lambda: "5 B" in self.browser.text(".versions li:first-child"))
        self.browser.script("const search = document.querySelector('#search'); search.value = ''; search.dispatchEvent(new Event('input'))")

    def page_is_gone(self):
        self.kill(1)
        self.shows("#stale", "Stale since", "does not answer")
        wait_for("it goes to a living node", lambda: self.browser.url().startswith(self.url(2)), 30)
        self.says(f"Came here from {self.nodes[0]}, which does not answer")
        assert "#" not in self.browser.url()
        self.shows("#verdict", "1 of 3 nodes")
        wait_for("files are listed", lambda: "dropped.bin" in self.names())

    def accessible(self):
        self.browser.script(self.axe + "; window.axe = axe")
        for scheme in ("light", "dark"):
            self.browser.media(scheme=scheme)
            for width in (1280, 390):
                self.browser.size(width, 900)
                found = self.browser.script(AXE)
                for impact, name, nodes in found:
                    print(f"  axe, {scheme}, {width} px: {impact}: {name}: {nodes}")
                assert not [impact for impact, *_ in found if impact in ("serious", "critical")]
        self.browser.media(scheme="light")
        self.browser.size(1280, 900)

    def keyboard(self):
        self.browser.go(self.url(1))
        wait_for("files are listed", lambda: "index.html" in self.names())
        expected = self.browser.script(CONTROLS.replace("DESCRIBE", DESCRIBE))
        reached = []
        for _ in range(len(expected)):
            self.browser.press("tab")
            reached.append(self.browser.script(FOCUSED.replace("DESCRIBE", DESCRIBE)))
        assert [name for name, _ in reached] == expected, f"{reached} instead of {expected}"
        assert all(shown for _, shown in reached), f"no focus is seen: {reached}"
        opened = "return document.activeElement.ariaExpanded"
        self.browser.script("document.querySelector('[aria-label=\"Versions: index.html\"]').focus()")
        for key, state in (("enter", "true"), ("space", "false")):
            self.browser.press(key)
            assert self.browser.script(opened) == state, f"{key} does not work"

    def small(self):
        for width in (1280, 390, 320):
            self.browser.size(width, 844)
            wide = self.browser.script("return document.documentElement.scrollWidth - innerWidth")
            assert wide <= 0, f"at {width} px it is {wide} px too wide"
        self.browser.size(1280, 900)

    def still(self):
        """With reduced motion nothing moves."""
        self.browser.media(motion="reduce")
        wait_for("dots end", lambda: self.number("#ring .dot") == 0)
        put = urllib.request.Request(self.url(1, "/still.txt"), b"still", method="PUT")
        urllib.request.urlopen(put, timeout=5).close()
        self.shows("#caption", "PUT still.txt")
        assert self.number("#ring .dot") == 0
        self.browser.media(motion="no-preference")
        urllib.request.urlopen(put, timeout=5).close()
        wait_for("a dot moves", lambda: self.number("#ring .PUT"))

    def shoot(self, name):
        for scheme in ("light", "dark"):
            self.browser.media(scheme=scheme)
            for width, height in ((1280, 900), (390, 844)):
                self.browser.size(width, height)
                wait_for("it is drawn anew, and rests", lambda: self.browser.script("""
                    const ring = document.querySelector("#ring");
                    return Math.abs(ring.viewBox.baseVal.width - ring.clientWidth) < 2 && !document.getAnimations().length"""))
                self.shot(f"{name}-{width}-{scheme}")
        self.browser.media(scheme="light")
        self.browser.size(1280, 900)

    def console(self):
        """Nothing but that a node that was ended does not answer."""
        wrong = [entry["message"] for entry in self.browser.console() if entry["level"] in ("SEVERE", "WARNING")
                 and not ("net::ERR_" in entry["message"] and any(node in entry["message"] for node in self.killed))]
        assert not wrong, wrong

    def run(self):
        self.browser.size(1280, 900)
        steps = [
            ("a: the site is at node 2", self.site),
            ("b: the page says that all is well", self.verdict),
            ("j: the keyboard reaches everything", self.keyboard),
            ("k: nothing is too wide", self.small),
            ("k: pictures of a ring that is well", lambda: self.shoot("well")),
            ("messages move, unless motion is reduced", self.still),
            ("h: axe, while all is well", self.accessible),
            ("c: node 3 is ended", self.one_is_gone),
            ("d: files are dropped", self.drop),
            ("e: search, delete, undo", self.search_delete_undo),
            ("f: versions", self.versions),
            ("h: axe, with a node gone, uploads and versions", self.accessible),
            ("k: nothing is too wide", self.small),
            ("k: pictures of it", lambda: self.shoot("gone")),
            ("i: the console", self.console),
            ("g: node 1 is ended, whose page this is", self.page_is_gone),
            ("k: pictures of where it came", lambda: self.shoot("moved")),
            ("i: the console", self.console),
        ]
        for name, step in steps:
            try:
                step()
            except (AssertionError, WebDriverError):
                print(f"FAILED {name}", flush=True)
                self.shot("failed")
                raise
            print(f"ok {name}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--axe", required=True, help="axe.min.js, as the package axe-core-python has it")
    parser.add_argument("--shots", help="a folder for screenshots")
    parser.add_argument("--driver", default="chromedriver")
    parser.add_argument("--binary", help="Chromium, if chromedriver does not find it")
    arguments = parser.parse_args()
    if arguments.shots:
        Path(arguments.shots).mkdir(parents=True, exist_ok=True)
    ring = json.load(sys.stdin)
    with Browser(arguments.driver, arguments.binary) as browser:
        Test(browser, ring, Path(arguments.axe).read_text(), arguments.shots).run()


if __name__ == "__main__":
    main()
