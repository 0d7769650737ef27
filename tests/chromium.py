"""Pages in a real browser with no network: what the tests of the explorers and of the book share."""

import contextlib
import functools
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer


@contextlib.contextmanager
def served(folder):
    """The address of a folder on a port of this machine."""
    handler = type("Quiet", (SimpleHTTPRequestHandler,), {"log_message": lambda *given: None})
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(handler, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()


def opened(context, url: str, allowed: str):
    """An opened page, and its complaints: requests to elsewhere, failed ones, and what the console says."""
    complaints = []
    page = context.new_page()
    page.set_default_timeout(120_000)  # of a busy machine

    def only_own(route):
        if route.request.url.startswith((allowed, "data:", "blob:")):
            route.continue_()
        else:
            complaints.append(f"asked for {route.request.url}")
            route.abort()

    page.route("**/*", only_own)
    page.on("console", lambda message: complaints.append(f"{message.type}: {message.text}")
            if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: complaints.append(f"exception: {error}"))
    page.on("requestfailed", lambda request: complaints.append(f"failed: {request.url}")
            if request.failure != "net::ERR_ABORTED" else None)  # the page was left before it had come
    page.goto(url, wait_until="load")
    page.evaluate("() => window.MathJax && MathJax.startup && MathJax.startup.promise")
    return page, complaints


@contextlib.contextmanager
def visits(chromium, start: str):
    """A function that opens a page below an address; at the end none of its pages has complained."""
    complaints = []
    with contextlib.ExitStack() as contexts:

        def visit(name: str, **options):
            context = contexts.enter_context(contextlib.closing(chromium.new_context(**options)))
            page, said = opened(context, start + name, start)
            complaints.append(said)
            return page

        yield visit
        assert not any(complaints), complaints  # before they close, which cuts requests off


class Opened:
    """A page of pieces, opened from a file: ``page``, what it complained of, and what it asked for."""

    def __init__(self, chromium, path, *pieces, **options):
        path.write_text("<!doctype html><html lang=en><meta name=viewport content='width=device-width'>"
                        + "".join(piece.html for piece in pieces))
        self.page = chromium.new_context(offline=True, **options).new_page()
        self.page.set_default_timeout(120_000)
        self.wrong, self.asked = [], []
        self.page.on("pageerror", lambda error: self.wrong.append(str(error)))
        self.page.on("console", lambda message: self.wrong.append(message.text))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.goto(path.as_uri())
        self.page.wait_for_function(
            "n => document.querySelectorAll('.lse-piece[data-state=ready]').length === n", arg=len(pieces))

    def close(self):
        """Close it; a page asks for nothing but itself and never complains."""
        outside = [url for url in self.asked if not url.startswith(("file:", "data:", "blob:"))]
        files = [url for url in self.asked if url.startswith("file:")]
        self.page.context.close()
        assert self.wrong == [] and outside == [] and len(files) == 1
