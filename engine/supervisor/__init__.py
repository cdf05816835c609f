"""The detached process that owns the queue and the runs of one results folder: ``python -m engine.supervisor``.

``loop`` decides what happens next, ``active`` is one attempt of one run, ``intake`` turns an enqueue command into run
folders, ``inbox`` reads commands and answers them, ``ending`` knows what the files tell of an end, ``lock`` says whose
the folder is, ``writer`` keeps trying to write what must not be lost. What can be decided without files and processes
is in ``engine.core``.
"""
