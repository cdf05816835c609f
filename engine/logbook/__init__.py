"""The logs of a run as an indexed list of lines, merged by time: what the screen scrolls through and the CLI prints.

No text is kept: of every line only where it ends is remembered, and what is looked at is read again.
"""
