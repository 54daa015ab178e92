"""Debian's Chromium, driven by Playwright: off the network, every fault of a page collected."""

import contextlib
import os
import shutil

import pytest

CHROMIUM = shutil.which("chromium")
NEEDED = os.environ.get("THALWEG_BROWSER") == "required"


def require():
    """Skip without a browser; where one is required, fail."""
    if CHROMIUM is None:
        assert not NEEDED, "chromium is missing"
        pytest.skip("no chromium on this machine")


@contextlib.contextmanager
def browser():
    """A browser without any window."""
    from playwright.sync_api import sync_playwright

    # Without these it looks for hosts of its maker's.
    quiet = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync", "--no-first-run"]
    with sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=CHROMIUM, args=quiet)
        try:
            yield opened
        finally:
            opened.close()


@contextlib.contextmanager
def page(opened, **options):
    """A page of its own; what it complains of, and what it asks of another machine, fails the test."""
    context = opened.new_context(accept_downloads=True, **options)
    faults = []
    context.on("weberror", lambda error: faults.append(f"error: {error.error}"))
    context.on("console", lambda said: faults.append(f"{said.type}: {said.text}") if said.type == "error" else None)

    def only_here(route):
        address = route.request.url
        if address.startswith(("http://127.0.0.1:", "file://", "data:", "blob:")):
            route.continue_()
        else:
            faults.append(f"asked for {address}")
            route.abort()

    context.route("**/*", only_here)
    made = context.new_page()
    made.set_default_timeout(60_000)
    try:
        yield made
    finally:
        context.close()
    assert not faults, faults
