"""The pages, one module each: `answer(ask)` reads the database and returns what to show."""
