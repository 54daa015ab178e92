"""Picture of the playground of `thalweg view`, taken with Debian's Chromium: python docs/images/make_playground.py."""

import subprocess
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

STATE = (
    "f=quadratic-2d&x=-1.5,1.4&m=momentum:learning_rate%3D0.5,momentum%3D0.85&m=gradient_descent:learning_rate%3D0.5"
)


def main() -> None:
    command = [sys.executable, "-m", "thalweg", "view", tempfile.mkdtemp()]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert server.stdout is not None
    address = server.stdout.readline().strip()
    try:
        with sync_playwright() as driver:
            browser = driver.chromium.launch(
                executable_path="/usr/bin/chromium", args=["--no-sandbox", "--disable-gpu"]
            )
            page = browser.new_page(viewport={"width": 1440, "height": 900}, color_scheme="light")
            page.goto(f"{address}#/playground?{STATE}")
            page.locator(".limit").first.wait_for(timeout=120_000)
            page.get_by_text("The star is the best setting").wait_for(timeout=120_000)
            page.wait_for_timeout(1000)
            page.screenshot(path=Path(__file__).with_name("playground.png"))
            browser.close()
    finally:
        server.terminate()


if __name__ == "__main__":
    main()
