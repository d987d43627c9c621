"""A browser without a window, in which tests measure how wide pages are."""

import re
import subprocess

from needed import needed

MEASURE = """onload = () => document.body.dataset.seen = [...document.querySelectorAll("iframe")].map(frame => {
  const seen = frame.contentDocument.documentElement;
  return seen.scrollWidth + " of " + seen.clientWidth;
}).join(", ");"""


def widths(frames, page, profile):
    """Return of each of the `frames`, the HTML of iframes, how wide its page is, and what room it has.

    `page` is the file to show them in: frames that name files see those beside it. `profile` is an empty folder.
    """
    page.write_text(f"<script>{MEASURE}</script><body>{''.join(frames)}</body>", encoding="utf-8")
    done = subprocess.run(
        [needed("chromium"), "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
         "--disable-background-networking", "--disable-component-update", "--disable-sync",
         "--allow-file-access-from-files", f"--user-data-dir={profile}", "--window-size=1400,1000", "--dump-dom",
         page.as_uri()],
        capture_output=True, text=True, timeout=240, check=True,
    )  # fmt: skip
    seen = re.search(r'data-seen="([^"]*)"', done.stdout).group(1).split(", ")
    return [tuple(map(int, one.split(" of "))) for one in seen]
