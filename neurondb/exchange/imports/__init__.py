"""What others computed of neurons, from their files: a module a format, each with its layout.

An import is one transaction: all of a file is stored, or nothing. What has a place in a relation
goes there; the rest becomes annotations, whose source says who computed it. The report at the end
(`report.py`) says what was taken and what had no place. `target.py` opens the database, and finds
the model, or makes it where only imports know it; `annotation_rows.py` stores annotations, in
batches; `tables.py` and `json_files.py` read files a batch at a time.
"""
