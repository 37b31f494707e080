"""A page as tests see it."""

import io
from base64 import b64decode
from html.parser import HTMLParser

from PIL import Image


class Page(HTMLParser):
    """The text, the images and every address of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.text, self.images, self.addresses = [], [], []
        self.feed(page)

    def handle_starttag(self, tag: str, attributes: list) -> None:
        for name, value in attributes:
            if name in ("src", "href"):
                self.addresses.append(value)
                if tag == "img":
                    content = b64decode(value.removeprefix("data:image/jpeg;base64,"))
                    self.images.append(Image.open(io.BytesIO(content)).size)

    def handle_data(self, data: str) -> None:
        self.text.append(data)
