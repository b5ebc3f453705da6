"""Answers to the exercises, wrong and right ones, to test the checks with.

One file a chapter, named like its file in `utils/exercises`, with two dicts:

    wrong_answers = {
        "nin.2": [
            # name of the mistake, source of the cell (or the answer itself), what the message says
            ("no last ReLU", "def mlpconv(…): …", r"ReLU"),
        ],
    }
    right_answers = {
        "nin.2": [("as a class", "class mlpconv(nn.Module): …")],
    }

At least four wrong answers and two right ones for each exercise; the solution itself is tested
anyway. A wrong answer's message must match its regular expression, so that every mistake is told
what it is.
"""
