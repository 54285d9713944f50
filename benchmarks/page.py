"""What the page weighs, and how long it takes until a user's first answer is seen.

    python benchmarks/page.py [--users 30]

It needs a Neo4j with a data set loaded and refreshed (`make demo` for Last.fm), and Chromium. It
only reads, and starts a service of its own that keeps no answers. Neo4j, the service and the
browser run on the same machine.
"""

import argparse
import shutil

import numpy as np
from _environment import describe
from playwright.sync_api import Browser, sync_playwright

from benchmarks._service import service, users_with_interactions
from loaders.gateway import Neo4jGateway
from recsvc.commands.connecting import neo4j_address
from recsvc.settings import load_settings

LIST = ".list:not([aria-busy]) .items"


def main() -> None:
    """Print the weight of the page and the time to the first answer."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--users", type=int, default=30)
    options = parser.parse_args()
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        raise SystemExit("Chromium is missing: apt-get install chromium")
    print(describe(), flush=True)
    with Neo4jGateway(neo4j_address(load_settings())) as gateway:
        everybody = users_with_interactions(gateway)
    users = np.random.default_rng(0).permutation(everybody)[: options.users].tolist()
    with service({"RECSVC_ANSWER_CACHE_SECONDS": "0"}) as served, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        base = str(served.client.base_url)
        _measure(browser, base, users)
        browser.close()


def _measure(browser: Browser, base: str, users: list[str]) -> None:
    """Each user in a browser that has nothing of the page yet, and in one that has all."""
    cold, warm, weights = [], [], []
    for user in users:
        context = browser.new_context(viewport={"width": 1360, "height": 900})
        page = context.new_page()
        sizes: list[int] = []
        page.on(
            "response",
            lambda response, sizes=sizes: sizes.append(
                int(response.headers.get("content-length", 0)) if "/v1/" not in response.url else 0
            ),
        )
        for seconds in (cold, warm):
            page.goto(f"{base}/?user={user}", wait_until="commit")
            page.wait_for_selector(LIST)
            seconds.append(page.evaluate("performance.now()") / 1000)
            if seconds is cold:
                weights.append(sum(sizes))
        context.close()
    print(f"files of the page: {max(weights) / 1000:.0f} kB in {len(sizes) // 2} answers")
    for name, seconds in (("nothing kept", cold), ("files kept", warm)):
        p50, p95 = np.percentile(seconds, [50, 95])
        print(f"time to the list, {name}: p50 {p50:.2f} s, p95 {p95:.2f} s")


if __name__ == "__main__":
    main()
