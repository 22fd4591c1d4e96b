"""The rendered reference of the Python package: ninja -C build python-docs."""

import inspect
import re

import vmette
import vmette.aio

project = "vmette"
author = "the vmette authors"
copyright = "the vmette authors, MIT licence"
version = release = vmette.__version__

extensions = ["sphinx.ext.autodoc"]
default_role = "code"
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
add_module_names = False
html_theme = "alabaster"
html_theme_options = {"description": vmette.__doc__.splitlines()[0], "page_width": "62em"}
html_show_sphinx = False

_faces = {"vmette": vmette, "vmette.aio": vmette.aio}
_documented = set()


def _options_as_list(text, names):
    """Docstrings of options say `name: what it is. name: ...` in running text; a list of that."""
    known = "|".join(sorted(names))
    start = re.compile(rf"\b((?:{known})(?:, (?:{known}))*): ")
    paragraphs = []
    for paragraph in text.split("\n\n"):
        words = " ".join(paragraph.split())
        intro, *items = start.split(words)
        if paragraph.startswith(">>>") or not items:
            paragraphs.append(paragraph)
            continue
        paragraphs += [intro] if intro else []
        pairs = zip(items[::2], items[1::2])
        paragraphs.append("\n".join(f"- **{keys}**: {what}" for keys, what in pairs))
    return "\n\n".join(paragraphs)


def _process(app, what, name, item, options, lines):
    _documented.add(name)
    if inspect.isclass(item) and issubclass(item, dict):
        names = item.__required_keys__ | item.__optional_keys__
        lines[:] = _options_as_list("\n".join(lines), names).splitlines()


def _complete(app, exception):
    """Every public name is on a page."""
    for face, module in _faces.items():
        for name in module.__all__:
            item = getattr(module, name)
            if inspect.ismodule(item) or not callable(item):
                continue
            if f"{face}.{name}" not in _documented and exception is None:
                raise RuntimeError(f"docs/python-api has no {face}.{name}")


def setup(app):
    app.connect("autodoc-process-docstring", _process)
    app.connect("build-finished", _complete)
