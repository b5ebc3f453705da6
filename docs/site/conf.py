"""Sphinx settings of the course's web site; docs/site/build.py says what is built from what."""

project = "One by One"
author = "The authors of One by One"
copyright = "text and figures CC BY 4.0, code MIT"
language = "en"

extensions = ["myst_nb", "sphinx-mathjax-offline"]
root_doc = "index"
# What is stored in the notebooks is shown; nothing is executed.
nb_execution_mode = "off"
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
suppress_warnings = ["myst.header"]  # an exercise is a smaller heading wherever it stands

html_theme = "sphinx_book_theme"
html_title = project
html_context = {"default_mode": "auto"}  # light or dark, as the reader's system is
html_favicon = "static/icon.svg"
html_static_path = ["static"]
html_css_files = ["course.css"]
html_copy_source = False
html_show_sourcelink = False
html_theme_options = {
    "navbar_persistent": [],  # else there are two fields to search in
    "show_toc_level": 2,
    "use_download_button": False,
    "use_fullscreen_button": False,
}
