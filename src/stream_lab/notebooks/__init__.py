"""Run notebooks: the floor under `stream-lab run` and `stream-lab regress`.

`Task` says what to run, `run_all` runs tasks on an executor, `run_cell` judges one notebook, and
`Row` is the result. `run` adds a table of claims and a report; `regress` adds endpoints, worlds and
a baseline.
"""
