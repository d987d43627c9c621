"""Settings of the documentation: `sphinx-build -W docs build/docs`; what is made by code is made first, see `site/`.

Nothing is fetched, neither while it is built nor by a page that is read: the theme brings no font, script or picture
from elsewhere.
"""

import sys
from pathlib import Path

HERE = Path(__file__).parent.resolve()
sys.path[:0] = [str(HERE / "site"), str(HERE.parent / "src")]

import links  # noqa: E402
import make  # noqa: E402

from ult import __version__  # noqa: E402

project, author, copyright = "ult", "the authors", "the authors"  # noqa: A001
release = version = __version__
extensions = ["myst_parser"]
exclude_patterns = ["site"]

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 4
smartquotes = False  # "--epsilon" is no dash
suppress_warnings = ["myst.header"]  # a page that is made may begin below the first level

html_theme = "furo"
html_title = f"ult {version}"
html_static_path = ["static"]
html_css_files = ["pages.css"]
html_copy_source = html_show_sourcelink = html_show_sphinx = html_show_copyright = False
html_theme_options = {"top_of_page_buttons": []}
pygments_style, pygments_dark_style = "friendly", "monokai"


def setup(app):  # noqa: D103 - Sphinx calls it
    make.everything(HERE)
    app.connect("source-read", links.rewrite)
    return {"parallel_read_safe": True}
