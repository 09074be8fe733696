"""From a table of predictions to numbers, intervals, tables and figures; knows no model and needs no torch."""
