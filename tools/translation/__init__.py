"""The Chinese edition, for authors and translators; CONTRIBUTING.md says how it is kept in step.

blocks       a text of Markdown or code, cut into what one translates at a time
catalogue    translations/zh/**/*.po: read, write, bring in step with the English
sources      what there is to translate, and in which catalogue
notebooks    chapters_zh/ from chapters/ and the catalogues
pages        README.zh-CN.md and docs/zh/ from the English pages
typography   the space between Chinese and Latin letters
checks       what a translation must keep, and how it must be written
"""
