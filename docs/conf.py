"""How Sphinx makes the pages: ``make docs``."""

import sys
from pathlib import Path

import hardwire

sys.path.insert(0, str(Path(__file__).parent))  # The extensions beside this file.

project = "hardwire"
author = "the hardwire authors"
release = hardwire.__version__

extensions = ["myst_parser", "areas", "journeys", "reference"]
html_theme = "furo"  # Asks for nothing from the network.
html_title = f"hardwire {release}"
html_static_path = ["_static"]
html_css_files = ["wide.css"]
html_show_search_summary = False  # It would fetch pages, which browsers do not do from files.
html_copy_source = False
html_show_copyright = False

myst_heading_anchors = 3
# journey:sending is the page that journeys.py makes; all pages but the first one are in a folder.
myst_url_schemes = {"https": None, "journey": {"url": "../journeys/{{path}}.html", "title": "{{path}}"}}
