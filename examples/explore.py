# /// script
# requires-python = ">=3.11"
# dependencies = ["altair", "marimo", "neurondb[ingest,site,frames]"]
# ///
"""A marimo notebook: a slider chooses the neurons of a question, the chart and the table follow.

marimo edit examples/explore.py      in the browser
python examples/explore.py           as a script
"""

import marimo

__generated_with = "0.25.2"
app = marimo.App(width="medium")


@app.cell
def _():
    from pathlib import Path

    import altair as alt
    import marimo as mo

    import neurondb as ndb
    from ingest.bundled import model_directory
    from ingest.bundled.tinyworld import read_heldout_texts

    return Path, alt, mo, model_directory, ndb, read_heldout_texts


@app.cell
def _(mo):
    mo.md(
        """
        # Which neurons write against what they read?

        The small model that comes with NeuronDB, on forty of its texts. What is stored already is
        not computed again.
        """
    )


@app.cell
def _(Path, model_directory, ndb, read_heldout_texts):
    Path("texts.txt").write_text("\n<|endoftext|>\n".join(read_heldout_texts(40)), encoding="utf-8")
    ndb.ingest(model_directory(), "neurons.db", name="tinyworld-2m", dataset="texts.txt")
    db = ndb.open("neurons.db")
    return (db,)


@app.cell
def _(mo):
    below = mo.ui.slider(-0.5, 0.0, step=0.05, value=-0.2, label="cos(in, out) below")
    below
    return (below,)


@app.cell
def _(below, db):
    found = db.find(
        f"in_out<{below.value} model=tinyworld-2m",
        order="in_out",
        columns="name,layer,freq,in_out,top_out_token",
    ).to_pandas()
    return (found,)


@app.cell
def _(alt, found, mo):
    chart = mo.ui.altair_chart(
        alt.Chart(found)
        .mark_circle()
        .encode(x="freq", y="in_out", color="layer:N", tooltip=["name", "top_out_token"])
    )
    chart
    return


@app.cell
def _(found, mo):
    table = mo.ui.table(found, selection="single", initial_selection=[0])
    table
    return (table,)


@app.cell
def _(db, table):
    # The page of the neuron that is selected in the table.
    neuron = db.neuron("tinyworld-2m", table.value["name"].iloc[0]) if len(table.value) else None
    neuron
    return (neuron,)


if __name__ == "__main__":
    app.run()
