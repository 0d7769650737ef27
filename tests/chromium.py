"""Pieces of a page in a real browser with no network: what the explorers' tests share."""

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
