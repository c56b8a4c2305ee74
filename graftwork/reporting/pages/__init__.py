"""Pages for people: one look, no other files."""

import base64
import io
from typing import Any

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from PIL import Image

_THUMBNAIL = 112


def render(package: str, template: str, **values: Any) -> str:
    """Return a page as HTML that needs no other file.

    Args:
        package: In which the template lies; it extends page.html.j2.
        template: Its file.
        values: What it shows. Templates have `thumbnail` besides.
    """
    environment = Environment(
        loader=ChoiceLoader([PackageLoader(package, ""), PackageLoader("graftwork.reporting.pages", "")]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).render(thumbnail=thumbnail, **values)


def thumbnail(encoded: bytes) -> str:
    """Return an image file as the address of a small picture, which is inside it."""
    with Image.open(io.BytesIO(encoded)) as image:
        picture: Any = image.convert("RGB")
        picture.thumbnail((_THUMBNAIL, _THUMBNAIL))
        file = io.BytesIO()
        picture.save(file, format="PNG" if max(image.size) <= _THUMBNAIL // 2 else "JPEG", quality=80)
    kind = "png" if file.getvalue().startswith(b"\x89PNG") else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(file.getvalue()).decode()}"
