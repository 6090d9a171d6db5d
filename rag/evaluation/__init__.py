"""How well the files are asked: `rag eval`, from questions with known answers to a report.

questions.py   the questions, and what is right for them in an index
metrics.py     each measure, as a pure function
run.py         asks every question and judges what comes out
report.py      what was found: figures, a proposed threshold, what changed since an earlier report
text.py        a report for the terminal
page.py        a report as one page of HTML, with page.css and the drawings of charts.py
command.py     `rag eval`
"""
